"""A chunker whose chunks a test can count."""

from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.schemas.chunk import Chunk
from second_opinion.schemas.errors import EmptyDocument


class ParagraphChunker:
    """A `Chunker` that makes each paragraph a chunk."""

    name = "paragraphs/1"

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:  # noqa: ARG002
        """Return the paragraphs; blank lines stand between them."""
        chunks: list[Chunk] = []
        start = 0
        for paragraph in text.split("\n\n"):
            guard()
            if paragraph.strip():
                end = start + len(paragraph)
                chunks.append(Chunk(ordinal=len(chunks), text=paragraph, start=start, end=end))
            start += len(paragraph) + 2
        if not chunks:
            raise EmptyDocument("the text is nothing but white space")
        return chunks
