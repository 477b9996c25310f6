"""Callers during a storm: one that writes and some that ask. What cannot be had now they ask for again."""

import math
import random
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from ulid import ULID

from second_opinion import Client
from second_opinion.schemas.document import AcceptOutcome
from second_opinion.schemas.errors import OpinionError, UnknownDocument, UnknownJob
from second_opinion.schemas.messages import AcceptDocuments
from second_opinion.workers.app import make_app
from second_opinion.workers.queue import CeleryTaskQueue
from second_opinion.workers.routing import ACCEPT
from second_opinion.workers.settings import Settings
from tests.faults import shelf
from tests.faults.ledger import GONE, Ledger
from tests.faults.observe import Observer, digest
from tests.faults.shelf import Works

PAUSE_SECONDS: Final = 0.2
BY_NAME_SECONDS: Final = 20.0
COUNT_SECONDS: Final = 1.0
BATCH: Final = 8
GOOD: Final = {AcceptOutcome.ACCEPTED, AcceptOutcome.UNCHANGED, AcceptOutcome.DELETED}

AnswerT = TypeVar("AnswerT")


class Caller:
    """A thread of its own with a client of its own, until it is told to stop.

    Attributes:
        counts: What it did.
        problems: What must not have happened.
    """

    def __init__(self, settings: Settings, works: Works, ledger: Ledger, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._settings = settings
        self._works = works
        self._ledger = ledger
        self._random = random.Random(seed)  # noqa: S311 - the storm is the same for the same seed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let it finish what it has begun, and wait for it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Client(self._settings) as client:
                while not self._stopping.is_set():
                    self._step(client)
        except BaseException as problem:
            self.problems.append(f"{type(self).__name__} broke: {problem!r}")
            raise

    def _step(self, client: Client) -> None:
        raise NotImplementedError

    def _insist(self, call: Callable[[], AnswerT]) -> AnswerT:
        """Try until it works: servers come back."""
        while True:
            try:
                return call()
            except OpinionError as problem:
                if not problem.transient:
                    raise
                self.counts[f"tried again: {problem.code}"] += 1
                time.sleep(PAUSE_SECONDS)


class Backlog:
    """How many works wait to be indexed, counted at most once a second however many writers ask."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        self._counted_at = -math.inf
        self._count = 0

    def count(self) -> int:
        """Return the number; the last one that could be had, while Elasticsearch cannot be asked."""
        with self._lock:
            if time.monotonic() > self._counted_at + COUNT_SECONDS:
                with suppress(Exception):
                    self._count = self._observer.waiting()
                self._counted_at = time.monotonic()
            return self._count


class Writer(Caller):
    """Sends works of its own, new editions of them and deletions, never so many that the backlog outgrows `room`."""

    def __init__(  # noqa: PLR0917 - one fact each
        self,
        settings: Settings,
        works: Works,
        ledger: Ledger,
        seed: int,
        own: Sequence[int],
        backlog: Backlog,
        room: int,
    ) -> None:
        super().__init__(settings, works, ledger, seed)
        self._backlog = backlog
        self._room = room
        self._editions: dict[int, int] = {}
        self._gone: dict[int, float] = {}
        self._own = own
        self._unsent = iter(own)
        self._queue = CeleryTaskQueue(make_app(settings))

    @property
    def is_through(self) -> bool:
        """Whether every work was sent once."""
        return len(self._editions) == len(self._own)

    def deleted_before(self, work: int) -> float | None:
        """Return when the deletion of a work that is deleted was acknowledged (monotonic seconds)."""
        return self._gone.get(work)

    def _step(self, client: Client) -> None:
        fresh = [work for _, work in zip(range(BATCH), self._unsent, strict=False)]
        known = list(self._editions)
        again = self._random.sample(known, min(len(known), BATCH if not fresh else 2))
        self._send(client, [(work, self._editions.get(work, 0) + 1) for work in [*fresh, *again]])
        if known and self._random.random() < 1 / 2:
            self._delete(client, self._random.choice(known))
        while not self._stopping.is_set() and self._backlog.count() > self._room:
            time.sleep(PAUSE_SECONDS)

    def _send(self, client: Client, editions: list[tuple[int, int]]) -> None:
        for work, edition in editions:
            self._ledger.intend(work, edition)
            self._gone.pop(work, None)
        payloads = [self._works.payload(work, edition) for work, edition in editions if not shelf.sent_by_name(work)]
        receipts = self._insist(lambda: client.submit_documents(payloads))
        refused = [one.document_id for one in receipts if one.outcome not in GOOD]
        self.problems += [f"{one} was not accepted" for one in refused]
        for work, edition in editions:
            if shelf.sent_by_name(work):
                self._send_by_name(client, work, edition)
            self._editions[work] = edition
            self._ledger.acknowledge(work, edition)
            self.counts["editions"] += 1

    def _send_by_name(self, client: Client, work: int, edition: int) -> None:
        """Send through the intake workers. Submitted is not yet accepted: what does not arrive is sent again."""
        payload = _json(self._works.payload(work, edition))
        while True:
            self._insist(lambda: self._queue.send(ACCEPT, AcceptDocuments(documents=(payload,))))
            until = time.monotonic() + BY_NAME_SECONDS
            while time.monotonic() < until:
                if self._insist(lambda: self._version(client, work)) == edition:
                    return
                time.sleep(0.05)
            self.counts["submitted again by name"] += 1

    def _version(self, client: Client, work: int) -> int | None:
        try:
            return client.document_status(shelf.name(work)).source_version
        except UnknownDocument:
            return None

    def _delete(self, client: Client, work: int) -> None:
        edition = self._editions[work] + 1
        version = {"source_version": edition} if shelf.is_versioned(work) else {}
        self._ledger.intend(work, GONE)
        receipt = self._insist(lambda: client.delete_document(shelf.name(work), **version))
        if receipt.outcome not in GOOD:
            self.problems.append(f"the deletion of work {work} was {receipt.outcome}")
        self._gone[work] = time.monotonic()
        self._editions[work] = edition
        self._ledger.acknowledge(work, GONE)
        self.counts["deletions"] += 1


class Asker(Caller):
    """Asks one question after the other and waits for each answer.

    Attributes:
        waits_for: The job whose answer it waits for; empty while it does not.
    """

    def __init__(  # noqa: PLR0917 - one fact each
        self,
        settings: Settings,
        works: Works,
        ledger: Ledger,
        seed: int,
        writers: Sequence[Writer],
        patience: float,
        resting: float,
    ) -> None:
        super().__init__(settings, works, ledger, seed)
        self._writers = writers
        self._patience = patience
        self._resting = resting
        self.waits_for = ""

    def _step(self, client: Client) -> None:
        asked = self._works.question(self._random.randrange(len(self._works)))
        job_id, begun = str(ULID()), time.monotonic()
        options: dict[str, Any] = {"candidates": 8, "floor": 0.0, "timeout": self._patience}
        try:
            self._insist(lambda: client.submit_query(asked, job_id=job_id, **options))
        except OpinionError:
            time.sleep(PAUSE_SECONDS)  # The collection is not there yet.
            return
        self._ledger.asked(job_id)
        self.waits_for = job_id
        try:
            job = self._insist(lambda: client.wait(job_id, timeout=self._patience))
            while not job.is_terminal:
                job = self._insist(lambda: client.wait(job_id, timeout=1.0))
        except UnknownJob:
            self.counts["query not_found"] += 1
            return
        finally:
            self.waits_for = ""
        self._ledger.ended(job_id, *digest(job))
        self.counts[f"query {job.state.value}{f' {job.error.code}' if job.error else ''}"] += 1
        editions: dict[str, set[Any]] = {}
        for one in job.result.kept if job.result else ():
            editions.setdefault(one.document_id, set()).add(one.metadata[shelf.EDITION])
        self._check_answer(editions, begun)
        self._stopping.wait(self._resting)

    def _check_answer(self, editions: dict[str, set[Any]], begun: float) -> None:
        for document_id, found in editions.items():
            if len(found) > 1:
                self.problems.append(f"an answer mixes editions {found} of {document_id}")
            gone = [writer.deleted_before(shelf.number(document_id)) for writer in self._writers]
            if any(at is not None and at < begun for at in gone):
                self.problems.append(f"an answer shows {document_id}, which was deleted before it was asked")


def _json(payload: dict[str, Any]) -> dict[str, Any]:
    if "content" not in payload:
        return payload
    return {**payload, "content": b64encode(payload["content"]).decode("ascii")}
