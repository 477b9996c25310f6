"""Lines of a data set's files, each with the place it stands at, so that an error can name it."""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from second_opinion.schemas.errors import InvalidDataset

ID_FIELDS: Final = ("id", "_id")
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file of JSON lines."""

    place: str
    id: str
    value: dict[str, Any]

    def text(self, name: str) -> str:
        """Return a field that has to be there.

        Raises:
            InvalidDataset: If it is not, or is no text.
        """
        if name not in self.value:
            raise InvalidDataset(f"{self.place}: field {name!r} is missing")
        return self.optional_text(name)

    def optional_text(self, name: str) -> str:
        """Return a field, or the empty text.

        Raises:
            InvalidDataset: If it is there but no text.
        """
        found = self.value.get(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise InvalidDataset(f"{self.place}: field {name!r} is no text")
        return found


@dataclass(frozen=True, slots=True)
class TabRow:
    """One line of a file with columns."""

    place: str
    cells: list[str]

    def whole_number(self, column: int) -> int:
        """Return the whole number in a column; 1.0 is one.

        Raises:
            InvalidDataset: If it is none.
        """
        try:
            value = float(self.cells[column])
        except ValueError:
            value = 0.5
        if not value.is_integer():
            raise InvalidDataset(f"{self.place}: the grade {self.cells[column]!r} is no whole number")
        return int(value)


@dataclass(frozen=True, slots=True)
class Columns:
    """How many columns a file has at least, and whether its first line names them."""

    least: int
    header: bool = False


def read_objects(path: Path) -> Iterator[Row]:
    """Yield the objects of a file of JSON lines; `path` may be gzipped. Blank lines are left out.

    Raises:
        InvalidDataset: If the file is missing, or a line is not a JSON object with an `id` (or `_id`).
    """
    for place, line in _lines(path):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as problem:
            raise InvalidDataset(f"{place}: {problem}") from problem
        known = [value[name] for name in ID_FIELDS if name in value] if isinstance(value, dict) else []
        if not known:
            raise InvalidDataset(f"{place}: not an object with an id")
        if isinstance(known[0], bool) or not isinstance(known[0], str | int) or known[0] == "":
            raise InvalidDataset(f"{place}: the id is neither text nor a number")
        yield Row(place, str(known[0]), value)


def read_columns(path: Path, columns: Columns, *, optional: bool = False) -> Iterator[TabRow]:
    """Yield the lines of a file with columns separated by tabs. Blank lines are left out.

    Raises:
        InvalidDataset: If the file is missing (unless it is optional), or a line has too few columns.
    """
    if optional and not path.exists():
        return
    for number, (place, line) in enumerate(_lines(path)):
        if columns.header and number == 0:
            continue
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) < columns.least:
            raise InvalidDataset(f"{place}: expected {columns.least} columns separated by tabs")
        yield TabRow(place, cells)


def fingerprint(paths: Sequence[Path]) -> str:
    """Return a hash of the contents of files, in their order."""
    found = blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                found.update(block)
        found.update(b"\x00")
    return found.hexdigest()


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise InvalidDataset(f"{path}: there is no such file")
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}, line {number}", line
    except UnicodeDecodeError as problem:
        raise InvalidDataset(f"{path}, after line {number}: not UTF-8 ({problem.reason})") from problem
    except (OSError, EOFError) as problem:
        raise InvalidDataset(f"{path}, after line {number}: cannot be read: {problem}") from problem
