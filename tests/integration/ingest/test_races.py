"""Many at once: deliveries, updates, deletions and readers on the same documents."""

import threading
from concurrent.futures import ThreadPoolExecutor

from second_opinion.pipeline.ports import SearchRequest
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.document import AcceptOutcome, DocumentState
from second_opinion.testing.ingest import Failing

from .conftest import Bench

PARAGRAPHS = 6


def version_text(version: int) -> str:
    """Return a document of several chunks, each of which names its version."""
    return "\n\n".join(
        f"Version {version} says in paragraph {number} that the dose depends on weight, age and what else is taken. "
        f"It says so at some length, so that each paragraph becomes a passage of its own."
        for number in range(PARAGRAPHS)
    )


def read_by_protocol(bench: Bench, vector_text: str) -> list[ChunkHit]:
    """Search, then keep what the records say is committed, as every reader does."""
    rig = bench.rig
    index = rig.stores.collections.get("default").index
    vector = rig.embedder.embed_query(vector_text)
    hits = rig.stores.chunks.search(
        SearchRequest(index=index, text=vector_text, vector=vector, filters=(), depth=200, bm25=False)
    )
    records = rig.stores.documents.get([hit.chunk.key for hit in hits.knn])
    kept = []
    for hit in hits.knn:
        seen = records.get(hit.chunk.key)
        committed = None if seen is None else seen.record.committed.get(index)
        if committed is not None and committed.write_set == hit.chunk.write_set:
            kept.append(hit.chunk)
    return kept


def test_five_deliveries_of_one_message_write_one_set(bench: Bench) -> None:
    """Of five workers that get the same message at once, one does the work; the index holds one set."""
    bench.rig.put("d1", version_text(1))
    (message,) = bench.rig.queue.batches
    workers = [bench.rig.with_stores() for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(lambda worker: worker.indexing.index(message), workers))
    assert [sum(report.committed for report in reports), sum(report.taken for report in reports)] == [1, 1]
    assert bench.rig.stored_sets() == bench.rig.committed_sets(["d1"])
    assert bench.rig.status("d1").attempts == 1


def test_a_message_delivered_again_after_the_work_does_nothing(bench: Bench) -> None:
    """A late redelivery of a message whose work is done embeds nothing."""
    bench.rig.put("d1", version_text(1))
    (message,) = list(bench.rig.queue.batches)
    bench.rig.drain()
    embedded = len(bench.embedder.passages)
    assert bench.rig.indexing.index(message).taken == 0
    assert len(bench.embedder.passages) == embedded


def test_late_messages_behind_a_newer_version_do_nothing(bench: Bench) -> None:
    """The message of an older operation, delivered after a newer one is committed, leaves the newer one in place."""
    bench.rig.put("d1", version_text(1))
    late = bench.rig.queue.batches.popleft()
    bench.rig.put("d1", version_text(2))
    bench.rig.drain()
    assert bench.rig.indexing.index(late).taken == 0
    assert "Version 2" in bench.rig.seen_by_readers("d1")[0].text


def test_work_overtaken_by_a_newer_version_leaves_nothing_behind(bench: Bench) -> None:
    """An update that arrives while the older version is embedded wins; the loser removes what it wrote."""
    rig = bench.rig
    rig.put("d1", version_text(1))
    older = rig.queue.batches.popleft()
    overtaken = threading.Event()

    class Slow(type(bench.embedder)):  # type: ignore[misc]
        """Lets a newer version be accepted and indexed before it returns."""

        def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if not overtaken.is_set():
                overtaken.set()
                rig.put("d1", version_text(2))
                rig.drain()
            return super().embed_passages(texts, guard=guard)

    slow = type(rig).on(rig.stores, rig.chunker, Slow(), rig.policy)
    report = slow.indexing.index(older)
    assert (report.taken, report.lost, report.committed) == (1, 1, 0)
    assert {hit.text.split(" says")[0] for hit in rig.seen_by_readers("d1")} == {"Version 2"}
    assert rig.stored_sets() == rig.committed_sets(["d1"])


def test_work_overtaken_by_a_deletion_leaves_nothing_behind(bench: Bench) -> None:
    """A deletion while the document is embedded wins: nothing is committed and nothing stays in the index."""
    rig = bench.rig
    rig.put("d1", version_text(1))

    class Deleting(type(bench.embedder)):  # type: ignore[misc]
        """Lets the document be deleted before it returns."""

        def embed_passages(self, texts, *, guard=lambda: None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            rig.delete("d1")
            return super().embed_passages(texts, guard=guard)

    report = type(rig).on(rig.stores, rig.chunker, Deleting(), rig.policy).indexing.index(rig.queue.batches.popleft())
    assert (report.lost, report.committed) == (1, 0)
    assert rig.status("d1").state is DocumentState.DELETED
    assert rig.stored_sets() == []


def test_many_writers_of_one_document_agree_on_one(bench: Bench) -> None:
    """Eight callers that put different contents at once are all answered, and one content is what readers see."""
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda version: bench.rig.put("d1", version_text(version)), range(8)))
    assert {receipt.outcome for receipt in receipts} == {AcceptOutcome.ACCEPTED}
    bench.rig.drain()
    assert bench.rig.status("d1").state is DocumentState.INDEXED
    assert len({hit.text.split(" says")[0] for hit in bench.rig.seen_by_readers("d1")}) == 1
    assert bench.rig.stored_sets() == bench.rig.committed_sets(["d1"])


def test_of_many_versions_at_once_the_newest_stays(bench: Bench) -> None:
    """Versions that arrive at once and in any order end with the highest one indexed."""
    versions = [3, 9, 1, 7, 5, 8, 2, 6]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: bench.rig.put("d1", version_text(one), source_version=one), versions))
    bench.rig.drain()
    assert bench.rig.status("d1").source_version == 9
    assert {hit.text.split(" says")[0] for hit in bench.rig.seen_by_readers("d1")} == {"Version 9"}


def test_readers_see_one_whole_version_at_every_moment(bench: Bench) -> None:
    """While documents are replaced all the time, what a reader keeps of each is of one version.

    Readers keep at most one version of a document per read, never a mixture. (That a document is never missing is
    the reader's second round, and tested with retrieval.)
    """
    names = ["d0", "d1", "d2"]
    for name in names:
        bench.rig.put(name, version_text(0))
    bench.rig.drain()
    done = threading.Event()
    mixtures: list[set[str]] = []

    def read() -> int:
        count = 0
        while not done.is_set():
            found: dict[str, set[str]] = {}
            for hit in read_by_protocol(bench, "the dose depends on weight"):
                found.setdefault(hit.key, set()).add(hit.text.split(" says")[0])
            mixtures.extend(versions for versions in found.values() if len(versions) > 1)
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for version in range(1, 9):
            for name in names:
                bench.rig.put(name, version_text(version))
            bench.rig.drain()
        done.set()
        reads = sum(reader.result() for reader in readers)
    assert reads > 0
    assert mixtures == []
    assert bench.rig.stored_sets() == bench.rig.committed_sets(names)


def test_threads_share_commits(bench: Bench) -> None:
    """Workers of one process that finish together are committed in fewer groups than there are messages."""
    counted = Failing(bench.rig.stores.chunks, "refresh", RuntimeError("never"), at=0)
    rig = bench.rig.with_stores(chunks=counted)
    for number in range(8):
        rig.put(f"d{number}", version_text(number))
    messages = list(rig.queue.batches)
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(rig.indexing.index, messages))
    assert sum(report.committed for report in reports) == 8
    assert counted.calls < 8
