"""Bugs that somebody shipped, here or elsewhere, each put back by a patch of one place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from second_opinion.pipeline.ingest import accept, commit, decisions, leases, reconcile, sweep, work
from second_opinion.pipeline.ingest.commit import GroupCommitter, Written
from second_opinion.pipeline.ingest.leases import Held
from second_opinion.pipeline.ports import Seen, Swap
from second_opinion.schemas.document import (
    AcceptOutcome,
    DocumentRecord,
    DocumentRef,
    DocumentState,
    Receipt,
)
from second_opinion.schemas.errors import OpinionError
from second_opinion.testing.documents import MemoryDocuments

Bug = Callable[[pytest.MonkeyPatch], None]


def acknowledged_before_recorded(patch: pytest.MonkeyPatch) -> None:
    """A document is accepted although its record could not be stored."""
    honest = accept.Acceptance.accept

    def hasty(self: accept.Acceptance, payloads: Sequence[Any], **options: Any) -> list[Receipt]:
        try:
            return honest(self, payloads, **options)
        except OpinionError:
            return [
                Receipt(collection="default", document_id=one["id"], outcome=AcceptOutcome.ACCEPTED) for one in payloads
            ]

    patch.setattr(accept.Acceptance, "accept", hasty)


def former_set_deleted_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The chunks that readers see are removed before the new ones are committed."""
    honest = GroupCommitter._commit_group

    def hasty(self: GroupCommitter, documents: Sequence[Written]) -> None:
        for one in documents:
            commit.remove_sets(self._stores.chunks, one.held.record.key, one.held.record.committed)
        honest(self, documents)

    patch.setattr(GroupCommitter, "_commit_group", hasty)


def no_compare_and_set(patch: pytest.MonkeyPatch) -> None:
    """Records are written whatever was stored meanwhile."""

    def blind(self: MemoryDocuments, swap: Swap) -> Seen | None:
        self._seq_no += 1
        self._stored[swap.record.key] = Seen(swap.record, self._seq_no, 1)
        return self._stored[swap.record.key]

    patch.setattr(MemoryDocuments, "_swap", blind)


def lease_ignored(patch: pytest.MonkeyPatch) -> None:
    """Work is begun while another holds the lease; with write sets named alike, both write the same chunks."""
    honest = leases._is_due

    def eager(record: DocumentRecord, ref: DocumentRef, now: float, *, extraction: bool) -> bool:
        free = record.model_copy(update={"lease_until": 0.0})
        return honest(free, ref, now, extraction=extraction)

    patch.setattr(leases, "_is_due", eager)


def lost_lease_commits(patch: pytest.MonkeyPatch) -> None:
    """Who lost its lease writes its record all the same."""
    patch.setattr(Held, "is_ours", lambda self, record: record.key == self.record.key)


def version_check_dropped(patch: pytest.MonkeyPatch) -> None:
    """An older version overwrites a newer one."""
    patch.setattr(decisions, "_version_refusal", lambda *_: None)


def tombstone_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A deletion keeps no version, so that a late message brings the document back."""
    honest = decisions._tombstone

    def forgetful(*given: Any) -> DocumentRecord:
        return honest(*given).model_copy(update={"source_version": None})

    patch.setattr(decisions, "_tombstone", forgetful)


def commit_without_refresh(patch: pytest.MonkeyPatch) -> None:
    """Chunks are committed that searches do not find yet."""
    patch.setattr(GroupCommitter, "_refreshed", lambda _, documents: list(documents))


def attempts_share_a_set(patch: pytest.MonkeyPatch) -> None:
    """Two attempts at an operation write the same chunk ids, so that one removes what the other commits."""
    for module in (leases, sweep):
        patch.setattr(module, "write_set_id", lambda target, _: target)


def turned_away_items_ignored(patch: pytest.MonkeyPatch) -> None:
    """The items of a bulk answer are not looked at."""
    honest = work.Indexing._write

    def careless(self: work.Indexing, index: str, embedded: Sequence[Any]) -> None:
        chunks = self._stores.chunks

        class Careless:
            def write(self, index: str, items: Sequence[Any]) -> list[None]:
                chunks.write(index, items)
                return [None] * len(items)

        blind = object.__new__(work.Indexing)
        blind.__dict__ = {**self.__dict__, "_stores": replace(self._stores, chunks=Careless())}  # type: ignore[arg-type]
        honest(blind, index, embedded)

    patch.setattr(work.Indexing, "_write", careless)


def hash_recorded_too_early(patch: pytest.MonkeyPatch) -> None:
    """The content's hash counts as indexed as soon as the document is accepted."""
    honest = decisions._begin

    def hasty(stored: DocumentRecord | None, arrived: decisions.Arrival) -> decisions.Decision:
        decision = honest(stored, arrived)
        assert decision.record is not None
        return replace(
            decision, record=decision.record.model_copy(update={"committed_hash": decision.record.content_hash})
        )

    patch.setattr(decisions, "_begin", hasty)


def sweeper_takes_work_in_progress(patch: pytest.MonkeyPatch) -> None:
    """The sweeper removes whatever is old and not committed, leased or not."""

    def harsh(found: Any, seen: Seen | None) -> bool:
        committed = None if seen is None else seen.record.committed.get(found.index)
        return committed is not None and committed.write_set == found.write_set

    patch.setattr(sweep, "_is_live", harsh)


def lost_messages_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    """The reconciler trusts that what was put into a queue is still there."""
    patch.setattr(MemoryDocuments, "waiting", lambda _, **__: [])


def deletion_leaves_the_set_committed(patch: pytest.MonkeyPatch) -> None:
    """A deletion marks the record and leaves what readers see to the sweeper."""
    honest = decisions._tombstone

    def lazy(stored: DocumentRecord | None, *given: Any) -> DocumentRecord:
        record = honest(stored, *given)
        return record if stored is None else record.model_copy(update={"committed": stored.committed})

    patch.setattr(decisions, "_tombstone", lazy)


def expired_leases_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    """The reconciler does not look for work whose worker is gone."""
    honest = MemoryDocuments.lost

    def blind(self: MemoryDocuments, *, now: float, limit: int) -> list[Seen]:
        return [one for one in honest(self, now=now, limit=limit) if one.record.lease_until == 0.0]

    patch.setattr(MemoryDocuments, "lost", blind)


def commit_told_apart_by_document(patch: pytest.MonkeyPatch) -> None:
    """Two operations on one document that come into the same commit are taken for one: the sets are mixed up."""
    honest = GroupCommitter._commit_group

    def mixed(self: GroupCommitter, documents: Sequence[Written]) -> None:
        sets = {one.held.record.key: one.sets for one in documents}
        honest(self, [replace(one, sets=sets[one.held.record.key]) for one in documents])

    patch.setattr(GroupCommitter, "_commit_group", mixed)


INGEST_BUGS: list[Bug] = [
    acknowledged_before_recorded,
    former_set_deleted_before_commit,
    no_compare_and_set,
    lease_ignored,
    lost_lease_commits,
    version_check_dropped,
    tombstone_forgotten,
    commit_without_refresh,
    attempts_share_a_set,
    turned_away_items_ignored,
    hash_recorded_too_early,
    sweeper_takes_work_in_progress,
    lost_messages_not_looked_for,
    expired_leases_not_looked_for,
    deletion_leaves_the_set_committed,
    commit_told_apart_by_document,
]
_ = (reconcile, DocumentState)
