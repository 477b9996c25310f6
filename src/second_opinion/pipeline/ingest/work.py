"""Index operations: chunk, embed, write, commit. One document's failure never touches the others of its batch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import islice

from second_opinion.pipeline.company import Company
from second_opinion.pipeline.ingest.clean import discard_sets
from second_opinion.pipeline.ingest.commit import GroupCommitter, Written
from second_opinion.pipeline.ingest.enqueue import messages
from second_opinion.pipeline.ingest.leases import Ending, Held, Leases
from second_opinion.pipeline.ingest.makers import Maker, Makers
from second_opinion.pipeline.ingest.portions import DocumentWork, EmbeddedPiece, Part, Piece, SeenCollections
from second_opinion.pipeline.ingest.sent import Sent, SentTexts
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ingest.vectors import VectorSource
from second_opinion.pipeline.ingest.written import WrittenTo, indexed_chunk
from second_opinion.pipeline.ports import Chunker, Embedder, Guard, no_guard
from second_opinion.schemas.chunk import passage_text
from second_opinion.schemas.document import DocumentRef
from second_opinion.schemas.errors import ErrorInfo, OpinionError


class Stopped(Exception):
    """The guard wants the work to end now."""

    def __init__(self, reason: OpinionError) -> None:
        super().__init__(reason.message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What became of the operations of one message; those not named were somebody else's or no longer wanted.

    Attributes:
        reused: Chunks whose vector did not have to be computed, because the same text had one.
    """

    taken: int = 0
    committed: int = 0
    failed: int = 0
    released: int = 0
    lost: int = 0
    chunks: int = 0
    reused: int = 0


@dataclass(slots=True)
class _Run:
    """One message in work: all it holds, so that every lease is kept alive while another document is worked on."""

    held: list[Held]
    guard: Guard
    collections: SeenCollections
    chunks: int = 0
    reused: int = 0


