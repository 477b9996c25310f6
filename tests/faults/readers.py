"""Readers under updates: some threads send, change and delete documents, others read them without a pause.

Readers search with the code of the retrieve workers on the real stores, ask whole queries of real workers, and read
statuses; each read is held against what was sent (`volumes.py`).
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from second_opinion import Client
from second_opinion.pipeline.ports import Embedder, Guard, no_guard
from second_opinion.pipeline.ports.models import Vectors
from second_opinion.pipeline.retrieval import RetrievalParts, retrieve
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.document import DocumentState
from second_opinion.schemas.errors import OpinionError, UnknownDocument
from second_opinion.schemas.query import Query, TermFilter
from tests.faults.histories import Histories, Sight
from tests.faults.volumes import NAME, Shown, document_id, number_of, payload, question, sight_of, torn

COLLECTION: Final = "default"
CHUNK_TOKENS: Final = "64"
CANDIDATES: Final = 8
HOT: Final = 8
"""So many documents are changed as often as all others together."""
DELETED: Final = 0.2
BATCH: Final = 4
PAUSE_SECONDS: Final = 0.05
SETTLE_SECONDS: Final = 180.0
EARLY: Final = {"unknown_collection", "unknown_filter_field"}
"""What readers hear before the first document is there."""

AnswerT = TypeVar("AnswerT")


class RememberedQueries:
    """A bi-encoder that computes the vector of a question once. Implements `pipeline.ports.Embedder`."""

    def __init__(self, embedder: Embedder) -> None:
        self.spec = embedder.spec
        self._embedder = embedder
        self._known: dict[str, Vectors] = {}

    def embed_query(self, text: str) -> Vectors:
        """Return the query's vector."""
        if text not in self._known:
            self._known[text] = self._embedder.embed_query(text)
        return self._known[text]

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors."""
        guard()
        return np.stack([self._embedder.embed_query(text) for text in texts])


class Library:
    """Documents that change, and everybody who reads or changes them.

    Args:
        client: Where they are.
        embedder: For the searches.
        documents: How many.
        acts: How often one is sent or deleted, in all.
        seconds: How long that takes, at the least.
        seed: The same seed sends and deletes the same things.
        resting: Seconds between an answer and the same asker's next question; reranking takes the most of a machine.
    """

    def __init__(
        self,
        client: Client,
        embedder: Embedder,
        *,
        documents: int,
        acts: int,
        seconds: float,
        seed: int,
        resting: float = 0.0,
    ) -> None:
        self.client = client
        self.histories = Histories()
        self.stale_dropped = 0
        self.rounds: Counter[int] = Counter()
        self.tried_again: Counter[str] = Counter()
        self.jobs: Counter[str] = Counter()
        self.problems: list[str] = []
        self.documents = documents
        self._acts = acts
        self._pace = seconds / acts
        self._seed = seed
        self._resting = resting
        self._writing = threading.Event()
        self._lock = threading.Lock()
        stores = client.parts.stores
        self._parts = RetrievalParts(
            collections=stores.collections,
            documents=stores.documents,
            chunks=stores.chunks,
            embedder=RememberedQueries(embedder),
        )

    def run(self, *, writers: int = 2, readers: int = 4, askers: int = 1) -> None:
        """Let writers do all they are to do while readers read; then wait until nothing moves, and read all once."""
        self._writing.set()
        writing = [self._thread(self._write, number, writers) for number in range(writers)]
        reading = [self._thread(self._read, number) for number in range(readers)]
        reading += [self._thread(self._ask, number) for number in range(askers)]
        for thread in (*writing, *reading):
            thread.start()
        for thread in writing:
            thread.join()
        self.settle()
        self._writing.clear()
        for thread in reading:
            thread.join()
        self._read_the_end()

    def _thread(self, body: Callable[..., None], *arguments: int) -> threading.Thread:
        def run() -> None:
            try:
                body(*arguments)
            except BaseException as problem:
                self.problems.append(f"{body.__name__}: {problem!r}")
                raise

        return threading.Thread(target=run, daemon=True)

    def _write(self, number: int, writers: int) -> None:
        """Change documents of this writer's own, in small batches, at an even pace."""
        chance = random.Random(f"{self._seed}-{number}")  # noqa: S311 - the same for the same seed
        own = range(number, self.documents, writers)
        fresh, to_do, begun = list(own), self._acts // writers, time.monotonic()
        for done in range(0, to_do, BATCH):
            size = min(BATCH, to_do - done)
            pool = own if chance.random() < 1 / 2 else own[: HOT // writers]
            chosen = [fresh.pop() for _ in range(min(size, len(fresh)))] or chance.sample(pool, min(size, len(pool)))
            self.change(chosen, chance)
            time.sleep(max(0.0, begun + (done + size) * self._pace * writers - time.monotonic()))

    def change(self, documents: Sequence[int], chance: random.Random) -> None:
        """Send the next version of each document, or delete it."""
        sent = []
        for document in documents:
            last = self.histories.last(document)
            number = last.number + 1 if last else 1
            if last and not last.deletes and chance.random() < DELETED:
                act = self.histories.begin(document, number, deletes=True, at=time.monotonic())
                self._insist(lambda one=document, at=number: self._delete(one, at))
                act.acknowledged = time.monotonic()
            else:
                sent.append((document, number))
        acts = [self.histories.begin(one, number, deletes=False, at=time.monotonic()) for one, number in sent]
        if sent:
            receipts = self._insist(lambda: self.client.submit_documents([payload(*one) for one in sent]))
            refused = [f"{one.document_id}: {one.outcome}" for one in receipts if one.error or one.target is None]
            self.problems += refused
        for act in acts:
            act.acknowledged = time.monotonic()

    def _delete(self, document: int, number: int) -> None:
        self.client.delete_document(document_id(document), source_version=number)

    def _read(self, number: int) -> None:
        chance = random.Random(f"reader {self._seed}-{number}")  # noqa: S311 - the same for the same seed
        while self._writing.is_set():
            document = chance.randrange(self.documents if chance.random() < 1 / 2 else HOT)
            kind = chance.random()
            if kind < 1 / 2:
                self.search(document, filtered=chance.random() < 2 / 3)
            else:
                self.read_statuses([document, chance.randrange(self.documents)])

    def _ask(self, number: int) -> None:
        """Ask whole queries of the workers, one after the other."""
        chance = random.Random(f"asker {self._seed}-{number}")  # noqa: S311 - the same for the same seed
        while self._writing.is_set():
            document = chance.randrange(self.documents)
            options: dict[str, Any] = {"candidates": CANDIDATES, "floor": 0.0, "top_k": 20, "chunks_per_document": 10}
            filters = [{"op": "term", "field": NAME, "values": [document_id(document)]}]
            begun = time.monotonic()
            try:
                job = self.client.submit_query(question(document), filters=filters, **options)
                job = self.client.wait(job.job_id, timeout=60.0)
            except OpinionError as problem:
                self._not_yet(problem)
                continue
            self.jobs[job.state.value] += 1
            if job.result is None:
                self.problems.append(f"query {job.job_id} is {job.state}: {job.error}")
                continue
            shown = [Shown.of(one, write_set=one.chunk_id.split("@")[1]) for one in job.result.kept]
            self._note("queries", shown, begun, sought=document)
            time.sleep(self._resting)

    def search(self, document: int, *, filtered: bool) -> None:
        """Search for a document; with a filter nothing else can be found, and all of it has to be."""
        name = document_id(document)
        query = Query(
            job_id="reader",
            text=question(document),
            collection=COLLECTION,
            filters=(TermFilter(field=NAME, values=[name]),) if filtered else (),
            choices=QueryDefaults(candidates=CANDIDATES),
        )
        begun = time.monotonic()
        try:
            found = retrieve(query, self._parts)
        except OpinionError as problem:
            self._not_yet(problem)
            return
        with self._lock:
            self.stale_dropped += found.stale_dropped
            self.rounds[found.rounds] += 1
        chunks = [one.chunk for one in found.candidates]
        shown = [Shown.of(one, write_set=one.write_set, count=one.count) for one in chunks]
        self._note("filtered searches" if filtered else "open searches", shown, begun, sought=document)

    def read_statuses(self, documents: Iterable[int]) -> None:
        """Read the statuses of documents."""
        names = [(COLLECTION, document_id(one)) for one in documents]
        begun = time.monotonic()
        try:
            told = self.client.document_statuses(names)
        except OpinionError as problem:
            self._not_yet(problem)
            return
        ended = time.monotonic()
        self.histories.count("statuses")
        for status in told.values():
            if (sight := sight_of(status, begun, ended)) is not None:
                self.histories.saw(number_of(status.document_id), sight)

    def _note(self, kind: str, shown: Sequence[Shown], begun: float, *, sought: int) -> None:
        """Look at what one read showed, document by document."""
        ended, by_document = time.monotonic(), defaultdict(list)
        self.histories.count(kind)
        for one in shown:
            by_document[one.document].append(one)
        for document, chunks in by_document.items():
            if wrong := torn(document, chunks, whole=kind == "filtered searches"):
                self.histories.tear(*wrong)
            self.histories.saw(document, Sight(begun, ended, chunks[0].version))
        if sought not in by_document:
            self.histories.saw(sought, Sight(begun, ended, None))

    def _insist(self, call: Callable[[], AnswerT]) -> AnswerT:
        while True:
            try:
                return call()
            except OpinionError as problem:
                self._not_yet(problem)

    def _not_yet(self, problem: OpinionError) -> None:
        """Try again later: the collection is not made yet, its fields are not, or a server is busy."""
        if not problem.transient and problem.code not in EARLY:
            raise problem
        with self._lock:
            self.tried_again[problem.code] += 1
        time.sleep(PAUSE_SECONDS)

    def settle(self) -> None:
        """Wait until what was accepted is what is shown."""
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until:
            names = [(COLLECTION, document_id(one)) for one in range(self.documents) if self.histories.last(one)]
            told = self._insist(lambda names=names: self.client.document_statuses(names))
            if all(status.current for status in told.values()):
                return
            time.sleep(0.2)
        self.problems.append("documents still wait to be indexed")

    def _read_the_end(self) -> None:
        """Read every document once more: what was done to it last is what is shown."""
        for document in range(self.documents):
            last = self.histories.last(document)
            if last is None:
                continue
            self.search(document, filtered=True)
            try:
                status = self.client.document_status(document_id(document))
            except UnknownDocument:
                self.histories.tear("lost", f"document {document} is unknown")
                continue
            wanted = DocumentState.DELETED if last.deletes else DocumentState.INDEXED
            if status.state is not wanted or status.source_version != last.number or status.searchable is last.deletes:
                self.histories.tear("lost", f"document {document} is {status.state} in {status.source_version}: {last}")

    def figures(self) -> dict[str, Any]:
        """Return what was done and seen."""
        found = self.histories.check()
        return {
            "documents": self.documents,
            "updates_and_deletes": self.histories.acts,
            "reads": self.histories.reads.total(),
            "reads_by_kind": dict(self.histories.reads),
            "documents_shown_by_reads": self.histories.sights,
            "found": found.counts(),
            "wrong": found.wrong(),
            "stale_dropped": self.stale_dropped,
            "searches_for_a_read": {str(rounds): count for rounds, count in sorted(self.rounds.items())},
            "query_jobs": dict(self.jobs),
            "tried_again": dict(self.tried_again),
            "problems": self.problems[:20],
        }
