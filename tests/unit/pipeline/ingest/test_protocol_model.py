"""The document protocol as a state machine: any order of puts, deletions, work, crashes, time and cleaning."""

import base64
from collections.abc import Iterator

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.ports import EmbedderSpec, Guard, Vectors, no_guard
from second_opinion.pipeline.retrieval import RetrievalParts, retrieve
from second_opinion.schemas.chunk import Chunk
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.schemas.document import AcceptOutcome, DocumentRef, DocumentState
from second_opinion.schemas.errors import UnknownDocument
from second_opinion.testing.builders import a_query
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.ingest import Failing, IngestRig, memory_stores

FINGERPRINT = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=2, chunker="words")
IDS = st.sampled_from(["a", "b"])
LENGTHS = st.integers(1, 3)
STEPS = st.sampled_from(
    [
        ("documents", "swap", 1),
        ("documents", "swap", 2),
        ("contents", "get", 1),
        ("chunks", "write", 1),
        ("chunks", "write", 2),
        ("chunks", "refresh", 1),
        ("chunks", "delete", 1),
    ]
)

EXTRACT_STEPS = st.sampled_from(
    [
        ("documents", "swap", 1),
        ("contents", "get", 1),
        ("contents", "create_text", 1),
        ("documents", "swap", 2),
        ("queue", "index", 1),
    ]
)


class Words:
    """Each word is a chunk."""

    name = "words"

    def chunk(self, text: str, *, media_type: str, title: str, guard: Guard = no_guard) -> list[Chunk]:  # noqa: ARG002
        """Return the words."""
        guard()
        return [Chunk(ordinal=n, text=word, start=0, end=0) for n, word in enumerate(text.split())]