class Indexing:
    """Works off messages of the `index` queue. Threads share it; each call is one message.

    Args:
        stores: The outside.
        policy: How patient work is.
        chunker: Chunks as the settings say.
        embedder: Embeds as they say.
        committer: Commits what the threads of this process bring.
        makers: All that this process can make indices with, if that is more than these.
        company: Who works beside whom.
    """

    def __init__(  # noqa: PLR0913 - all but one in the order of their use
        self,
        stores: Stores,
        policy: Policy,
        chunker: Chunker,
        embedder: Embedder,
        committer: GroupCommitter,
        *,
        makers: Makers | None = None,
        company: Company | None = None,
    ) -> None:
        self._stores = stores
        self._policy = policy
        self._makers = makers or Makers(
            stores.collections, {stores.collections.fingerprint(): Maker(chunker, embedder)}
        )
        self._vectors = VectorSource(stores, policy)
        self._committer = committer
        self._company = company or Company()
        self._leases = Leases(stores, policy)

    def index(self, refs: Sequence[DocumentRef], guard: Guard = no_guard) -> WorkReport:
        """Bring these operations to their end, or let them go to be tried again.

        When `guard` raises, what is not committed is let go and enqueued again by the reconciler. An operation with
        which workers were lost is worked on alone: nothing else runs in this process meanwhile.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had. Nothing is lost: leases run out.
        """
        others, suspects = self._leases.parted(refs)
        reports = self._company.work_off(others, suspects, lambda some, alone: self._index(some, guard, alone=alone))
        return WorkReport(*(sum(counts) for counts in zip(*map(astuple, reports), strict=True)))

    def _index(self, refs: Sequence[DocumentRef], guard: Guard, *, alone: bool) -> WorkReport:
        held = self._leases.take(refs, extraction=False, alone=alone)
        run = _Run(held, guard, SeenCollections(self._stores.collections))
        with self._committer.working():
            try:
                for group in messages([one.record for one in held], self._policy):
                    keys = {record.key for record in group}
                    self._index_group(run, [one for one in held if one.record.key in keys])
            except Stopped as stop:
                self._leases.let_go(held, stop.reason)
            except OpinionError as problem:
                self._try_to_let_go(held, problem)
                raise
        endings = Counter(one.ending for one in held)
        return WorkReport(
            taken=len(held),
            committed=endings[Ending.DONE],
            failed=endings[Ending.FAILED],
            released=endings[Ending.RELEASED],
            lost=endings[Ending.LOST],
            chunks=run.chunks,
            reused=run.reused,
        )

    def _try_to_let_go(self, held: Sequence[Held], problem: OpinionError) -> None:
        """Let go what a store that is away left undone; a lease that ran out would look as if the worker had ended."""
        with suppress(OpinionError):
            self._leases.let_go(held, problem)

    def _index_group(self, run: _Run, held: Sequence[Held]) -> None:
        jobs: list[DocumentWork] = []
        try:
            jobs += self._prepared(run, held)
            self._write_all(run, jobs)
        except Stopped:
            self._commit(run, jobs)
            raise
        self._commit(run, jobs)

    def _commit(self, run: _Run, jobs: Sequence[DocumentWork]) -> None:
        """Commit the documents that are written whole; of the others nothing stays."""
        ready = [job for job in jobs if job.is_written]
        for job in jobs:
            if not job.is_written:
                self._discard(job)
        self._committer.commit([Written(job.held, job.sets()) for job in ready])
        run.chunks += sum(job.count for job in ready if job.held.ending is Ending.DONE)

    def _prepared(self, run: _Run, held: Sequence[Held]) -> Iterator[DocumentWork]:
        sent = SentTexts(self._stores.contents, [one.ref for one in held])
        for one in held:
            self._beat(run)
            if one.ending is not None:
                continue
            try:
                yield self._chunked(run, one, sent.of(one.ref, one.record))
            except (Stopped, MemoryError):
                raise
            except Exception as problem:  # noqa: BLE001 - any failure is this document's alone
                self._leases.end_badly([(one, problem)])

    def _chunked(self, run: _Run, held: Held, sent: Sent) -> DocumentWork:
        content = sent.content
        collection = run.collections.ready_for(held.record.collection, content.metadata)
        kind, title = content.media_type, content.title
        parts = [
            Part(
                maker,
                indices,
                maker.chunker.chunk(sent.text, media_type=kind, title=title, guard=lambda: self._beat(run)),
            )
            for maker, indices in self._makers.of(collection, collection.writing)
        ]
        return DocumentWork(held, content, held.write_set, parts)

    def _write_all(self, run: _Run, jobs: Sequence[DocumentWork]) -> None:
        pending = (
            (job, part, chunk) for job in jobs for part in job.parts for chunk in part.chunks if job.held.ending is None
        )
        while portion := list(islice(pending, self._policy.slice_chunks)):
            self._beat(run)
            embedded = self._embedded(run, portion)
            for index in dict.fromkeys(index for one in embedded for index in one.part.indices):
                self._write(index, [one for one in embedded if index in one.part.indices])

    def _embedded(self, run: _Run, portion: Sequence[Piece]) -> list[EmbeddedPiece]:
        """Embed a portion at once; if that fails, each document by itself, so that the culprit fails alone."""
        alive = [piece for piece in portion if piece[0].held.ending is None]
        if not alive:
            return []
        try:
            return self._embed(run, alive)
        except (Stopped, MemoryError):
            raise
        except Exception as problem:  # noqa: BLE001 - which document it was shows when each is tried alone
            jobs = list({id(job): job for job, _, _ in alive}.values())
            if len(jobs) == 1:
                self._leases.end_badly([(jobs[0].held, problem)])
                return []
        return [one for job in jobs for one in self._embedded(run, [piece for piece in alive if piece[0] is job])]

    def _embed(self, run: _Run, portion: Sequence[Piece]) -> list[EmbeddedPiece]:
        embedded: list[EmbeddedPiece] = []
        for maker in {id(part.maker): part.maker for _, part, _ in portion}.values():
            pieces = [piece for piece in portion if piece[1].maker is maker]
            texts = [passage_text(job.content.title, chunk.headings, chunk.text) for job, _, chunk in pieces]
            indices = {index for _, part, _ in pieces for index in part.indices}
            found = self._vectors.vectors(maker, texts, indices, lambda: self._beat(run))
            run.reused += found.reused
            embedded += [EmbeddedPiece(*piece, vector) for piece, vector in zip(pieces, found.rows, strict=True)]
        return embedded

    def _write(self, index: str, embedded: Sequence[EmbeddedPiece]) -> None:
        alive = [one for one in embedded if one.job.held.ending is None]
        now = self._stores.clock.now()
        chunks = [
            indexed_chunk(
                one.job.held.record,
                one.job.content,
                one.chunk,
                one.vector,
                WrittenTo(index, one.job.write_set, len(one.part.chunks), now),
            )
            for one in alive
        ]
        for one in alive:
            one.part.attempted = max(one.part.attempted, one.chunk.ordinal + 1)
        try:
            results: Sequence[ErrorInfo | None] = self._stores.chunks.write(index, chunks)
        except OpinionError as problem:
            results = [problem.info()] * len(chunks)
        for one, info in zip(alive, results, strict=True):
            if info is not None and one.job.held.ending is None:
                self._leases.end_badly([(one.job.held, OpinionError.from_info(info))])

    def _beat(self, run: _Run) -> None:
        """Ask whether the work is still wanted, and keep the leases alive."""
        try:
            run.guard()
        except OpinionError as reason:
            raise Stopped(reason) from reason
        self._leases.renew_due(run.held)

    def _discard(self, job: DocumentWork) -> None:
        discard_sets(self._stores.chunks, job.held.record.key, job.attempted_sets())
