"""Reading the logs of a stack's parts: the last lines, and new ones as they come."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from second_opinion.ops.state import StateFolder

BYTES_A_LINE: Final = 512
POLL_SECONDS: Final = 0.25


def log_parts(state: StateFolder) -> list[str]:
    """Return the names of all parts that have a log."""
    return sorted(path.stem for path in state.logs.glob("*.log"))


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a log at the most; none when it does not exist.

    Very long lines may make it fewer: only the end of the file is read.
    """
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - BYTES_A_LINE * count))
            return log.read().decode("utf-8", errors="replace").splitlines()[-count:] if count > 0 else []
    except OSError:
        return []


def follow(state: StateFolder, parts: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (part, line) for each line that is written from now on, for ever."""
    places = {part: _size(state.log_file(part)) for part in parts}
    while True:
        for part, place in places.items():
            lines, places[part] = _new_lines(state.log_file(part), place)
            for line in lines:
                yield part, line
        time.sleep(POLL_SECONDS)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _new_lines(path: Path, place: int) -> tuple[list[str], int]:
    """Return the whole lines after byte `place`, and the place after them; a log that was cut starts anew."""
    size = _size(path)
    if size == place:
        return [], place
    with path.open("rb") as log:
        log.seek(place if place <= size else 0)
        text = log.read()
        whole, _, rest = text.rpartition(b"\n")
        end = log.tell() - len(rest)
    return whole.decode("utf-8", errors="replace").splitlines(), end
