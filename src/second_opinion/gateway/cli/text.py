"""Text on its way to a terminal: harmless, and cut by the cells it takes."""

import re
from typing import Final

from rich.cells import cell_len, set_cell_size

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_BLOCK: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_DIRECTION: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
BAR_CELLS: Final = 16


def one_line(text: str) -> str:
    """Return `text` without anything that moves the cursor, changes colours or turns the direction of writing."""
    return _CONTROL.sub(" ", _DIRECTION.sub("", text))


def block(text: str) -> str:
    """Return `text` made harmless likewise, with its line breaks and tabs."""
    return _CONTROL_IN_BLOCK.sub(" ", _DIRECTION.sub("", text))


def squeezed(text: str) -> str:
    """Return `text` on one line with single spaces."""
    return " ".join(one_line(text).split())


def shortened(text: str, cells: int) -> str:
    """Return `text` in at most `cells` terminal cells (wide characters take two), with `…` where it was cut."""
    if cell_len(text) <= cells:
        return text
    if cells <= 1:
        return "…"[:cells]
    return set_cell_size(text, cells - 1).rstrip() + "…"


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """Return a bar for a share in [0, 1], exact to an eighth of a cell."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 document`, `1,204 documents`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds(value: float) -> str:
    """Return a duration for people: `1.8 s`, `2 min 5 s`."""
    if value < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
