"""Texts: read from files, cut into chunks, counted in tokens."""

from typing import Protocol

from second_opinion.pipeline.ports.work import Guard, no_guard
from second_opinion.schemas.chunk import Chunk


class Tokenizer(Protocol):
    """Counts tokens as a model does."""

    def count(self, text: str) -> int:
        """Return how many tokens `text` has, without the special ones."""


class Chunker(Protocol):
    """Cuts a text into chunks."""

    @property
    def name(self) -> str:
        """Name, version and sizes: what an index fingerprint says of it."""

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:
        """Return the chunks of `text` in order; `chunk.text == text[chunk.start:chunk.end]` for each.

        `guard` is called every few thousand characters.

        Raises:
            EmptyDocument: If there is nothing but white space.
        """


class Extractor(Protocol):
    """Turns the bytes of a file into text."""

    @property
    def media_types(self) -> frozenset[str]:
        """The kinds of file it reads."""

    def extract(self, content: bytes, *, media_type: str) -> str:
        """Return the text.

        Raises:
            InvalidDocument: If these bytes give no text.
        """
