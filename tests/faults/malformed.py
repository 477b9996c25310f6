"""Payloads that are no message of ours, in envelopes that are well formed; and items that are no envelope at all."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from second_opinion.workers.routing import (
    ACCEPT,
    EXTRACT,
    INDEX,
    RECONCILE,
    REMAKE,
    RERANK,
    RETRIEVE,
    SUBMIT_QUERY,
    SWEEP,
)

DEEP: Final = 200
LONG: Final = 20_000
TASKS: Final = (ACCEPT, SUBMIT_QUERY, EXTRACT, INDEX, REMAKE, RETRIEVE, RERANK, RECONCILE, SWEEP)
ENDED: Final = ("task_done", "task_failed")
GARBAGE: Final[tuple[bytes, ...]] = (
    b"xxx",
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"null",
    b"7",
    b"[]",
    b"{}",
    b'"text"',
    b'{"body": "e30="}',
    b'{"body": "e30=", "properties": null}',
    b'{"body": "e30=", "properties": {}, "headers": {}}',
    b'{"body": "e30=", "properties": {"delivery_tag": "t"}, "headers": {}}',
    b'{"body": "e30=", "properties": {"delivery_tag": [], "delivery_info": {"exchange": "", "routing_key": ""}}}',
    b'{"body": "!", "properties": {"body_encoding": "base64", "delivery_tag": "t", "delivery_info": {}}}',
    b'{"body": "e30=", "properties": {"body_encoding": "rot13", "delivery_tag": "t", "delivery_info": {}}}',
    b'{"body": "e30=", "headers": [], "properties": {"delivery_tag": "t", "delivery_info": {"exchange": ""}}}',
    b"[" * 100_000,
)
"""What somebody may push who takes the queue for a list of texts, or means ill."""


def payloads(seed: int) -> "Payloads":
    """Return payloads that a seed decides."""
    return Payloads(random.Random(f"malformed {seed}"))  # noqa: S311 - has to be repeatable


class Payloads:
    """Makes arguments of tasks that are nearly right, or not at all."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def next(self, task: str) -> list[Any]:
        """Return the arguments of a message for a task."""
        if self._rng.random() < 0.1:
            return [self._anything() for _ in range(self._rng.choice((0, 2, 3)))]
        makers: Sequence[Callable[[], Any]] = (self._anything, lambda: self._bent(self._right(task)))
        return [self._rng.choice(makers)()]

    def _right(self, task: str) -> Any:
        ref = {"key": "0" * 40, "target": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}
        document = {"id": f"d{self._rng.randrange(50)}", "text": "A note.", "metadata": {"a": 1}}
        return {
            ACCEPT: lambda: {"documents": [document], "deletions": [{"id": "d1"}]},
            SUBMIT_QUERY: lambda: {"query": {"text": "Which note?", "job_id": f"fuzz-{self._rng.randrange(10**9)}"}},
            EXTRACT: lambda: {"document": ref},
            INDEX: lambda: {"documents": [ref]},
            REMAKE: lambda: {"collection": "default", "index": "nothing", "keys": ["k"]},
            RETRIEVE: lambda: {"job_id": "nobody-knows-it"},
            RERANK: lambda: {"job_id": "nobody-knows-it", "waits": 0, "usage": []},
            RECONCILE: dict,
            SWEEP: dict,
        }[task]()

    def _bent(self, value: Any) -> Any:
        """Change one thing, somewhere inside."""
        if isinstance(value, dict) and value and self._rng.random() < 0.7:
            name = self._rng.choice(sorted(value))
            return {**value, name: self._bent(value[name])}
        if isinstance(value, list) and value and self._rng.random() < 0.7:
            return [self._bent(value[0]), *value[1:]]
        return self._anything()

    def _anything(self, depth: int = 3) -> Any:
        plain: list[Any] = [
            None,
            True,
            -1,
            2**70,
            1e308,
            "",
            "\x00",
            "\ud800",
            "\u202e right to left",
            "0" * 40,
            "x" * self._rng.choice((1, 600, LONG)),
            json.loads("[" * DEEP + "]" * DEEP),
            {"schema_version": 99},
            {"id": {"$ne": None}},
        ]
        if depth and self._rng.random() < 0.4:
            count = self._rng.randrange(4)
            if self._rng.random() < 0.5:
                return [self._anything(depth - 1) for _ in range(count)]
            names = self._rng.sample(["documents", "document", "job_id", "query", "key", "", "текст"], count)
            return {name: self._anything(depth - 1) for name in names}
        return self._rng.choice(plain)
