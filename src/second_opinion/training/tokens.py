"""Texts as word-piece ids, kept end to end in one array so that a whole corpus is a few megabytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

CLS: Final = 101
SEP: Final = 102
QUERY_LIMIT: Final = 64
PASSAGE_LIMIT: Final = 254

Ids = NDArray[np.uint16]


@dataclass(frozen=True)
class TokenStore:
    """Many texts: `ids` uint16 [sum of lengths], text i is `ids[starts[i]:starts[i + 1]]`; no special tokens."""

    ids: Ids
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | Ids]) -> Self:
        """Lay `rows` end to end."""
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=starts[1:])
        return cls(np.fromiter((one for row in rows for one in row), dtype=np.uint16, count=int(starts[-1])), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Ids:
        return self.ids[self.starts[index] : self.starts[index + 1]]

    def pick(self, rows: NDArray[np.signedinteger]) -> Self:
        """Return only the texts in `rows`, in that order."""
        return self.of([self[int(row)] for row in rows])

    def length(self, index: int) -> int:
        """Return how many tokens a text has."""
        return int(self.starts[index + 1] - self.starts[index])


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json` and switch its padding and truncation off."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], limit: int) -> TokenStore:
    """Return the first `limit` tokens of each text."""
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return TokenStore.of([one.ids[:limit] for one in encoded])
