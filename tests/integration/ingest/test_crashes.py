"""A worker that ends between any two steps: readers see whole versions, and the reconciler sees the work done."""

import base64
from contextlib import suppress
from dataclasses import replace

import pytest

from second_opinion.pipeline.company import Company
from second_opinion.pipeline.ingest import GroupCommitter, Indexing, Policy
from second_opinion.pipeline.ingest.decisions import SETTLING_SECONDS
from second_opinion.pipeline.ingest.leases import LOSSES_IN_COMPANY
from second_opinion.pipeline.ingest.reconcile import SENDING_SECONDS
from second_opinion.schemas.document import AcceptOutcome, DocumentState, document_key
from second_opinion.schemas.errors import StoreUnavailable
from second_opinion.testing.ingest import Failing, IngestRig

from .conftest import Bench

OLD = "The old leaflet says: one tablet."
NEW = "\n\n".join(
    f"The new leaflet says in paragraph {number} that the dose depends on weight and age, and it says so at length, "
    "so that each paragraph becomes a passage of its own."
    for number in range(5)
)

WORK_STEPS = [
    ("documents", "get", 1),
    ("documents", "swap", 1),  # the lease
    ("contents", "get", 1),
    ("chunks", "write", 1),
    ("chunks", "write", 2),
    ("chunks", "refresh", 1),
    ("documents", "swap", 2),  # the commit
    ("chunks", "delete", 1),
    ("contents", "delete", 1),
]
ACCEPT_STEPS = [("documents", "get", 1), ("contents", "create", 1), ("documents", "swap", 1), ("queue", "index", 1)]


class Crash(BaseException):
    """The process ends here."""


def crashing(bench: Bench, port: str, method: str, at: int, *, after: bool) -> IngestRig:
    """Return another worker on the same data that ends at this step, just before or just after it took effect."""
    failing = Failing(getattr(bench.rig.stores, port), method, Crash(), at=at, after=after)
    stores = replace(bench.rig.stores, **{port: failing})
    return IngestRig.on(stores, bench.rig.chunker, bench.rig.embedder, replace(bench.rig.policy, slice_chunks=2))


def whole_versions(bench: Bench) -> str:
    """Return which version readers see; what they see has to be one whole version."""
    texts = [hit.text for hit in bench.rig.seen_by_readers("d1")]
    assert texts in ([OLD], NEW.split("\n\n"))
    return "old" if texts == [OLD] else "new"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "method", "at"), WORK_STEPS)
def test_a_worker_that_ends_at_any_step_loses_nothing(
    bench: Bench, port: str, method: str, at: int, *, after: bool
) -> None:
    """Readers see the old version whole until the new one is; afterwards nothing but the new one is left anywhere."""
    bench.rig.put("d1", OLD)
    bench.rig.drain()
    bench.rig.put("d1", NEW)
    with pytest.raises(Crash):
        crashing(bench, port, method, at, after=after).indexing.index(bench.rig.queue.batches.popleft())
    committed = port in {"chunks", "contents"} and method == "delete"
    committed = committed or (port == "documents" and method == "swap" and at == 2 and after)
    assert whole_versions(bench) == ("new" if committed else "old")
    bench.recover()
    assert whole_versions(bench) == "new"
    assert bench.rig.status("d1").state is DocumentState.INDEXED
    bench.sweep()
    assert bench.rig.stored_sets() == bench.rig.committed_sets(["d1"])
    assert len(bench.rig.stores.contents.older_than(1e12, limit=10)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "method", "at"), ACCEPT_STEPS)
def test_a_caller_that_ends_at_any_step_can_send_again(
    bench: Bench, port: str, method: str, at: int, *, after: bool
) -> None:
    """Whatever was recorded when the caller ended, sending the same again leads to the new version, once."""
    bench.rig.put("d1", OLD)
    bench.rig.drain()
    with pytest.raises(Crash):
        crashing(bench, port, method, at, after=after).put("d1", NEW)
    assert whole_versions(bench) == "old"
    bench.rig.put("d1", NEW)
    bench.recover()
    assert whole_versions(bench) == "new"
    bench.sweep()
    assert bench.rig.stored_sets() == bench.rig.committed_sets(["d1"])
    assert len(bench.rig.stores.contents.older_than(1e12, limit=10)) == 1


