"""One request to a gateway as data, and what its answer means: nothing here sends anything."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from second_opinion.schemas.errors import (
    ErrorInfo,
    GatewayUnavailable,
    InvalidRequest,
    OpinionError,
    TransientError,
)

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 2.0
PROXY_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
NOT_HTTP_HINT: Final = "Name it as http://host:port, or with a path in front of /v1 if a proxy adds one."
WRONG_PLACE_HINT: Final = "Check the URL of the gateway: it is that of its page, without /v1."

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """One request.

    Attributes:
        path: Below the gateway's own address; made by `path_of`, so that names cannot break out of it.
        query: What is None is left out.
        body: Sent as JSON, or as it is if it is bytes.
        wait: Seconds for which the gateway is asked to keep the request open.
        repeatable: May be sent again when nobody knows whether it arrived.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: int = 0
    repeatable: bool = True

    @property
    def parameters(self) -> dict[str, Any]:
        """The query without what was left open."""
        return {name: value for name, value in self.query.items() if value is not None}

    @property
    def content(self) -> bytes | None:
        """The body as it is sent. A lone surrogate travels as an escape, and the gateway decides what it means."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers, that of the body and the wish to wait included."""
        found = dict(self.headers)
        if self.body is not None and not isinstance(self.body, bytes):
            found["Content-Type"] = "application/json"
        if self.wait:
            found["Prefer"] = f"wait={self.wait}"
        return found


def path_of(*parts: str) -> str:
    """Return a path of these parts; whatever stands in a part, it stays one part."""
    # Dots alone would be taken for a step up by whatever stands between.
    return "/" + "/".join(
        quote(part, safe="").replace(".", "%2E") if set(part) <= {"."} else quote(part, safe="") for part in parts
    )


def base_url(url: str) -> httpx.URL:
    """Return the address of a gateway.

    Raises:
        InvalidRequest: If it is none, or carries a password, which would be logged with it.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as problem:
        raise InvalidRequest("the URL of the gateway cannot be read", hint=NOT_HTTP_HINT) from problem
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidRequest("the URL of the gateway is not that of a web server", hint=NOT_HTTP_HINT)
    if parsed.userinfo:
        raise InvalidRequest("the URL of the gateway carries a password", hint="Give the key by itself: key=...")
    return parsed


def parsed(response: httpx.Response, model: type[ModelT]) -> ModelT:
    """Return what a gateway answered.

    Raises:
        InvalidRequest: If it is something else.
    """
    try:
        return model.model_validate_json(response.content)
    except ValidationError as problem:
        raise InvalidRequest(
            f"what answers at {response.url.host} is no gateway of this version", hint=WRONG_PLACE_HINT
        ) from problem


def error_of(response: httpx.Response) -> OpinionError:
    """Return the error that an answer tells, as the class that was raised on the other side."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), str):
        info = {**body, "message": str(body.get("detail", "")), "hint": str(body.get("hint", ""))}
        try:
            return OpinionError.from_info(ErrorInfo.model_validate(info))
        except ValidationError:
            pass
    told = f"{response.url.host} answered with status {response.status_code}"
    if response.status_code in PROXY_STATUSES:
        return GatewayUnavailable(told, retry_after=_retry_after(response))
    return InvalidRequest(f"{told}, which no gateway does", hint=WRONG_PLACE_HINT)


def unreachable(url: httpx.URL, problem: httpx.HTTPError) -> OpinionError:
    """Return our error for one of the driver's; nothing of the request is in it."""
    place = f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}"
    if isinstance(problem, httpx.TimeoutException):
        return GatewayUnavailable(f"the gateway at {place} does not answer in time ({type(problem).__name__})")
    if isinstance(problem, httpx.ConnectError):
        return GatewayUnavailable(f"the gateway at {place} cannot be reached")
    return GatewayUnavailable(f"the connection to the gateway at {place} broke ({type(problem).__name__})")


def may_have_arrived(problem: httpx.HTTPError) -> bool:
    """Tell whether the gateway may have got a request that ended so."""
    return not isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def pause_before_retry(attempt: int, problem: OpinionError, left: float) -> float | None:
    """Return how long to pause before asking again; None when that makes no sense, or there is no time for it.

    Args:
        attempt: How often was asked, from 1.
        problem: How the last try ended.
        left: Seconds that may go on trying.
    """
    if not isinstance(problem, TransientError):
        return None
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
    if problem.retry_after is not None:
        pause = max(pause, problem.retry_after)
    return pause if pause < left else None


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < math.inf else None
