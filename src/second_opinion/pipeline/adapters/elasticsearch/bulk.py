"""Bulk requests: in slices that Elasticsearch takes, each item looked at, items it had no room for sent again."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.errors import cause, from_status, store_errors
from second_opinion.pipeline.time_budget import left
from second_opinion.schemas.errors import OpinionError

SLICE_BYTES: Final = 16 * 1024 * 1024
SLICE_ITEMS: Final = 1_000
BUSY: Final = frozenset({429, 503})
PAUSES: Final = (0.1, 0.4, 1.6)


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a bulk request: `create`, `index` or `delete`, where to, and the body."""

    verb: str
    target: Mapping[str, Any]
    body: str | None = None

    @property
    def size(self) -> int:
        """Bytes it takes in a request, roughly."""
        return 200 + len(self.body or "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action."""

    status: int
    seq_no: int = -1
    primary_term: int = -1
    reason: str = ""

    @property
    def error(self) -> OpinionError | None:
        """The error that the status stands for, if it stands for one."""
        return None if self.status < 300 else from_status(self.status, self.reason)  # noqa: PLR2004


def to_json(body: Mapping[str, Any]) -> str:
    """Return a body for an action, encoded once."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def run_bulk(
    connection: Connection, index: str, actions: Sequence[Action], *, require_alias: bool = False
) -> list[Outcome]:
    """Run the actions and return the outcome of each, in order.

    Items that Elasticsearch turned away for lack of room were certainly not applied, so only they are sent again.

    Args:
        connection: The client.
        index: Where to; with `require_alias` an alias, so that an index that is gone is not made anew by guessing.
        actions: What to do.
        require_alias: Refuse to write where no alias of this name is.

    Raises:
        OpinionError: If a request as a whole failed; some of its items may then have been applied.
    """
    outcomes: list[Outcome] = []
    for part in _slices(actions):
        outcomes += _run_slice(connection, index, part, require_alias)
    return outcomes


def _run_slice(connection: Connection, index: str, actions: Sequence[Action], require_alias: bool) -> list[Outcome]:
    outcomes = _send(connection, index, actions, require_alias)
    for pause in PAUSES:
        busy = [place for place, outcome in enumerate(outcomes) if outcome.status in BUSY]
        if not busy or left(pause) < pause:
            break
        time.sleep(pause)
        again = _send(connection, index, [actions[place] for place in busy], require_alias)
        for place, outcome in zip(busy, again, strict=True):
            outcomes[place] = outcome
    return outcomes


def _send(connection: Connection, index: str, actions: Sequence[Action], require_alias: bool) -> list[Outcome]:
    lines: list[Any] = []
    for action in actions:
        lines.append({action.verb: action.target})
        if action.body is not None:
            lines.append(action.body)
    with store_errors():
        answer = connection.writes.bulk(operations=lines, index=index, require_alias=require_alias or None)
    return [_outcome(item) for item in answer["items"]]


def _outcome(item: Mapping[str, Any]) -> Outcome:
    (result,) = item.values()
    reason = cause(result["error"]) if "error" in result else ""
    return Outcome(int(result["status"]), result.get("_seq_no", -1), result.get("_primary_term", -1), reason)


def _slices(actions: Sequence[Action]) -> Iterator[Sequence[Action]]:
    start, size = 0, 0
    for place, action in enumerate(actions):
        if place > start and (size + action.size > SLICE_BYTES or place - start >= SLICE_ITEMS):
            yield actions[start:place]
            start, size = place, 0
        size += action.size
    if start < len(actions):
        yield actions[start:]
