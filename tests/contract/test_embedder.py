"""What every `Embedder` promises, held against the double, the bundled model and Sentence Transformers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.ports import Embedder
from second_opinion.schemas.errors import DeadlineExceeded, Overloaded
from second_opinion.testing.models import WordEmbedder

TEXTS = [
    "Ibuprofen for children: five to ten milligrams for each kilogram.",
    "Children take ibuprofen by weight.",
    "Hold the bicycle tube under water to find the hole.",
    "",
    "word " * 3_000,
    "👩‍👩‍👧‍👦 \x00 مرحبا \ud800",
]


@pytest.fixture(scope="module", params=["double", "onnx", "torch"])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    """The double and the real models."""
    if request.param == "double":
        yield WordEmbedder()
        return
    if request.param == "torch":
        folder: Path = request.getfixturevalue("bi_encoder_folder")
        from second_opinion.pipeline.adapters.torch_embedder import (  # noqa: PLC0415 - torch takes seconds to import
            TorchEmbedder,
            TorchEmbedderOptions,
        )

        yield TorchEmbedder.open(TorchEmbedderOptions(model=str(folder), device="cpu", local_files_only=True))
        return
    real = OnnxEmbedder.open(threads=2)
    yield real
    real.close()


def test_vectors_have_unit_length(embedder: Embedder) -> None:
    """Every text, empty and endless ones too, has a vector of the declared size and of length 1."""
    vectors = embedder.embed_passages(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.spec.dims)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_a_text_has_the_same_vector_alone_and_beside_others(embedder: Embedder) -> None:
    """Company changes no bit of a vector; a query's is that of the same text as a passage."""
    together = embedder.embed_passages(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert np.array_equal(embedder.embed_passages([text])[0], vector)
        assert np.array_equal(embedder.embed_query(text), vector)


def test_threads_get_the_same_vectors(embedder: Embedder) -> None:
    """Eight callers at once change no bit of a vector."""
    expected = embedder.embed_passages(TEXTS[:3])
    with ThreadPoolExecutor(8) as callers:
        for found in callers.map(lambda _: embedder.embed_passages(TEXTS[:3]), range(16)):
            assert np.array_equal(found, expected)


def test_no_texts_have_no_vectors(embedder: Embedder) -> None:
    """Nothing in, a matrix without rows out."""
    assert embedder.embed_passages([]).shape == (0, embedder.spec.dims)


def test_texts_about_the_same_are_near(embedder: Embedder) -> None:
    """Two texts about one thing are nearer to each other than to a third."""
    one, same, other = embedder.embed_passages(TEXTS[:3])
    assert float(one @ same) > float(one @ other)


def test_the_guard_ends_the_work(embedder: Embedder) -> None:
    """What the guard raises reaches the caller, and the next call is served."""

    def guard() -> None:
        raise DeadlineExceeded("time is up")

    with pytest.raises(DeadlineExceeded):
        embedder.embed_passages(TEXTS, guard=guard)
    assert embedder.embed_query("again").shape == (embedder.spec.dims,)


def test_a_closed_embedder_asks_to_come_back() -> None:
    """After closing, a call has a typed error that says to try again."""
    embedder = OnnxEmbedder.open(threads=1)
    embedder.close()
    with pytest.raises(Overloaded):
        embedder.embed_query("too late")
