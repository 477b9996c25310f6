"""Sending and following documents for `opinion ingest`, with a count of everything."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from second_opinion.gateway.protocol import OpinionClient
from second_opinion.gateway.sources import Unreadable
from second_opinion.gateway.watching import DocumentWatch, Settled
from second_opinion.schemas.document import AcceptOutcome, DocumentInput, Receipt
from second_opinion.schemas.errors import ErrorInfo, Overloaded

POLL_SECONDS: Final = 0.2
SAY_SECONDS: Final = 30.0


class Progress(Protocol):
    """Something that shows how far it is."""

    def advance(self, count: int = 1) -> None:
        """Show that `count` more are done."""


@dataclass(slots=True)
class Counts:
    """How many documents had which fate.

    Attributes:
        accepted: Recorded in Elasticsearch by this run.
        unchanged: Recorded before with the same content.
        superseded: Older than what is recorded, and left out.
        searchable: Seen by queries now; of the accepted and unchanged ones that were waited for.
        chunks: Chunks of those.
    """

    accepted: int = 0
    unchanged: int = 0
    superseded: int = 0
    searchable: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that did not get in, and why.

    Attributes:
        kept: True when what was sent is kept, so that it can be tried again without sending it.
    """

    name: str
    error: ErrorInfo
    kept: bool = False


class Intake:
    """One run of `opinion ingest`.

    Args:
        say: Says a sentence beside the data.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        client: OpinionClient,
        say: Callable[[str], object] = lambda _: None,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._say = say
        self._sleep = sleep
        self._said_at = 0.0
        self._watch = DocumentWatch(client.document_statuses)
        self.counts = Counts()
        self.failures: list[Failure] = []

    @property
    def pending(self) -> int:
        """How many accepted documents are not settled yet."""
        return self._watch.pending

    def send(self, documents: Iterable[DocumentInput | Unreadable], progress: Progress) -> None:
        """Send all documents; those that cannot be read or accepted become failures."""
        for receipt in self._client.stream_documents(
            self._readable(documents, progress), overloaded=self._wait_for_room
        ):
            self._count(receipt)
            progress.advance()

    def _wait_for_room(self, problem: Overloaded) -> None:
        """Wait as long as the system asks for; say so now and then."""
        if not self._said_at or time.monotonic() - self._said_at >= SAY_SECONDS:
            self._said_at = time.monotonic()
            self._say(f"Waiting for room: {problem.message}")
        self._sleep(problem.retry_after)

    def wait(self, patience: float, progress: Progress) -> None:
        """Follow the accepted documents until all have settled, or `patience` seconds went by without one that did."""
        until = time.monotonic() + patience
        while self._watch.pending:
            settled = self._watch.poll()
            for one in settled:
                self._settle(one)
            progress.advance(len(settled))
            if settled:
                until = time.monotonic() + patience
            elif time.monotonic() >= until:
                return
            if not self._watch.hurries:
                time.sleep(POLL_SECONDS)

    def _readable(self, documents: Iterable[DocumentInput | Unreadable], progress: Progress) -> Iterator[DocumentInput]:
        for document in documents:
            if isinstance(document, DocumentInput):
                yield document
            else:
                self.failures.append(Failure(document.name, document.error))
                progress.advance()

    def _count(self, receipt: Receipt) -> None:
        match receipt.outcome:
            case AcceptOutcome.REJECTED if receipt.error is not None:
                self.failures.append(Failure(receipt.document_id, receipt.error))
            case AcceptOutcome.SUPERSEDED:
                self.counts.superseded += 1
            case AcceptOutcome.UNCHANGED:
                self.counts.unchanged += 1
                self._watch.add([receipt])
            case _:
                self.counts.accepted += 1
                self._watch.add([receipt])

    def _settle(self, one: Settled) -> None:
        if one.searchable and one.status is not None:
            self.counts.searchable += one.status.searchable
            self.counts.chunks += one.status.chunks
        elif one.status is not None and one.status.error is not None:
            self.failures.append(Failure(one.receipt.document_id, one.status.error, kept=True))
