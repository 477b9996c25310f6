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
        self._alone = _frame(rust, pair=False)
        self._paired = _frame(rust, pair=True)

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
        ids: list[int] = self.rust.encode(_readable(text), add_special_tokens=False).ids
        return ids

    def count(self, text: str) -> int:
        """Return how many tokens `text` has, without the special ones."""
        return len(self.tokens(text))

    def beginning(self, text: str, tokens: int) -> str:
        """Return the first `tokens` tokens of a text as text; the text itself when it has no more."""
        readable = _readable(text)
        ends: list[tuple[int, int]] = self.rust.encode(readable, add_special_tokens=False).offsets
        if len(ends) <= tokens:
            return text
        return readable[: ends[tokens - 1][1]] if tokens > 0 else ""

    @property
    def room(self) -> int:
        """Most tokens of a text that is an input by itself, special ones left out."""
        return self.max_tokens - self._alone.size

    def query_cut(self, text: str, *, alone: bool = False) -> int | None:
        """Return how many tokens of a query are read when it has more; None when it is read whole.

        Args:
            text: The query.
            alone: It is an input by itself, and not one half of a pair.
        """
        room = self.room if alone else self.max_query_tokens
        return room if len(text) > MAX_CHARACTERS or self.count(text) > room else None

    def single(self, text: str) -> ModelInput:
        """Return the input for one text, cut at the window."""
        ids = self.tokens(text)
        return self._alone.around(ids[: self.room], truncated=len(ids) > self.room)

    def query(self, text: str) -> list[int]:
        """Return the tokens of a query as pairs keep them: its beginning, if it is a very long one."""
        return self.tokens(text)[: self.max_query_tokens]

    def pair(self, query: list[int], passage: str) -> ModelInput:
        """Return the input for a query and a passage; only the passage is cut at the window."""
        ids = self.tokens(passage)
        room = self.max_tokens - self._paired.size - len(query)
        return self._paired.around(query, ids[:room], truncated=len(ids) > room)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The special tokens before, between and behind texts, and the type of every part in turn."""

    special: tuple[tuple[int, ...], ...]
    special_types: tuple[tuple[int, ...], ...]
    text_types: tuple[int, ...]
    size: int

    def around(self, *texts: list[int], truncated: bool) -> ModelInput:
        ids, types = [*self.special[0]], [*self.special_types[0]]
        for number, text in enumerate(texts):
            ids += [*text, *self.special[number + 1]]
            types += [self.text_types[number]] * len(text) + [*self.special_types[number + 1]]
        return ModelInput(np.array([ids], np.int64), np.array([types], np.int64), truncated)


def _readable(text: str) -> str:
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _frame(rust: RustTokenizer, *, pair: bool) -> _Frame:
    """Learn the frame from an example, as the tokenizer's own template makes it."""
    encoded = rust.encode("a", "a") if pair else rust.encode("a")
    parts = 2 if pair else 1
    ids: list[list[int]] = [[]]
    types: list[list[int]] = [[]]
    text_types = []
    for token, kind, text in zip(encoded.ids, encoded.type_ids, encoded.sequence_ids, strict=True):
        if text is None:
            ids[-1].append(token)
            types[-1].append(kind)
        else:
            text_types.append(kind)
            ids.append([])
            types.append([])
    if len(text_types) != parts:
        raise ModelUnusable("the tokenizer does not keep a plain letter as one token, so it is not a BERT-like one")
    special = tuple(map(tuple, ids))
    return _Frame(special, tuple(map(tuple, types)), tuple(text_types), sum(map(len, special)))
