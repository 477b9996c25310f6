"""A text that has a vector is not embedded again: of an updated document only what changed is."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from second_opinion.pipeline.ingest.vectors import VECTOR_DECIMALS
from second_opinion.schemas.errors import StoreUnavailable
from second_opinion.testing.ingest import Failing, IngestRig
from tests.integration.ingest.conftest import Bench

PARTS = [f"Part {number} tells of the {word} and of nothing else at all. " * 3 for number, word in enumerate("abcdef")]


def passages(bench: Bench, rig: IngestRig, document_id: str, text: str, **fields: str) -> list[str]:
    """Ingest a version and return the passages that were embedded for it."""
    bench.embedder.passages.clear()
    rig.put(document_id, text, **fields)
    rig.drain()
    return list(bench.embedder.passages)


def test_of_an_updated_document_only_what_changed_is_embedded(bench: Bench) -> None:
    """Readers see the new version whole, with old vectors under what stayed."""
    first = passages(bench, bench.rig, "d", "\n\n".join(PARTS))
    changed = [*PARTS[:3], "Something quite different stands here now, and it is new to everybody. " * 3, *PARTS[4:]]
    second = passages(bench, bench.rig, "d", "\n\n".join(changed))
    seen = bench.rig.seen_by_readers("d")
    assert len(first) >= len(PARTS)
    assert 0 < len(second) < len(first)
    assert not set(first) & set(second)
    assert "different" in "".join(second)
    assert "".join(chunk.text for chunk in seen).count("Something quite different") == 3


def test_the_report_says_how_many_vectors_were_there_already(bench: Bench) -> None:
    """Each committed chunk was either embedded or reused."""
    bench.rig.put("d", "\n\n".join(PARTS))
    bench.rig.drain()
    bench.embedder.passages.clear()
    bench.rig.put("copy", "\n\n".join(PARTS))
    (report,) = bench.rig.drain()
    assert report.reused == report.chunks > 0
    assert bench.embedder.passages == []


def test_a_text_twice_in_one_document_is_embedded_once(bench: Bench) -> None:
    """What a page repeats at its end is read once."""
    again = passages(bench, bench.rig, "d", "\n\n".join([*PARTS, *PARTS]))
    assert len(again) == len(set(again))


def test_another_title_is_another_passage(bench: Bench) -> None:
    """The model reads the title as well, so nothing of the old version is of use."""
    first = passages(bench, bench.rig, "d", "\n\n".join(PARTS), title="Old")
    second = passages(bench, bench.rig, "d", "\n\n".join(PARTS), title="New")
    assert len(second) == len(first)


def test_reuse_can_be_switched_off(bench: Bench) -> None:
    """Then every version is embedded whole, and nothing is kept for reading again."""
    rig = IngestRig.on(
        bench.rig.stores, bench.rig.chunker, bench.embedder, replace(bench.rig.policy, reuse_embeddings=False)
    )
    first = passages(bench, rig, "d", "\n\n".join(PARTS))
    second = passages(bench, rig, "e", "\n\n".join(PARTS))
    assert first == second
    assert passages(bench, bench.rig, "f", "\n\n".join(PARTS)) == first


def test_when_vectors_cannot_be_looked_up_they_are_computed(bench: Bench) -> None:
    """Looking is only for speed."""
    bench.rig.put("d", "\n\n".join(PARTS))
    bench.rig.drain()
    failing = Failing(bench.rig.stores.chunks, "embeddings", StoreUnavailable("away"))
    rig = bench.rig.with_stores(chunks=failing)
    assert passages(bench, rig, "e", "\n\n".join(PARTS))
    assert rig.status("e").current


@given(arrays(np.float32, 8, elements=st.floats(-1, 1, width=32)))
def test_a_reused_vector_is_written_as_the_first_one_was(vector: np.ndarray) -> None:
    """What is read back has the same seven decimals, so that no number drifts from version to version."""
    written = np.round(vector.astype(np.float64), VECTOR_DECIMALS)
    read = written.astype("<f4").astype(np.float32)
    assert np.array_equal(np.round(read.astype(np.float64), VECTOR_DECIMALS), written)
