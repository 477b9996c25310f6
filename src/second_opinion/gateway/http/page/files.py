"""The page's files under `/` and `/assets/`: read once, no path of the file system ever made from a request."""

import json
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from second_opinion.gateway.sources import Defaults, Unreadable, find_files, read_files
from second_opinion.samples import samples_folder
from second_opinion.schemas.errors import NotFound

STATIC: Final = Path(__file__).resolve().parent / "static"
INDEX: Final = "index.html"
SAMPLES: Final = "samples.json"
MODULES_HERE: Final = "<!-- modules -->"
NO_MODULES: Final = frozenset({"js/theme.js"})
NOT_MODIFIED: Final = 304
# What has its hash in its name never changes; everything else is asked for again, and mostly not sent again.
FOR_GOOD: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str
    lasting: str


@router.get("/")
def index(request: Request) -> Response:
    """Answer with the page."""
    return _answer(files()[INDEX], request)


@router.get("/favicon.ico")
def favicon(request: Request) -> Response:
    """Answer browsers that look for an icon by its old name."""
    return _answer(files()["mark.svg"], request)


@router.get("/assets/{name:path}")
def asset(name: str, request: Request) -> Response:
    """Answer with one of the page's files.

    Raises:
        NotFound: If the page has no such file.
    """
    found = files().get(name)
    if found is None:
        raise NotFound("the page has no such file", hint="Load the page again: it may be from another version.")
    return _answer(found, request)


@cache
def files() -> Mapping[str, PageFile]:
    """Return every file of the page by its name under `/assets/`."""
    found = {
        path.relative_to(STATIC).as_posix(): _file(path.name, path.read_bytes())
        for path in sorted(STATIC.rglob("*"))
        if path.is_file()
    }
    page = (STATIC / INDEX).read_text(encoding="utf-8").replace(MODULES_HERE, _preloads(found))
    return {
        **found,
        INDEX: _file(INDEX, page.encode()),
        SAMPLES: _file(SAMPLES, json.dumps({"documents": samples()}).encode()),
    }


def samples() -> list[dict[str, object]]:
    """Return the bundled sample documents as bodies for `POST /v1/documents`, without a collection."""
    documents = read_files(find_files([samples_folder()]).files, Defaults())
    wanted = {"id", "title", "text", "media_type"}
    return [one.model_dump(mode="json", include=wanted) for one in documents if not isinstance(one, Unreadable)]


def _preloads(names: Iterable[str]) -> str:
    """Name every module in the page itself: a browser that finds them one import after another asks in five rounds."""
    modules = (name for name in names if name.endswith(".js") and name not in NO_MODULES)
    return "\n    ".join(f'<link rel="modulepreload" href="/assets/{name}" />' for name in modules)


def _file(name: str, content: bytes) -> PageFile:
    digest = sha256(content).hexdigest()
    known = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    is_text = known.startswith("text/") or known.endswith(("json", "svg+xml"))
    return PageFile(
        content=content,
        media_type=f"{known}; charset=utf-8" if is_text else known,
        etag=f'"{digest[:20]}"',
        lasting=FOR_GOOD if digest[:12] in name else ASK_AGAIN,
    )


def _answer(file: PageFile, request: Request) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": file.lasting}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
