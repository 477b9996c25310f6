"""What callers do: changes of documents, sent until somebody takes them."""

import base64
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.document import AcceptOutcome, Receipt
from second_opinion.schemas.errors import OpinionError
from second_opinion.testing.simulation.ledger import DEADLY, UNREADABLE, Sent, text_of
from second_opinion.testing.simulation.scheduler import Process
from second_opinion.testing.simulation.world import World

DOCUMENTS: Final = (2, 4, 8)
CHANGES: Final = 20
PARTS: Final = (1, 2, 3, 4)
LONG_PARTS: Final = 24
LONG_SHARE: Final = 0.2
DELETED_SHARE: Final = 0.2
BYTES_SHARE: Final = 0.25
AGAIN_SHARE: Final = 0.15
POISON_SHARE: Final = 0.1
BATCH_SHARE: Final = 0.3
TRIES: Final = 12
LONGEST_WAIT: Final = 4.0
PAUSES: Final = (0.3, 4.0, 12.0)
TAKEN: Final = frozenset(
    {AcceptOutcome.ACCEPTED, AcceptOutcome.UNCHANGED, AcceptOutcome.SUPERSEDED, AcceptOutcome.DELETED}
)
HARMLESS: Final = frozenset({"write_conflict", "unknown_document"})


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one document.

    Attributes:
        order: Its place among the document's changes; where the document has versions, also its `source_version`.
        label: What the content says; None for a deletion.
    """

    document: str
    order: int
    label: str | None
    parts: int
    versioned: bool
    as_bytes: bool

    def payload(self) -> dict[str, Any]:
        """Return what is sent."""
        payload: dict[str, Any] = {"id": self.document}
        if self.versioned:
            payload["source_version"] = self.order
        if self.label is None:
            return payload
        text = text_of(self.label, self.parts)
        return {**payload, "content": _base64(text)} if self.as_bytes else {**payload, "text": text}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def scripts(rng: random.Random, clients: int = 3) -> list[list[list[Change]]]:
    """Return, for each client, batches of changes.

    Documents with versions are changed by all clients, in any order; one without by a single client, in order, since
    there the last to arrive wins.
    """
    scripted: list[list[list[Change]]] = [[] for _ in range(clients)]
    orders = {f"d{number}": 0 for number in range(rng.choice(DOCUMENTS))}
    labels: dict[str, list[str]] = {name: [] for name in orders}
    for number in range(CHANGES):
        document = rng.choice(sorted(orders))
        versioned = document != "d0"
        orders[document] += 1
        change = Change(
            document=document,
            order=orders[document],
            label=_label(rng, number, labels[document]),
            parts=LONG_PARTS if rng.random() < LONG_SHARE else rng.choice(PARTS),
            versioned=versioned,
            as_bytes=rng.random() < BYTES_SHARE,
        )
        if change.label is not None:
            labels[document].append(change.label)
        client = scripted[rng.randrange(clients) if versioned else 0]
        if client and rng.random() < BATCH_SHARE and (client[-1][0].label is None) == (change.label is None):
            client[-1].append(change)
        else:
            client.append([change])
    for client in scripted:
        if client and rng.random() < AGAIN_SHARE:
            client.append([one for one in rng.choice(client) if one.versioned] or client[-1])
    return scripted


def _label(rng: random.Random, number: int, earlier: Sequence[str]) -> str | None:
    if rng.random() < DELETED_SHARE:
        return None
    # Now and then a document gets back what it once said.
    if earlier and rng.random() < AGAIN_SHARE:
        return rng.choice(earlier)
    mood = rng.random()
    if mood < POISON_SHARE:
        return f"n{number}{UNREADABLE if mood < POISON_SHARE / 2 else DEADLY}"
    return f"n{number}"


class Client:
    """A caller that sends its batches one after the other, each until it is told that it is taken.

    What it has sent outlives its process: started again, it goes on with the batch it was at, or leaves that one open.
    """

    def __init__(self, world: World, batches: Sequence[Sequence[Change]], rng: random.Random) -> None:
        self._world = world
        self._batches = list(batches)
        self._rng = rng
        self._longest_pause = rng.choice(PAUSES)
        self._place = 0
        self._begun = False

    @property
    def is_done(self) -> bool:
        """True when nothing is left to be sent."""
        return self._place >= len(self._batches)

    def begin(self, process: Process) -> None:
        """Go on in a new process."""
        if self._begun and self._rng.random() < 0.5:  # noqa: PLR2004 - a caller that does not know, and does not ask
            self._place += 1
        self._begun = False
        self._world.sea.scheduler.spawn(process.name, process, lambda: self._run(process))

    def _run(self, process: Process) -> None:
        acceptance = self._world.acceptance(process)
        clock = self._world.seen_by(process).clock
        while not self.is_done:
            clock.sleep(self._rng.uniform(0.0, self._longest_pause))
            batch = self._batches[self._place]
            self._begun = True
            send = acceptance.delete if batch[0].label is None else acceptance.accept
            self._send(batch, send, clock)
            self._begun = False
            self._place += 1
        self._world.retired.add(process.name)

    def _send(self, batch: Sequence[Change], send: Callable[[Any], list[Receipt]], clock: Clock) -> None:
        ledger = self._world.ledger
        ledger.unversioned.update(one.document for one in batch if not one.versioned)
        noted = [ledger.will_send(one.document, one.order, one.label) for one in batch]
        for _ in range(TRIES):
            # Sent again, a change comes last again, even before one that was taken with it: it is to be heard of anew.
            for one, change in zip(batch, noted, strict=True):
                change.acknowledged = change.acknowledged and one.versioned
            try:
                receipts = send([one.payload() for one in batch])
            except OpinionError as problem:
                if not problem.transient:
                    ledger.broken(f"{_named(batch)}: {problem.code} {problem.message}")
                    return
                self._world.sea.tell(f"client hears {problem.code}")
                clock.sleep(self._rng.uniform(0.5, LONGEST_WAIT))
                continue
            if self._note(noted, receipts):
                return

    def _note(self, noted: Sequence[Sent], receipts: Sequence[Receipt]) -> bool:
        """Note what the client was told; False when it has to send again."""
        again = False
        for change, receipt in zip(noted, receipts, strict=True):
            self._world.sea.tell(f"client hears {receipt.document_id} {change.label}: {receipt.outcome}")
            change.acknowledged = change.acknowledged or receipt.outcome in TAKEN
            if receipt.error is not None and receipt.error.code not in HARMLESS:
                self._world.ledger.broken(f"{receipt.document_id}: change {change.order} refused: {receipt.error.code}")
            again = again or (receipt.error is not None and receipt.error.transient)
        return not again


def _named(batch: Sequence[Change]) -> str:
    """Name a batch in a sentence."""
    return " ".join(f"{one.document}/{one.order}" for one in batch)
