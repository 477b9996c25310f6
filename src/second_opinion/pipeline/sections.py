"""Where the sections of a Markdown text begin and under which headings they stand.

A scanner of lines, linear in the text: ATX headings (`## Dose`), setext headings (a line underlined with `===` or
`---`), fenced code and YAML front matter are told apart. Headings inside quotes, lists and HTML are left as text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LINE: Final = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
ATX: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
SETEXT: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
NO_PARAGRAPH: Final = re.compile(r"[ \t]*$| {4}|\t| {0,3}(?:>|[-+*][ \t]|\d{1,9}[.)][ \t]|#{1,6}(?:[ \t]|$)|<|\|)")
LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
EMPHASIS: Final = re.compile(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1")


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of text between two headings.

    Attributes:
        headings: Headings it stands under, outermost first.
        opening: Offset of its heading's first character; `start` where it has none of its own.
        start: Offset of its body's first character.
        end: Offset behind its body.
        level: Level of its own heading, 0 for the text before the first one.
    """

    headings: tuple[str, ...]
    opening: int
    start: int
    end: int
    level: int


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    text: str
    opening: int
    end: int


def markdown_sections(text: str) -> list[Section]:
    """Return the sections of a Markdown text, in order; together with their headings they cover it."""
    found: list[Section] = []
    path: list[_Heading] = []
    before = _Heading(0, "", 0, 0)
    for heading in _headings(text):
        found.append(_section(path, before, heading.opening))
        path = [*(outer for outer in path if outer.level < heading.level), heading]
        before = heading
    found.append(_section(path, before, len(text)))
    return found


def _section(path: list[_Heading], own: _Heading, end: int) -> Section:
    headings = tuple(heading.text for heading in path if heading.text)
    return Section(headings, own.opening, own.end, end, own.level)


def _headings(text: str) -> Iterator[_Heading]:
    fence = ""
    paragraph: re.Match[str] | None = None
    first_of_paragraph = True
    position = _after_front_matter(text)
    while position < len(text) and (line := LINE.match(text, position)) is not None:
        position = line.end()
        content = line.group(1)
        marker = FENCE.match(content)
        if fence:
            if marker is not None and marker.group(1).startswith(fence) and not marker.group(2).strip():
                fence = ""
            continue
        if marker is not None and not (marker.group(1)[0] == "`" and "`" in marker.group(2)):
            fence, paragraph = marker.group(1), None
            continue
        if (atx := ATX.match(content)) is not None:
            yield _Heading(len(atx.group(1)), plain(atx.group(2) or ""), line.start(), line.end())
            paragraph = None
        elif paragraph is not None and first_of_paragraph and (rule := SETEXT.match(content)) is not None:
            level = 1 if rule.group(1)[0] == "=" else 2
            yield _Heading(level, plain(paragraph.group(1)), paragraph.start(), line.end())
            paragraph = None
        elif NO_PARAGRAPH.match(content):
            paragraph = None
        else:
            first_of_paragraph = paragraph is None
            paragraph = line


def _after_front_matter(text: str) -> int:
    line = LINE.match(text)
    if line is None or line.group(1).rstrip() != "---":
        return 0
    closing = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE).search(text, line.end(), line.end() + 20_000)
    return 0 if closing is None else closing.end()


def plain(heading: str) -> str:
    """Return a heading without Markdown's marks."""
    text = LINK.sub(r"\1", heading)
    return EMPHASIS.sub(r"\2", text).strip()
