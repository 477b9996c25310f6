"""What a caller prefers: to wait (RFC 7240), and not to be sent what it has (RFC 9110)."""

import re
from hashlib import blake2b
from typing import Annotated, Final

from fastapi import Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

LONGEST_WAIT: Final = 60.0
"""Seconds that a request is kept open at the most."""
JSON: Final = "application/json"
NOT_MODIFIED: Final = 304

_WAIT: Final = re.compile(r'^\s*wait\s*=\s*"?(\d{1,6})"?\s*$', re.IGNORECASE)


def wait_of(prefer: str | None) -> float:
    """Return for how many seconds the header `Prefer` asks to wait; 0 without it. Other preferences are left alone."""
    for part in (prefer or "").split(","):
        found = _WAIT.match(part.split(";")[0])
        if found is not None:
            return min(LONGEST_WAIT, float(found[1]))
    return 0.0


Prefer = Annotated[
    str | None,
    Header(
        description="`wait=N` keeps the request open until the end is there, for N seconds at the most (60).",
        examples=["wait=5"],
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(description="The ETag of what the caller has; 304 while it is the same.", examples=['"5f0c2a"'])
]


def answer(
    request: Request, content: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a model as JSON with its ETag; only the word that nothing has changed to a caller who has it already."""
    body = content.model_dump_json().encode()
    tag = etag(body)
    known = {**(headers or {}), "ETag": tag, "Cache-Control": "private, no-cache"}
    if request.method == "GET" and matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=NOT_MODIFIED, headers=known)
    return Response(body, status, known, JSON)


def etag(body: bytes) -> str:
    """Return the ETag of a body."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Return whether the header names this ETag, compared weakly."""
    given = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    return tag in given or "*" in given