class Flat:
    """Every text has the same vector."""

    spec = EmbedderSpec(model="m", revision="1", dims=2, max_tokens=9)

    def embed_query(self, text: str) -> Vectors:  # noqa: ARG002
        """Return the vector."""
        return np.array([1.0, 0.0], np.float32)

    def embed_passages(self, texts: list[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the vector for each."""
        guard()
        return np.array([[1.0, 0.0]] * len(texts), np.float32)


class Crash(BaseException):
    """The worker ends here."""


class Protocol(RuleBasedStateMachine):
    """Upstream sends versions in order; everything else may come in any order, twice, late or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        policy = Policy(slice_chunks=1, max_attempts=1_000)
        self.rig = IngestRig.on(memory_stores(FINGERPRINT, clock=self.clock), Words(), Flat(), policy)
        stores = self.rig.stores
        stores.collections.ensure("default")
        self.reading = RetrievalParts(stores.collections, stores.documents, stores.chunks, Flat())
        self.version = 0
        self.sent: dict[str, list[str | None]] = {"a": [None], "b": [None]}
        self.oldest = {"a": 0, "b": 0}
        self.messages: list[tuple[DocumentRef, ...]] = []
        self.extractions: list[DocumentRef] = []

    @rule(document=IDS, words=LENGTHS, as_bytes=st.booleans())
    def put(self, document: str, words: int, *, as_bytes: bool) -> None:
        """A newer version arrives, which says something new, as text or as the bytes of a file."""
        self._put(document, " ".join([f"v{self.version + 1}"] * words), as_bytes=as_bytes)

    @rule(document=IDS, pick=st.integers(0, 50))
    def put_again(self, document: str, pick: int) -> None:
        """A newer version says what an older one said."""
        texts = [text for text in self.sent[document] if text is not None]
        if texts:
            self._put(document, texts[pick % len(texts)], as_bytes=False)

    def _put(self, document: str, text: str, *, as_bytes: bool) -> None:
        self.version += 1
        body = {"content": base64.b64encode(text.encode()).decode()} if as_bytes else {"text": text}
        payload = {"id": document, "source_version": self.version, **body}
        (receipt,) = self.rig.acceptance.accept([payload])
        assert receipt.outcome in {AcceptOutcome.ACCEPTED, AcceptOutcome.UNCHANGED}
        self.sent[document].append(text)

    @rule(document=IDS)
    def put_late(self, document: str) -> None:
        """A version older than everything arrives."""
        if self.sent[document] != [None]:
            assert self.rig.put(document, "v0", source_version=0).outcome is AcceptOutcome.SUPERSEDED

    @rule()
    def extract(self) -> None:
        """A worker gets the oldest message of the extract queue and does all of it."""
        for ref in self._next_extraction():
            self.rig.extraction.extract(ref)

    @rule(pick=st.integers(0, 50))
    def extract_again(self, pick: int) -> None:
        """Any message of that queue that ever was comes again."""
        if self.extractions:
            self.rig.extraction.extract(self.extractions[pick % len(self.extractions)])

    @rule(step=EXTRACT_STEPS, after=st.booleans())
    def crash_in_extraction(self, step: tuple[str, str, int], *, after: bool) -> None:
        """A worker ends in the middle of extracting."""
        port, method, at = step
        failing = Failing(getattr(self.rig.stores, port), method, Crash(), at=at, after=after)
        for ref in self._next_extraction():
            try:
                self.rig.with_stores(**{port: failing}).extraction.extract(ref)
            except Crash:
                return

    @rule(document=IDS)
    def delete(self, document: str) -> None:
        """The document is deleted upstream."""
        self.version += 1
        assert self.rig.delete(document, source_version=self.version).outcome is AcceptOutcome.DELETED
        self.sent[document].append(None)

    @rule()
    def deliver(self) -> None:
        """A worker gets the oldest message and does all of it."""
        for message in self._next():
            self.rig.indexing.index(message)

    @rule(pick=st.integers(0, 50))
    def deliver_again(self, pick: int) -> None:
        """Any message that ever was comes again."""
        if self.messages:
            self.rig.indexing.index(self.messages[pick % len(self.messages)])

    @rule(step=STEPS, after=st.booleans())
    def crash(self, step: tuple[str, str, int], *, after: bool) -> None:
        """A worker gets a message and ends in the middle of it."""
        port, method, at = step
        failing = Failing(getattr(self.rig.stores, port), method, Crash(), at=at, after=after)
        for message in self._next():
            try:
                self.rig.with_stores(**{port: failing}).indexing.index(message)
            except Crash:
                return

    @rule()
    def lose_the_queue(self) -> None:
        """The broker forgets everything."""
        self.rig.queue.batches.clear()
        self.rig.queue.extractions.clear()

    @rule(seconds=st.sampled_from([1.0, 31.0, 601.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Leases run out, grace times end."""
        self.clock.advance(seconds)

    @rule()
    def reconcile(self) -> None:
        """The reconciler looks."""
        self.rig.reconciler.reconcile()

    @rule()
    def sweep(self) -> None:
        """The sweeper goes through."""
        self.rig.sweeper.sweep()

    @invariant()
    def readers_see_one_whole_version(self) -> None:
        """What readers see is one version that was sent, whole, none older than before; of a deleted one nothing."""
        for document, texts in self.sent.items():
            seen = " ".join(hit.text for hit in self.rig.seen_by_readers(document)) or None
            assert seen in texts
            later = [place for place, text in enumerate(texts) if text == seen and place >= self.oldest[document]]
            assert later, f"{document} went back to {seen}"
            self.oldest[document] = later[0]
            if texts[-1] is None:
                assert seen is None

    @invariant()
    def searches_find_what_readers_see(self) -> None:
        """The way of a query, by lists that lag behind: each document in the one version, or not at all."""
        query = a_query("v1", candidates=10)
        found: dict[str, set[str]] = {}
        for candidate in retrieve(query, self.reading).candidates:
            found.setdefault(candidate.chunk.document_id, set()).add(candidate.chunk.write_set)
        for document, sets in found.items():
            assert len(sets) == 1
            assert sets == {hit.write_set for hit in self.rig.seen_by_readers(document)}

    def teardown(self) -> None:
        """In the end, after time and reconciling, readers see the newest version and nothing else is left."""
        for _ in range(3):
            self.clock.advance(601)
            self.rig.reconciler.reconcile()
            self.rig.drain()
        self.clock.advance(601)
        self.rig.sweeper.sweep()
        for document, texts in self.sent.items():
            seen = " ".join(hit.text for hit in self.rig.seen_by_readers(document)) or None
            assert seen == texts[-1]
        assert self.rig.stored_sets() == self.rig.committed_sets(["a", "b"])
        living = [document for document in self.sent if self._lives(document)]
        assert len({ref for _, ref in self.rig.stores.contents.older_than(1e12, limit=100)}) == len(living)

    def _lives(self, document: str) -> bool:
        try:
            return self.rig.status(document).state is not DocumentState.DELETED
        except UnknownDocument:
            return False

    def _next_extraction(self) -> Iterator[DocumentRef]:
        if self.rig.queue.extractions:
            ref = self.rig.queue.extractions.popleft()
            self.extractions.append(ref)
            yield ref

    def _next(self) -> Iterator[tuple[DocumentRef, ...]]:
        if self.rig.queue.batches:
            message = self.rig.queue.batches.popleft()
            self.messages.append(message)
            yield message


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
