"""Whatever is sent: a typed error with a code and what to do, recorded where it belongs, and its neighbours indexed."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from second_opinion.pipeline.chunking import SectionChunker
from second_opinion.pipeline.ports import Guard, Vectors, no_guard
from second_opinion.schemas.document import AcceptOutcome, DocumentState
from second_opinion.schemas.errors import StoreUnavailable, TransientError
from second_opinion.testing.ingest import Failing, IngestRig

from .conftest import Bench, CountingEmbedder

GOOD = {"id": "good", "text": "A good document beside the bad one."}
SURROGATE = "\ud800"


def encoded(content: bytes) -> str:
    """Return bytes as JSON carries them."""
    return base64.b64encode(content).decode()


REJECTED = [
    ({"id": "d", "text": ""}, "empty_document"),
    ({"id": "d", "text": " \n\t\u3000"}, "empty_document"),
    ({"id": "d", "text": "\x00\x00"}, "empty_document"),
    ({"id": "d"}, "empty_document"),
    ({"id": "d", "text": "t", "content": encoded(b"t")}, "empty_document"),
    ({"id": "", "text": "t"}, "invalid_document"),
    ({"text": "t"}, "invalid_document"),
    ({"id": 7, "text": "t"}, "invalid_document"),
    ({"id": "x" * 513, "text": "t"}, "invalid_document"),
    ({"id": "d", "text": 5}, "invalid_document"),
    ({"id": "d", "text": "t", "titel": "misspelt"}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {"a": {"nested": 1}}}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {"a": None}}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {"a.b": 1}}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {"a": float("nan")}}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {"a": "x" * 1_025}}, "invalid_document"),
    ({"id": SURROGATE, "text": "t"}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {f"f{n}": n for n in range(65)}}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": "year=2020"}, "invalid_document"),
    ({"id": "d", "text": "t", "metadata": {"a": [1, "x"]}}, "metadata_type_conflict"),
    ({"id": "d", "text": "t", "metadata": {"year": "twenty"}}, "metadata_type_conflict"),
    ({"id": "d", "text": "t", "source_version": -1}, "invalid_document"),
    ({"id": "d", "text": "t", "collection": "Not A Name"}, "invalid_document"),
    ({"id": "d", "text": "t", "media_type": "application/pdf"}, "unsupported_media_type"),
    ({"id": "d", "content": "not base64!"}, "invalid_document"),
    ({"id": "d", "text": "t" * (32 * 1024 * 1024 + 1)}, "document_too_large"),
    ("not an object", "invalid_document"),
    (None, "invalid_document"),
]


@pytest.mark.parametrize(("payload", "code"), REJECTED, ids=[f"{n}-{code}" for n, (_, code) in enumerate(REJECTED)])
def test_what_cannot_be_accepted_is_rejected_by_itself(memory_bench: Bench, payload: Any, code: str) -> None:
    """Each wrong document gets a receipt with a code, a sentence and a hint; the good one in the batch is accepted."""
    memory_bench.rig.put("first", "x", metadata={"year": 2020})
    rejected, accepted = memory_bench.rig.acceptance.accept([payload, GOOD])
    assert rejected.outcome is AcceptOutcome.REJECTED
    assert rejected.error is not None
    assert rejected.error.code == code
    assert rejected.error.message
    assert rejected.error.hint
    assert accepted.outcome is AcceptOutcome.ACCEPTED
    memory_bench.rig.drain()
    assert memory_bench.rig.status("good").state is DocumentState.INDEXED


FAILING_CONTENTS = [
    (b"abc\xff", "text/plain", "invalid_encoding"),
    (b"", "text/plain", "no_text_found"),
    (b"  \n", "text/markdown", "no_text_found"),
    (b"%PDF-1.7", "application/pdf", "unsupported_media_type"),
    (b"abc", "text/plain; charset=klingon", "invalid_encoding"),
]


@pytest.mark.parametrize(("content", "media_type", "code"), FAILING_CONTENTS)
def test_bytes_that_give_no_text_fail_the_document(bench: Bench, content: bytes, media_type: str, code: str) -> None:
    """What only extraction can tell is recorded with the document: failed, with code and hint, at the first attempt."""
    payload = {"id": "bad", "content": encoded(content), "media_type": media_type}
    bench.rig.acceptance.accept([payload, GOOD])
    bench.rig.drain()
    status = bench.rig.status("bad")
    assert status.error is not None
    assert (status.state, status.error.code, status.attempts) == (DocumentState.FAILED, code, 1)
    assert status.error.hint
    assert bench.rig.status("good").state is DocumentState.INDEXED


ODD_BUT_FINE: list[tuple[str, Mapping[str, Any]]] = [
    ("slashes", {"id": "a/b/../c?d#e f%2F", "text": "Text."}),
    ("emoji id", {"id": "📄/ü\n\t\x00", "text": "Text."}),
    ("no title", {"id": "d", "text": "Text without a title."}),
    ("nul", {"id": "d", "text": "Dose\x00 of\x00\x00 ibuprofen", "title": "A\x00B", "metadata": {"k": "a\x00b"}}),
    ("rtl", {"id": "d", "text": "\u202eالجرعة\u202c שלום", "title": "الجرعة"}),
    ("emoji", {"id": "d", "text": "👶🏽 5 mg 👩‍👧‍👦", "metadata": {"k": "👶"}}),
    ("word", {"id": "d", "text": "x" * 100_000}),
    ("surrogate", {"id": "d", "text": f"a{SURROGATE}b", "title": SURROGATE}),
    ("only headings", {"id": "d", "text": "# One\n## Two", "media_type": "text/markdown"}),
    ("markup", {"id": "d", "text": "<script>alert(1)</script> {{x}} ${y}", "title": "<b>"}),
    ("long title", {"id": "d", "text": "Text.", "title": "漢" * 1_024}),
    ("long metadata", {"id": "d", "text": "Text.", "metadata": {"k": "ü" * 1_024, "tags": ["t"] * 100}}),
    ("same word", {"id": "d", "text": "the " * 5_000}),
    ("no letters", {"id": "d", "text": "—— … ‼"}),
]


@pytest.mark.parametrize("payload", [payload for _, payload in ODD_BUT_FINE], ids=[name for name, _ in ODD_BUT_FINE])
def test_odd_documents_are_indexed(bench: Bench, payload: Mapping[str, Any]) -> None:
    """Odd is not wrong: ids, titles, texts and metadata of any characters are indexed and come back as they were."""
    (receipt,) = bench.rig.acceptance.accept([payload])
    assert receipt.error is None
    bench.rig.drain()
    status = bench.rig.status(payload["id"])
    assert (status.state, status.error) == (DocumentState.INDEXED, None)
    hits = bench.rig.seen_by_readers(payload["id"])
    assert len(hits) == status.chunks > 0
    text = payload["text"].replace(SURROGATE, "?")
    assert all(hit.text == text[hit.start : hit.end] for hit in hits)
    assert hits[0].metadata == payload.get("metadata", {})


def test_twenty_megabytes_are_indexed_whole(memory_bench: Bench, long_chunker: SectionChunker) -> None:
    """A text of 20 MB becomes chunks that cover it, within one piece of work that keeps its lease."""
    bench = memory_bench
    paragraph = "The dose depends on the weight of the child and on what else is taken. "
    text = "\n\n".join("".join(f"{number}.{part} {paragraph}" for part in range(380)) for number in range(720))
    assert len(text) > 20_000_000

    class Constant(CountingEmbedder):
        """Gives every passage the same vector; takes a second of the clock for each slice."""

        def embed_passages(self, texts: list[str], *, guard: Guard = no_guard) -> Vectors:
            guard()
            bench.clock.advance(1.0)
            self.passages += texts
            return np.full((len(texts), self.spec.dims), 0.125, np.float32)

    embedder = Constant()
    rig = IngestRig.on(bench.rig.stores, long_chunker, embedder, bench.rig.policy)
    rig.put("big", text)
    (report,) = rig.drain()
    assert (report.committed, report.chunks) == (1, len(embedder.passages) + report.reused)
    hits = rig.seen_by_readers("big")
    assert hits[-1].end == len(text.rstrip())
    covered = sum(hit.end - hit.start for hit in hits)
    assert covered > 0.98 * len(text)


def test_a_document_that_breaks_the_model_fails_alone(bench: Bench) -> None:
    """A text on which the embedder breaks is tried, then failed with its error; the others of the batch are indexed."""

    class Allergic(CountingEmbedder):
        """Breaks on one word."""

        def embed_passages(self, texts: list[str], *, guard: Guard = no_guard) -> Vectors:
            if any("poison" in text for text in texts):
                raise ValueError("cannot read this")
            return super().embed_passages(texts, guard=guard)

    rig = IngestRig.on(bench.rig.stores, bench.rig.chunker, Allergic(), bench.rig.policy)
    rig.acceptance.accept([{"id": f"d{n}", "text": "poison" if n == 2 else f"Text {n}."} for n in range(5)])
    (report,) = rig.drain()
    assert (report.committed, report.released) == (4, 1)
    for _ in range(rig.policy.max_attempts):
        bench.clock.advance(1_000)
        bench.reconcile()
        rig.drain()
    status = rig.status("d2")
    assert status.error is not None
    assert (status.state, status.error.code) == (DocumentState.FAILED, "attempts_exhausted")
    assert "cannot read this" in status.error.message
    assert rig.stored_sets() == rig.committed_sets([f"d{n}" for n in range(5)])


def test_a_store_that_is_away_for_a_moment_costs_an_attempt_only(bench: Bench) -> None:
    """A write that fails for a passing reason is released, waits for its backoff, and then succeeds."""
    broken = Failing(bench.rig.stores.chunks, "write", StoreUnavailable("gone for a moment"))
    rig = bench.rig.with_stores(chunks=broken)
    rig.put("d1", "Text.")
    (report,) = rig.drain()
    assert report.released == 1
    status = rig.status("d1")
    assert status.error is not None
    assert (status.state, status.error.code) == (DocumentState.RECEIVED, "store_unavailable")
    assert bench.reconcile() == 0
    bench.clock.advance(bench.rig.policy.backoff_seconds)
    assert bench.reconcile() == 1
    rig.drain()
    assert (rig.status("d1").state, rig.status("d1").error) == (DocumentState.INDEXED, None)


def test_an_outage_of_many_attempts_parks_no_document(bench: Bench) -> None:
    """Writes that a store refuses more often than a document may fail are no failure of the document."""
    rig = bench.rig
    rig.put("d1", "Text.")
    for _ in range(2 * rig.policy.max_attempts):
        broken = Failing(rig.stores.chunks, "write", StoreUnavailable("gone for long"))
        (report,) = rig.with_stores(chunks=broken).drain()
        assert report.released == 1
        bench.clock.advance(rig.policy.longest_backoff_seconds)
        assert bench.reconcile() == 1
    rig.drain()
    status = rig.status("d1")
    assert (status.state, status.error) == (DocumentState.INDEXED, None)
    assert status.attempts == 2 * rig.policy.max_attempts + 1


def test_a_batch_refused_while_elasticsearch_is_away_can_be_sent_again(bench: Bench) -> None:
    """A caller hears the transient error, nothing half-accepted is visible, and sending again succeeds."""
    broken = Failing(bench.rig.stores.documents, "swap", StoreUnavailable("away"), after=True)
    with pytest.raises(TransientError):
        bench.rig.with_stores(documents=broken).acceptance.accept([GOOD])
    (receipt,) = bench.rig.acceptance.accept([GOOD])
    assert receipt.outcome is AcceptOutcome.ACCEPTED
    bench.recover()
    assert bench.rig.status("good").state is DocumentState.INDEXED


def test_rejections_can_be_recorded_for_those_who_cannot_hear(bench: Bench) -> None:
    """Sent by task name, a rejected document is found as failed with its error; a known document stays as it is."""
    bench.rig.put("known", "Text.")
    bench.rig.drain()
    payloads = [{"id": "new", "text": " "}, {"id": "known", "text": " "}, {"text": "no id"}]
    bench.rig.acceptance.accept(payloads, record_rejected=True)
    status = bench.rig.status("new")
    assert status.error is not None
    assert (status.state, status.error.code) == (DocumentState.FAILED, "empty_document")
    assert bench.rig.status("known").state is DocumentState.INDEXED


def test_work_without_its_content_says_so(bench: Bench) -> None:
    """If what was sent has vanished, the document fails with a sentence that says what to do."""
    receipt = bench.rig.put("d1", "Text.")
    assert receipt.target is not None
    bench.rig.stores.contents.delete([ref for batch in bench.rig.queue.batches for ref in batch])
    bench.rig.drain()
    bench.recover()
    status = bench.rig.status("d1")
    assert status.error is not None
    assert status.state is DocumentState.FAILED
    assert "is missing" in status.error.message
