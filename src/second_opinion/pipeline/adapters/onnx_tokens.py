"""Tokens as a BERT-like model reads them, made by the Rust tokenizer without any state that threads could fight over.

Truncation and padding stay off in the tokenizer itself; inputs are cut and joined here. So the query is tokenised once
for all of its passages, and one object serves any number of threads.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as RustTokenizer

from second_opinion.schemas.errors import ModelUnusable

MAX_CHARACTERS: Final = 32_768
"""What is behind this many characters is not even tokenised: far beyond any window, and it bounds time and memory."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One unpadded input: two vectors of equal length, and whether the text went on beyond the window."""

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    truncated: bool


class ModelTokenizer:
    """The tokenizer of one model, with its window.

    Attributes:
        rust: The `tokenizers.Tokenizer` itself, without truncation or padding; do not set either.
        max_tokens: Longest input, special tokens included.
        max_query_tokens: The most tokens of a query in a pair.
    """

    def __init__(self, rust: RustTokenizer, *, max_tokens: int, max_query_tokens: int) -> None:
        rust.no_truncation()
        rust.no_padding()
        self.rust = rust
        self.max_tokens = max_tokens
        self.max_query_tokens = min(max_query_tokens, max_tokens // 2)
        self._start, self._separator = _frame(rust)

    @classmethod
    def read(cls, path: Path, *, max_tokens: int, max_query_tokens: int) -> "ModelTokenizer":
        """Read a `tokenizer.json`.

        Raises:
            ModelUnusable: If the file is no tokenizer, or does not frame inputs as BERT does.
        """
        try:
            rust = RustTokenizer.from_file(str(path))
        except Exception as problem:  # the Rust side raises plain Exception
            raise ModelUnusable(f"{path} is no tokenizer: {problem}") from problem
        return cls(rust, max_tokens=max_tokens, max_query_tokens=max_query_tokens)

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of `text` without special ones; a text of any content or length is harmless."""
        readable = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self.rust.encode(readable, add_special_tokens=False).ids
        return ids

    def count(self, text: str) -> int:
        """Return how many tokens `text` has, without the special ones."""
        return len(self.tokens(text))

    def single(self, text: str) -> ModelInput:
        """Return the input for one text, cut at the window."""
        ids = self.tokens(text)
        room = self.max_tokens - 2
        framed = [self._start, *ids[:room], self._separator]
        return ModelInput(np.array([framed]), np.zeros((1, len(framed)), np.int64), len(ids) > room)

    def query(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a query as pairs keep them: its beginning, if it is a very long one."""
        return tuple(self.tokens(text)[: self.max_query_tokens])

    def pair(self, query: tuple[int, ...], passage: str) -> ModelInput:
        """Return the input for a query and a passage; only the passage is cut at the window."""
        ids = self.tokens(passage)
        room = self.max_tokens - 3 - len(query)
        first = [self._start, *query, self._separator]
        second = [*ids[:room], self._separator]
        types = np.zeros((1, len(first) + len(second)), np.int64)
        types[0, len(first) :] = 1
        return ModelInput(np.array([first + second]), types, len(ids) > room)


def _frame(rust: RustTokenizer) -> tuple[int, int]:
    ids = rust.encode("", "").ids
    if len(ids) != 3 or ids[1] != ids[2]:  # noqa: PLR2004 - [CLS] query [SEP] passage [SEP]
        raise ModelUnusable("the tokenizer does not frame a pair as [CLS] query [SEP] passage [SEP]")
    return ids[0], ids[1]