def test_a_document_recorded_by_a_caller_that_ended_is_not_forgotten(bench: Bench) -> None:
    """A record that was written but never enqueued is found by the reconciler, without anybody sending again."""
    with pytest.raises(Crash):
        crashing(bench, "queue", "index", 1, after=False).put("d1", OLD)
    bench.recover()
    assert whole_versions(bench) == "old"


def test_a_document_that_always_kills_its_worker_is_given_up(bench: Bench) -> None:
    """After as many losses alone as allowed it is recorded as failed, saying so; sending it again tries anew."""
    bench.rig.acceptance.accept([{"id": "d1", "text": OLD}])
    losses = LOSSES_IN_COMPANY + bench.rig.policy.max_attempts
    for loss in range(losses):
        with pytest.raises(Crash):
            crashing(bench, "contents", "get", 1, after=False).indexing.index(bench.rig.queue.batches.popleft())
        bench.clock.advance(bench.rig.policy.lease_seconds + 1)
        assert bench.reconcile() == (1 if loss < losses - 1 else 0)
    assert not bench.rig.queue.batches
    status = bench.rig.status("d1")
    assert status.error is not None
    assert (status.state, status.error.code) == (DocumentState.FAILED, "attempts_exhausted")
    assert f"{losses} workers ended" in status.error.message
    assert bench.rig.put("d1", OLD).error is None
    bench.rig.drain()
    assert whole_versions(bench) == "old"


def test_a_document_that_kills_its_worker_takes_its_batch_down_once(bench: Bench) -> None:
    """After a crash the documents of a batch come again one by one: the culprit is given up, the others are indexed."""
    names = [f"d{number}" for number in range(4)]
    bench.rig.acceptance.accept([{"id": name, "text": f"Text of {name}."} for name in names])

    class Deadly(type(bench.embedder)):  # type: ignore[misc]
        """Ends the process at one text."""

        def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if any("d2" in text for text in texts):
                raise Crash
            return super().embed_passages(texts, guard=guard)

    for _ in range(LOSSES_IN_COMPANY + bench.rig.policy.max_attempts):
        while bench.rig.queue.batches:
            worker = IngestRig.on(bench.rig.stores, bench.rig.chunker, Deadly(), bench.rig.policy)
            with suppress(Crash):
                worker.indexing.index(bench.rig.queue.batches.popleft())
        bench.clock.advance(bench.rig.policy.lease_seconds + 1)
        bench.reconcile()
    states = {name: bench.rig.status(name).state for name in names}
    assert states == {name: DocumentState.FAILED if name == "d2" else DocumentState.INDEXED for name in names}


@pytest.mark.parametrize("reconciled", [False, True], ids=["before", "after"])
def test_a_batch_that_comes_back_is_not_worked_on_together_again(bench: Bench, *, reconciled: bool) -> None:
    """A dead worker's message comes again when its lease is over, before the documents are sent singly or after."""
    names = [f"d{number}" for number in range(4)]
    bench.rig.acceptance.accept([{"id": name, "text": f"Text of {name}."} for name in names])
    batch = bench.rig.queue.batches.popleft()
    with pytest.raises(Crash):
        crashing(bench, "contents", "get", 1, after=False).indexing.index(batch)
    bench.clock.advance(bench.rig.policy.lease_seconds + 1)
    if reconciled:
        bench.reconcile()
    assert bench.rig.indexing.index(batch).taken == 0
    assert bench.reconcile() == (0 if reconciled else 4)
    bench.rig.drain()
    assert {bench.rig.status(name).state for name in names} == {DocumentState.INDEXED}


def test_many_killed_workers_park_no_document(bench: Bench) -> None:
    """Lost again and again beside others, a document is a suspect, not the cause, and is indexed in the end."""
    names = [f"d{number}" for number in range(4)]
    bench.rig.acceptance.accept([{"id": name, "text": f"Text of {name}."} for name in names])
    refs = bench.rig.queue.batches.popleft()
    for _ in range(3 * bench.rig.policy.max_attempts):
        killed = crashing(bench, "contents", "get", 1, after=False).indexing
        with pytest.raises(Crash):
            killed._index(refs, lambda: None, alone=False)
        bench.clock.advance(bench.rig.policy.lease_seconds + 1)
    bench.reconcile()
    assert sorted(map(len, bench.rig.queue.batches)) == [1, 1, 1, 1]
    bench.rig.drain()
    assert {bench.rig.status(name).state for name in names} == {DocumentState.INDEXED}


