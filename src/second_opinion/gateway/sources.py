"""Documents from files, folders and JSON lines. What cannot be read is told and stops nothing."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from second_opinion.pipeline.extraction import PlainTextExtractor
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import MAX_DOCUMENT_BYTES, DocumentInput, MetadataValue
from second_opinion.schemas.errors import (
    DocumentTooLarge,
    ErrorInfo,
    InvalidDocument,
    InvalidRequest,
    OpinionError,
    UnsupportedMediaType,
)

TEXT_SUFFIXES: Final = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
}
LINE_SUFFIXES: Final = frozenset({".jsonl", ".ndjson"})
LINE_LIMIT: Final = 3 * MAX_DOCUMENT_BYTES
TITLE_LIMIT: Final = 200
FIRST_LINE_LIMIT: Final = 100
STDIN: Final = "-"

_ATX_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$")
_FENCE: Final = re.compile(r"^ {0,3}(```|~~~)")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file, or a line of one, that gives no document."""

    name: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Defaults:
    """What documents get besides what their source says.

    Attributes:
        collection: Where they go, whatever a line says; None leaves it to the line, and files to `default`.
        metadata: Values added to each, over its own.
    """

    collection: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was found, and its name: the path below the folder that was given, with slashes."""

    path: Path
    name: str

    @property
    def holds_lines(self) -> bool:
        """True when it holds one document a line."""
        return self.path.suffix.lower() in LINE_SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """The files under the paths that were given.

    Attributes:
        skipped: How many files in folders were left alone because they are of another kind.
    """

    files: tuple[SourceFile, ...]
    skipped: int = 0


def find_files(paths: Iterable[Path]) -> Found:
    """Find the files to read: those named, and in folders, recursively, those of a known kind. Hidden ones are left.

    Raises:
        InvalidRequest: If a path does not exist or cannot be listed.
    """
    files: list[SourceFile] = []
    skipped = 0
    for path in paths:
        if not path.exists():
            raise InvalidRequest(f"{path} does not exist", hint="Give files or folders, or - for JSON lines on stdin.")
        if path.is_dir():
            inside = list(_walk(path))
            known = [file for file in inside if file.path.suffix.lower() in {*TEXT_SUFFIXES, *LINE_SUFFIXES}]
            files += known
            skipped += len(inside) - len(known)
        else:
            files.append(SourceFile(path=path, name=path.name))
    return Found(files=tuple(files), skipped=skipped)


def count_documents(files: Iterable[SourceFile]) -> int:
    """Return about how many documents these files hold: the lines of JSON lines, one for each other file."""
    total = 0
    for file in files:
        if file.holds_lines:
            with file.path.open("rb") as stream:
                total += sum(part.count(b"\n") for part in iter(lambda: stream.read(1 << 20), b""))
        else:
            total += 1
    return total


def read_files(files: Iterable[SourceFile], defaults: Defaults) -> Iterator[DocumentInput | Unreadable]:
    """Yield a document, or why there is none, for each file and each line of JSON lines, in order."""
    seen: dict[str, Path] = {}
    for file in files:
        if file.holds_lines:
            try:
                with file.path.open("rb") as stream:
                    yield from read_lines(stream, file.name, defaults)
            except OSError as problem:
                yield Unreadable(file.name, _unreadable(problem).info())
        elif file.name in seen:
            clash = InvalidRequest(
                f"{file.path} and {seen[file.name]} would both get the id {file.name!r}",
                hint="Ingest the folder that holds both, so that their paths differ.",
            )
            yield Unreadable(str(file.path), clash.info())
        else:
            seen[file.name] = file.path
            yield _read_text_file(file, defaults)


def read_lines(stream: BinaryIO, name: str, defaults: Defaults) -> Iterator[DocumentInput | Unreadable]:
    """Yield a document, or why there is none, for each line that is not blank; a line holds one JSON object."""
    number = 0
    while line := stream.readline(LINE_LIMIT):
        number += 1
        too_long = len(line) >= LINE_LIMIT and not line.endswith(b"\n")
        while too_long and (rest := stream.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
            continue
        if not line.strip():
            continue
        try:
            if too_long:
                raise DocumentTooLarge(f"the line has more than {LINE_LIMIT:,} bytes")
            yield parse_request(DocumentInput, _completed(_json_object(line, first=number == 1), defaults))
        except OpinionError as problem:
            yield Unreadable(f"{name}:{number}", problem.info())


def title_of(text: str, *, media_type: str, name: str) -> str:
    """Return a title: Markdown's first heading, a plain text's short first line, else the file's name."""
    lines = (line.strip("\ufeff") for line in text.splitlines()[:200])
    found = _first_heading(lines) if media_type == "text/markdown" else _first_line(lines)
    return (found or Path(name).stem)[:TITLE_LIMIT]


