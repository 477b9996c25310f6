"""Where a command writes: data to stdout; progress, summaries, hints and errors to stderr.

Colour and icons only enhance: without a terminal, or with `NO_COLOR`, the same words stand there plainly.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from second_opinion.gateway.cli.text import block, one_line
from second_opinion.schemas.errors import ErrorInfo

_UNSAFE_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MAX_WIDTH: Final = 120


class Terminal:
    """The two streams of one command.

    Args:
        as_json: Data is printed as JSON.
        quiet: Summaries, hints and progress are left out; errors never are.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.stdout = _console(stderr=False)
        self.stderr = _console(stderr=True)

    @property
    def interactive(self) -> bool:
        """True when a person reads stdout; otherwise data is plain and tab-separated."""
        return self.stdout.is_terminal

    @property
    def width(self) -> int:
        """Cells a line may take."""
        return min(self.stdout.width, MAX_WIDTH)

    def lines(self, lines: Iterable[Text | str]) -> None:
        """Print data laid out for people."""
        for line in lines:
            self.stdout.print(line, soft_wrap=True)

    def rows(self, rows: Iterable[Sequence[object]]) -> None:
        """Print data as tab-separated lines, untruncated and without a header."""
        for row in rows:
            sys.stdout.write("\t".join("" if cell is None else one_line(str(cell)) for cell in row) + "\n")
        sys.stdout.flush()

    def json(self, value: Any) -> None:
        """Print a value as JSON that is safe to look at on a terminal."""
        text = json.dumps(as_data(value), ensure_ascii=False, indent=2, allow_nan=False)
        escaped = _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
        sys.stdout.write(escaped + "\n")
        sys.stdout.flush()

    def done(self, sentence: str) -> None:
        """Say that something succeeded."""
        self._say("✓", "green", sentence)

    def neutral(self, sentence: str) -> None:
        """Say how something ended that is neither success nor failure."""
        self._say("-", "yellow", sentence)

    def warn(self, sentence: str) -> None:
        """Say what the caller should know although it went well."""
        self._say("!", "yellow", sentence)

    def failed(self, sentence: str) -> None:
        """Say that part of the work failed; never hidden."""
        self._say("✗", "red", sentence, always=True)

    def detail(self, line: str) -> None:
        """Print a line that belongs to a failure above it; never hidden."""
        self._flush()
        self.stderr.print(Text(line), soft_wrap=True)

    def hint(self, sentence: str) -> None:
        """Say what to run next."""
        if not self.quiet:
            self._flush()
            self.stderr.print(Text.assemble(("hint:", "cyan"), " ", one_line(sentence)), soft_wrap=True)

    def error(self, error: ErrorInfo) -> None:
        """Print an error and what to do about it; never hidden. With JSON, stdout receives it as data too."""
        if self.as_json:
            self.json({"error": error})
        self._flush()
        self.stderr.print(Text.assemble(("error:", "bold red"), " ", block(error.message)), soft_wrap=True)
        if error.hint:
            self.stderr.print(Text.assemble(("hint:", "cyan"), " ", block(error.hint)), soft_wrap=True)

    def _say(self, icon: str, colour: str, sentence: str, *, always: bool = False) -> None:
        if always or not self.quiet:
            self._flush()
            self.stderr.print(Text.assemble((icon, colour), " ", one_line(sentence)), soft_wrap=True)

    def _flush(self) -> None:
        # What was printed as data has to stand above what is said about it.
        sys.stdout.flush()


def as_data(value: Any) -> Any:
    """Return models, and lists and mappings of them, as plain JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_data(item) for item in value]
    return value


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)
