"""Batches: as many documents as one request carries well, by count and by bytes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

ItemT = TypeVar("ItemT")

BATCH_DOCUMENTS: Final = 100
BATCH_BYTES: Final = 8 * 1024 * 1024


def batched(
    items: Iterable[ItemT],
    size_of: Callable[[ItemT], int],
    *,
    most: int = BATCH_DOCUMENTS,
    most_bytes: int = BATCH_BYTES,
) -> Iterator[list[ItemT]]:
    """Yield the items in order, in lists of at most `most` items and `most_bytes` bytes; one too large stands alone."""
    batch: list[ItemT] = []
    held = 0
    for item in items:
        size = size_of(item)
        if batch and (len(batch) >= most or held + size > most_bytes):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += size
    if batch:
        yield batch