def _walk(folder: Path) -> Iterator[SourceFile]:
    for root, folders, names in os.walk(folder, onerror=_raise_unlistable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root) / name
            if not name.startswith(".") and path.is_file():
                yield SourceFile(path=path, name=path.relative_to(folder).as_posix())


def _raise_unlistable(problem: OSError) -> None:
    raise _unreadable(problem)


def _read_text_file(file: SourceFile, defaults: Defaults) -> DocumentInput | Unreadable:
    try:
        media_type = TEXT_SUFFIXES.get(file.path.suffix.lower())
        if media_type is None:
            known = " ".join((*TEXT_SUFFIXES, *sorted(LINE_SUFFIXES)))
            raise UnsupportedMediaType(f"{file.name} is of a kind that is not read (known: {known})")
        size = file.path.stat().st_size
        if size > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(f"{file.name} has {size:,} bytes; the limit is {MAX_DOCUMENT_BYTES:,}")
        text = PlainTextExtractor().extract(file.path.read_bytes(), media_type=media_type)
        title = title_of(text, media_type=media_type, name=file.name)
        payload = {"id": file.name, "title": title, "text": text, "media_type": media_type}
        return parse_request(DocumentInput, _completed(payload, defaults))
    except OSError as problem:
        return Unreadable(file.name, _unreadable(problem).info())
    except OpinionError as problem:
        return Unreadable(file.name, problem.info())


def _json_object(line: bytes, *, first: bool) -> dict[str, Any]:
    try:
        payload = json.loads(line.decode("utf-8-sig" if first else "utf-8"))
    except UnicodeDecodeError as problem:
        raise InvalidDocument(
            f"the line is not UTF-8 (byte {problem.start})", hint="Save the file as UTF-8."
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise InvalidDocument(
            f"the line is not JSON: {problem}",
            hint='Write one object a line: {"id": "1", "title": "...", "text": "..."}',
        ) from problem
    if not isinstance(payload, dict):
        raise InvalidDocument(
            "the line is JSON but no object", hint='Write one object a line: {"id": "1", "title": "...", "text": "..."}'
        )
    return payload


def _completed(payload: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    collection = defaults.collection or payload.get("collection", DEFAULT_COLLECTION)
    completed = {**payload, "collection": collection}
    if defaults.metadata:
        own = payload.get("metadata") or {}
        completed["metadata"] = {**own, **defaults.metadata} if isinstance(own, dict) else own
    return completed


def _first_heading(lines: Iterable[str]) -> str:
    fenced = False
    for line in lines:
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := _ATX_HEADING.match(line)):
            return heading.group(1)
    return ""


def _first_line(lines: Iterable[str]) -> str:
    first = next((line.strip() for line in lines if line.strip()), "")
    return first if len(first) <= FIRST_LINE_LIMIT and not first.endswith((".", ",", ";", ":", "?", "!")) else ""


def _unreadable(problem: OSError) -> InvalidRequest:
    where = problem.filename or "the file"
    return InvalidRequest(
        f"{where} cannot be read: {problem.strerror or problem}", hint="Check the path and its rights."
    )
