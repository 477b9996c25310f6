"""Cut a document's text into chunks that the models read whole, each with the headings it stands under.

A chunk never crosses a heading. Its heading path and the document's title count towards its size, because the models
read them in front of it. Sizes are tokens of the bi-encoder.
"""

import unicodedata
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Final

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from second_opinion.models import BUNDLED, model_folder
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.pipeline.sections import Section, markdown_sections
from second_opinion.schemas.chunk import Chunk, passage_text
from second_opinion.schemas.errors import EmptyDocument, ModelUnusable

VERSION: Final = 1
MARKDOWN: Final = "text/markdown"
TOKENIZER_FILE: Final = "tokenizer.json"
BLOCK_CHARACTERS: Final = 8_000
"""The splitter's time grows with the square of an unbroken text, so it never sees more than this at once."""
CHARACTERS_PER_TOKEN: Final = 8
"""The tokenizer takes a word of any length for one unknown token, so characters are bounded as well."""
STEP_TOKENS: Final = 8
BREAKS: Final = ("\n\n", "\n", ". ", " ")

Splitter = MarkdownSplitter | TextSplitter


def chunker_name(max_tokens: int, overlap: int) -> str:
    """Return what an index fingerprint says of the chunker; known without loading any model."""
    return f"sections-{VERSION}/{max_tokens}+{overlap}"


class SectionChunker:
    """Implements `pipeline.ports.Chunker`. Any number of threads may call it.

    Args:
        tokenizer: The bi-encoder's, with neither truncation nor padding.
        max_tokens: Most tokens of a chunk with its context, special tokens left out.
        overlap: How many of them a chunk repeats from the one before it.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int = 200, overlap: int = 0) -> None:
        self.name: Final = chunker_name(max_tokens, overlap)
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._overlap = overlap
        self._splitter = lru_cache(maxsize=64)(self._make_splitter)

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:
        """Return the chunks of `text` in order; `chunk.text == text[chunk.start:chunk.end]` for each.

        Offsets count characters (code points). `guard` is called every few thousand characters.

        Raises:
            EmptyDocument: If there is nothing but white space.
        """
        is_markdown = media_type.partition(";")[0].strip() == MARKDOWN
        sections = markdown_sections(text) if is_markdown else [Section((), 0, 0, len(text), 0)]
        chunks: list[Chunk] = []
        for place, section in enumerate(sections):
            following = sections[place + 1] if place + 1 < len(sections) else None
            headings, (start, end) = _body(text, section, following)
            context = self._context(title, headings)
            splitter = self._splitter(context.room // STEP_TOKENS * STEP_TOKENS, is_markdown)
            for piece_start, piece_end in self._pieces(text, (start, end), splitter, guard):
                chunks.append(
                    Chunk(
                        ordinal=len(chunks),
                        text=text[piece_start:piece_end],
                        start=piece_start,
                        end=piece_end,
                        headings=context.headings,
                        truncated=context.cut,
                    )
                )
        if not chunks:
            raise EmptyDocument("the document has no text, or only white space")
        return chunks

    def _context(self, title: str, headings: tuple[str, ...]) -> "_Context":
        if headings and headings[0].casefold() == title.strip().casefold():
            headings = headings[1:]
        most = self._max_tokens // 2
        used = self._count(passage_text(title, headings, ""))
        while used > most and headings:
            headings = headings[1:]
            used = self._count(passage_text(title, headings, ""))
        return _Context(headings, max(self._max_tokens - used, most), cut=used > most)

    def _pieces(self, text: str, body: tuple[int, int], splitter: Splitter, guard: Guard) -> Iterator[tuple[int, int]]:
        for block_start, block_end in _blocks(text, *body):
            guard()
            for offset, piece in splitter.chunk_indices(text[block_start:block_end]):
                for inner, part in self._bounded(piece):
                    if not is_blank(part):
                        first = block_start + offset + inner
                        yield first, first + len(part)

    def _bounded(self, piece: str) -> list[tuple[int, str]]:
        if len(piece) <= self._max_tokens * CHARACTERS_PER_TOKEN:
            return [(0, piece)]
        return self._by_characters.chunk_indices(piece)

    @cached_property
    def _by_characters(self) -> TextSplitter:
        return TextSplitter(self._max_tokens * CHARACTERS_PER_TOKEN)

    def _make_splitter(self, room: int, is_markdown: bool) -> Splitter:
        kind = MarkdownSplitter if is_markdown else TextSplitter
        return kind.from_huggingface_tokenizer(self._tokenizer, room, min(self._overlap, room // 2))

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


class _Context:
    """What stands in front of every chunk of a section: which headings, how much room is left, whether it is cut."""

    __slots__ = ("cut", "headings", "room")

    def __init__(self, headings: tuple[str, ...], room: int, *, cut: bool) -> None:
        self.headings = headings
        self.room = room
        self.cut = cut


def open_chunker(model: str = BUNDLED, *, max_tokens: int = 200, overlap: int = 0) -> SectionChunker:
    """Return the chunker for the bi-encoder that a setting names, without loading the model itself.

    Raises:
        ModelUnusable: If the folder holds no tokenizer.
    """
    path = model_folder(model, "embedder") / TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as problem:  # the Rust side raises plain Exception
        raise ModelUnusable(f"{path} is no tokenizer: {problem}", hint="Install the package again.") from problem
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return SectionChunker(tokenizer, max_tokens=max_tokens, overlap=overlap)


def is_blank(text: str) -> bool:
    """Tell whether a text shows nothing: white space and NUL bytes at the most."""
    return not text.replace("\x00", "").strip()


def _body(text: str, section: Section, following: Section | None) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Return headings and range of a section; a heading with nothing below it becomes text under its parents."""
    has_parts = following is not None and following.level > section.level
    if section.level == 0 or has_parts or not is_blank(text[section.start : section.end]):
        return section.headings, (section.start, section.end)
    return section.headings[:-1], (section.opening, section.end)


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > BLOCK_CHARACTERS:
        cut = _cut(text, start + BLOCK_CHARACTERS // 2, start + BLOCK_CHARACTERS)
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _cut(text: str, earliest: int, latest: int) -> int:
    for mark in BREAKS:
        place = text.rfind(mark, earliest, latest)
        if place >= 0:
            return place + len(mark)
    cut = latest
    while cut > earliest and _continues(text[cut - 1], text[cut]):
        cut -= 1
    return cut


def _continues(before: str, after: str) -> bool:
    """Tell whether two characters belong to one sign: combining marks, joined emoji, halves of a line break."""
    joined = "\u200d" in (before, after) or "\U0001f3fb" <= after <= "\U0001f3ff"
    return joined or unicodedata.category(after).startswith("M") or (before == "\r" and after == "\n")
