"""Remake documents in another index: what readers see of them, chunked and embedded anew, beside what they see now.

The state of a document is not touched by it, nor is work on a newer version held up. There is no lease: what is written
becomes visible by one compare-and-set, which is not made when another operation was committed meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Final

from second_opinion.pipeline.company import Company
from second_opinion.pipeline.ingest.clean import discard_sets
from second_opinion.pipeline.ingest.leases import DEADLINE, SERVERS_AWAY
from second_opinion.pipeline.ingest.makers import Maker, Makers
from second_opinion.pipeline.ingest.sent import Sent, SentTexts
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ingest.vectors import VectorSource
from second_opinion.pipeline.ingest.written import WrittenTo, indexed_chunk
from second_opinion.pipeline.ports import Guard, Seen, Swap, no_guard
from second_opinion.schemas.chunk import Chunk, passage_text, write_set_id
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import ContentRecord, DocumentRecord, Remake, WriteSet
from second_opinion.schemas.errors import ErrorInfo, InternalError, OpinionError, WorkerStopping

CONFLICT_ROUNDS: Final = 5
TIME_IS_UP: Final = frozenset({DEADLINE, WorkerStopping.code})


@dataclass(frozen=True, slots=True)
class Remade:
    """What became of the documents of one message; those not counted needed nothing.

    Attributes:
        overtaken: Another version was committed meanwhile, in both indices.
    """

    remade: int = 0
    failed: int = 0
    overtaken: int = 0


@dataclass(frozen=True, slots=True)
class _Written:
    """A document whose chunks are in the index that is made, where nobody sees them yet."""

    seen: Seen
    written: WriteSet
    began: float


def attempt_of(record: DocumentRecord, index: str) -> Remake:
    """Return how it stands with making a document in an index."""
    known = record.remake
    return known if known is not None and known.index == index else Remake(index=index)


def wants_remake(record: DocumentRecord, index: str) -> bool:
    """Tell whether readers see something of a document that this index does not have."""
    return bool(record.committed) and record.committed_target is not None and index not in record.committed


class Remaking:
    """Works off messages of a reindex. Threads share it; each call is one message.

    An attempt is counted before it begins, so that a document that ends its worker is left out in the end; one that was
    begun before runs alone.
    """

    def __init__(self, stores: Stores, policy: Policy, makers: Makers, company: Company) -> None:
        self._stores = stores
        self._policy = policy
        self._makers = makers
        self._company = company
        self._vectors = VectorSource(stores, policy)

    def remake(self, collection: str, index: str, keys: Sequence[str], guard: Guard = no_guard) -> Remade:
        """Make these documents in `index`, if it is still being made; when the guard raises, the rest comes again.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had; the documents come again.
        """
        record = self._stores.collections.get(collection)
        if record.reindex is None or record.reindex.target != index:
            return Remade()
        ((maker, _),) = self._makers.of(record, [index])
        order = _Order(record, index, maker, guard)
        seen = self._stores.documents.get(keys)
        suspects = [key for key in keys if key in seen and attempt_of(seen[key].record, index).attempts]
        others = [key for key in keys if key not in suspects]
        counts = self._company.work_off(others, suspects, lambda some, _: self._remake(order, some))
        return Remade(*(sum(each) for each in zip(*map(astuple, counts), strict=True)))

    def _remake(self, order: "_Order", keys: Sequence[str]) -> Remade:
        begun = self._begin(order.index, keys)
        refs = [ref for one in begun if (ref := one.record.committed_ref) is not None]
        sent = SentTexts(self._stores.contents, refs)
        ready: list[_Written] = []
        failed: list[tuple[Seen, ErrorInfo]] = []
        for place, seen in enumerate(begun):
            try:
                order.guard()
                ready.append(self._write(order, seen, sent.of(seen.record.committed_ref, seen.record)))
            except MemoryError:
                raise
            except OpinionError as problem:
                if problem.code in SERVERS_AWAY:
                    raise
                if problem.code in TIME_IS_UP:
                    # Where time ran out, what was worked on may be why; nothing else has been tried.
                    self._uncount(order.index, begun[place + (problem.code == DEADLINE) :])
                    break
                failed.append((seen, problem.info()))
            except Exception as problem:  # noqa: BLE001 - any failure is this document's alone
                failed.append((seen, InternalError(f"{type(problem).__name__}: {problem}").info()))
        self._note(order.index, failed)
        remade = self._commit(order.index, ready)
        return Remade(remade, len(failed), len(ready) - remade)

    def _begin(self, index: str, keys: Sequence[str]) -> list[Seen]:
        """Count an attempt for each document that wants one and has one left; one that others change comes again."""
        found = [one for one in self._stores.documents.get(keys).values() if wants_remake(one.record, index)]
        left = [one for one in found if attempt_of(one.record, index).attempts < self._policy.max_attempts]
        begun = self._stores.documents.swap([Swap(_begun(one.record, index), one) for one in left])
        return [one for one in begun if one is not None]

    def _uncount(self, index: str, untried: Sequence[Seen]) -> None:
        """Take back the attempts that were counted for documents which then had none."""
        self._stores.documents.swap([Swap(_not_begun(one.record, index), one) for one in untried])

    def _write(self, order: "_Order", seen: Seen, sent: Sent) -> _Written:
        record, content, index, guard = seen.record, sent.content, order.index, order.guard
        self._stores.collections.register_fields(record.collection, content.metadata)
        kind, title = content.media_type, content.title
        chunks = order.maker.chunker.chunk(sent.text, media_type=kind, title=title, guard=guard)
        made = WriteSet(write_set=_write_set(record, index, self._stores.ids.new()), chunks=len(chunks))
        began = self._stores.clock.now()
        try:
            for start in range(0, len(chunks), self._policy.slice_chunks):
                guard()
                self._write_slice(order, record, content, chunks[start : start + self._policy.slice_chunks], made)
        except BaseException:
            discard_sets(self._stores.chunks, record.key, {index: made})
            raise
        return _Written(seen, made, began)

    def _write_slice(
        self, order: "_Order", record: DocumentRecord, content: ContentRecord, chunks: Sequence[Chunk], made: WriteSet
    ) -> None:
        passages = [passage_text(content.title, chunk.headings, chunk.text) for chunk in chunks]
        vectors = self._vectors.vectors(order.maker, passages, order.collection.indices, order.guard)
        to = WrittenTo(order.index, made.write_set, made.chunks, self._stores.clock.now())
        pairs = zip(chunks, vectors.rows, strict=True)
        written = [indexed_chunk(record, content, chunk, vector, to) for chunk, vector in pairs]
        for problem in self._stores.chunks.write(order.index, written):
            if problem is not None:
                raise OpinionError.from_info(problem)

    def _commit(self, index: str, ready: Sequence[_Written]) -> int:
        """Let readers see what was written, where the committed version is still the one that was read."""
        if not ready:
            return 0
        self._stores.chunks.refresh(index)
        # The sweeper takes a set that is old and not committed for an orphan.
        oldest = self._stores.clock.now() - self._policy.grace_seconds / 2
        pending = [one for one in ready if one.began > oldest]
        lost, done = [one for one in ready if one.began <= oldest], 0
        for _ in range(CONFLICT_ROUNDS):
            results = self._stores.documents.swap([Swap(_committed(one, index), one.seen) for one in pending])
            losers = [one for one, result in zip(pending, results, strict=True) if result is None]
            done += len(pending) - len(losers)
            now = self._stores.documents.get([one.seen.record.key for one in losers]) if losers else {}
            pending = [replace(one, seen=now[one.seen.record.key]) for one in losers if _still(one, now, index)]
            lost += [one for one in losers if not _still(one, now, index)]
            if not pending:
                break
        for one in (*lost, *pending):
            discard_sets(self._stores.chunks, one.seen.record.key, {index: one.written})
        return done

    def _note(self, index: str, failed: Sequence[tuple[Seen, ErrorInfo]]) -> None:
        """Write down why; what cannot pass is not tried again. A document that changed meanwhile comes by itself."""
        swaps = []
        for seen, error in failed:
            attempts = attempt_of(seen.record, index).attempts if error.transient else self._policy.max_attempts
            remake = Remake(index=index, attempts=attempts, error=error)
            swaps.append(Swap(seen.record.model_copy(update={"remake": remake}), seen))
        self._stores.documents.swap(swaps)


@dataclass(frozen=True, slots=True)
class _Order:
    """What a message asks for."""

    collection: CollectionRecord
    index: str
    maker: Maker
    guard: Guard


def _begun(record: DocumentRecord, index: str) -> DocumentRecord:
    known = attempt_of(record, index)
    return record.model_copy(update={"remake": known.model_copy(update={"attempts": known.attempts + 1})})


def _not_begun(record: DocumentRecord, index: str) -> DocumentRecord:
    known = attempt_of(record, index)
    before = known.model_copy(update={"attempts": known.attempts - 1})
    return record.model_copy(update={"remake": before if before.attempts or before.error else None})


def _write_set(record: DocumentRecord, index: str, unique: str) -> str:
    """Name a set that no attempt on any operation names."""
    return f"{write_set_id(record.committed_target or '', attempt_of(record, index).attempts)}.{unique}"


def _committed(one: _Written, index: str) -> DocumentRecord:
    record = one.seen.record
    return record.model_copy(update={"committed": {**record.committed, index: one.written}, "remake": None})


def _still(one: _Written, now: Mapping[str, Seen], index: str) -> bool:
    """Tell whether a document that somebody else changed still shows readers what was remade."""
    found = now.get(one.seen.record.key)
    return (
        found is not None
        and wants_remake(found.record, index)
        and found.record.committed_target == one.seen.record.committed_target
    )