def test_what_workers_were_lost_with_is_indexed_alone(bench: Bench) -> None:
    """While a suspect is worked on, this process begins nothing else; what waits goes on behind it."""
    bench.rig.put("suspect", OLD)
    for _ in range(LOSSES_IN_COMPANY):
        with pytest.raises(Crash):
            crashing(bench, "contents", "get", 1, after=False).indexing.index(bench.rig.queue.batches.popleft())
        bench.clock.advance(bench.rig.policy.lease_seconds + 1)
        bench.reconcile()
    (suspect,) = bench.rig.queue.batches
    bench.rig.put("other", "Other text.")
    other = bench.rig.queue.batches.pop()
    company, seen = Company(), []

    class Looking(type(bench.embedder)):  # type: ignore[misc]
        """Looks who else is at work."""

        def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            seen.append((company._is_alone, company._together))
            return super().embed_passages(texts, guard=guard)

    rig, stores, policy = bench.rig, bench.rig.stores, bench.rig.policy
    indexing = Indexing(stores, policy, rig.chunker, Looking(), GroupCommitter(stores, policy), company=company)
    assert [indexing.index(refs).committed for refs in (suspect, other)] == [1, 1]
    assert seen == [(True, 0), (False, 1)]


def test_a_store_that_goes_away_is_no_lost_worker(bench: Bench) -> None:
    """What was begun is let go at once, without blame, as far as the store still takes it."""
    bench.rig.put("d1", OLD)
    failing = Failing(bench.rig.stores.contents, "get", StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        bench.rig.with_stores(contents=failing).indexing.index(bench.rig.queue.batches.popleft())
    assert bench.reconcile() == 1
    bench.rig.drain()
    (seen,) = bench.rig.stores.documents.get([document_key("default", "d1")]).values()
    assert (seen.record.state, seen.record.losses, seen.record.failures) == (DocumentState.INDEXED, 0, 0)


def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_loses(bench: Bench) -> None:
    """A worker that was silent for too long cannot commit over the one that took over."""
    bench.rig.put("d1", OLD)
    (message,) = bench.rig.queue.batches
    rig = bench.rig

    class Sleepy(type(bench.embedder)):  # type: ignore[misc]
        """Sleeps through its lease; meanwhile another worker takes over and commits."""

        def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            bench.clock.advance(rig.policy.lease_seconds + 1)
            assert rig.indexing.index(message).committed == 1
            return super().embed_passages(texts, guard=guard)

    report = IngestRig.on(rig.stores, rig.chunker, Sleepy(), rig.policy).indexing.index(message)
    assert (report.lost, report.committed) == (1, 0)
    assert rig.status("d1").attempts == 2
    assert rig.stored_sets() == rig.committed_sets(["d1"])


def test_long_work_keeps_its_lease(bench: Bench) -> None:
    """Work longer than the lease renews it, so that a redelivered message finds it taken."""
    bench.rig.put("d1", NEW)
    (message,) = bench.rig.queue.batches
    rig = bench.rig
    others: list[int] = []

    class Slow(type(bench.embedder)):  # type: ignore[misc]
        """Takes a third of the lease for each slice."""

        def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            bench.clock.advance(rig.policy.lease_seconds / 2)
            others.append(rig.indexing.index(message).taken)
            return super().embed_passages(texts, guard=guard)

    slow = IngestRig.on(rig.stores, rig.chunker, Slow(), Policy(slice_chunks=1))
    assert slow.indexing.index(message).committed == 1
    assert others == [0] * 5
    assert rig.status("d1").attempts == 1


def test_a_reconciler_that_ends_before_it_has_sent_is_noticed_within_a_minute(bench: Bench) -> None:
    """What it had marked is in no queue; however long the queues are, nobody's patience is needed."""
    bench.rig.put("abandoned", OLD)
    with pytest.raises(Crash):
        crashing(bench, "contents", "get", 1, after=False).indexing.index(bench.rig.queue.batches.popleft())
    bench.clock.advance(bench.rig.policy.lease_seconds + 1)
    bench.settle()
    with pytest.raises(Crash):
        crashing(bench, "queue", "index", 1, after=False).reconciler.reconcile()
    for number in range(3):
        bench.rig.put(f"behind {number}", OLD)
    assert bench.reconcile() == 0
    bench.clock.advance(SENDING_SECONDS + 1)
    assert bench.reconcile() == 1
    (ref,) = bench.rig.queue.batches[0]
    assert ref.key == document_key("default", "abandoned")
    bench.clock.advance(SENDING_SECONDS + 1)
    assert bench.reconcile() == 0


def test_who_ends_between_record_and_message_is_made_good_by_what_comes_again(bench: Bench) -> None:
    """An intake worker's message comes again, a caller who heard nothing sends again: the operation gets a message."""
    for number in range(3):
        bench.rig.put(f"before {number}", OLD)
    sent = [{"id": "d1", "text": OLD}]
    with pytest.raises(Crash):
        crashing(bench, "queue", "index", 1, after=False).acceptance.accept(sent)
    for pause, messages in ((1.0, 3), (SETTLING_SECONDS, 4), (1.0, 4)):
        bench.clock.advance(pause)
        assert bench.rig.acceptance.accept(sent)[0].outcome is AcceptOutcome.ACCEPTED
        assert len(bench.rig.queue.batches) == messages
    bench.rig.drain()
    assert bench.rig.status("d1").state is DocumentState.INDEXED
    assert bench.rig.acceptance.accept(sent)[0].outcome is AcceptOutcome.UNCHANGED


def test_an_extraction_that_ends_before_it_has_handed_on_is_handed_on_by_the_next(bench: Bench) -> None:
    """The text is recorded and its message never sent; the extraction's own message comes again, and again."""
    bench.rig.acceptance.accept([{"id": "d1", "content": base64.b64encode(OLD.encode()).decode()}])
    ref = bench.rig.queue.extractions.popleft()
    with pytest.raises(Crash):
        crashing(bench, "queue", "index", 1, after=False).extraction.extract(ref)
    assert not bench.rig.queue.batches
    assert bench.rig.extraction.extract(ref) is None
    assert list(bench.rig.queue.batches) == [(ref,)]
    bench.rig.drain()
    assert bench.rig.status("d1").state is DocumentState.INDEXED
    assert bench.rig.extraction.extract(ref) is None
    assert not bench.rig.queue.batches


def test_two_reconcilers_enqueue_a_document_once(bench: Bench) -> None:
    """Reconciling twice on the same view makes one message, and a document in a long queue is left alone."""
    bench.rig.put("d1", OLD)
    bench.rig.queue.batches.clear()
    bench.clock.advance(60)
    assert [bench.reconcile(), bench.reconcile()] == [1, 0]
    assert len(bench.rig.queue.batches) == 1


def test_a_document_that_waits_in_a_queue_is_not_enqueued_twice(bench: Bench) -> None:
    """As long as the queue may hold all that wait, nothing is enqueued again, until patience ends."""
    bench.rig.put("d1", OLD)
    bench.clock.advance(bench.rig.policy.patience_seconds - 1)
    assert bench.reconcile() == 0
    bench.clock.advance(2)
    assert bench.reconcile() == 1


def test_tombstones_go_after_their_time(bench: Bench) -> None:
    """The record of a deleted document stays for as long as late messages may come, then goes."""
    bench.rig.put("d1", OLD)
    bench.rig.delete("d1")
    bench.sweep()
    assert bench.rig.status("d1").state is DocumentState.DELETED
    bench.clock.advance(bench.rig.policy.tombstone_seconds)
    bench.settle()
    assert bench.rig.sweeper.sweep().tombstones == 1


def test_the_sweeper_leaves_young_and_living_sets_alone(bench: Bench) -> None:
    """A set that is being written is not swept, however old it gets while its attempt is the current one."""
    bench.rig.put("d1", NEW)
    with pytest.raises(Crash):
        crashing(bench, "chunks", "refresh", 1, after=False).indexing.index(bench.rig.queue.batches.popleft())
    bench.sweep()
    assert len(bench.rig.stored_sets()) == 1
    bench.recover()
    bench.sweep()
    assert bench.rig.stored_sets() == bench.rig.committed_sets(["d1"])
