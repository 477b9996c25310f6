"""What every `Reranker` promises, held against the double, local models, and a real provider asked by HTTP."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from second_opinion.pipeline.adapters.cohere_reranker import CohereOptions, CohereReranker
from second_opinion.pipeline.adapters.http_reranker import HttpOptions, HttpReranker
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.adapters.provider_calls import CallPolicy
from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.calibration import sigmoid
from second_opinion.schemas.errors import JobCancelled, RerankUnavailable
from second_opinion.schemas.usage import RerankUsage
from second_opinion.testing.models import WordReranker
from tests.servers import infinity
from tests.servers.rerank_provider import KEY, MODEL, RerankProvider

QUERY = "ibuprofen dosage for children"
PASSAGES = [
    "Ibuprofen for children\nA child takes five to ten milligrams for each kilogram, every six to eight hours.",
    "Ibuprofen for adults\nAdults take 200 to 400 mg up to three times a day.",
    "How ibuprofen works\nIt slows the enzymes that make prostaglandins.",
    "Bicycle tubes\nHold the tube under water to find the hole.",
    "",
    "dosage " * 3_000,
    "👩‍👩‍👧‍👦 \x00 مرحبا \ud800",
]


LOCAL = ["double", "onnx", "torch"]
PATIENT = CallPolicy(timeout=60.0, patience=120.0)
PROVIDERS = {
    "cohere": lambda url: CohereReranker.open(CohereOptions(model=MODEL, api_key=SecretStr(KEY), base_url=url)),
    "http-cohere": lambda url: HttpReranker.open(HttpOptions(f"{url}/v1/rerank", MODEL, "probability")),
    "http-tei": lambda url: HttpReranker.open(HttpOptions(f"{url}/tei/rerank", MODEL, "probability", "tei")),
    "http-tei-logit": lambda url: HttpReranker.open(HttpOptions(f"{url}/tei/rerank", MODEL, "logit", "tei")),
}


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """A provider that serves the bundled model."""
    model = OnnxReranker.open(threads=2)
    with RerankProvider(model) as provider:
        yield provider.url
    model.close()


@pytest.fixture(scope="module")
def make_local(request: pytest.FixtureRequest) -> Callable[[str], Reranker]:
    """Opens a reranker that runs in this process."""

    def make(name: str) -> Reranker:
        if name == "double":
            return WordReranker()
        if name == "onnx":
            return OnnxReranker.open(threads=2)
        folder: Path = request.getfixturevalue("cross_encoder_folder")
        from second_opinion.pipeline.adapters.torch_reranker import (  # noqa: PLC0415 - torch takes seconds to import
            TorchReranker,
            TorchRerankerOptions,
        )

        return TorchReranker.open(TorchRerankerOptions(model=str(folder), device="cpu", local_files_only=True))

    return make


def like(reranker: Reranker, scores: list[float]) -> Any:
    """Return what equals these scores: to the bit, except where a server batches what it is sent as it likes."""
    return pytest.approx(scores, abs=1e-3) if reranker.spec.model == infinity.MODEL else scores


@pytest.fixture(scope="module", params=[*LOCAL, *PROVIDERS, "infinity"])
def reranker(request: pytest.FixtureRequest, make_local: Callable[[str], Reranker]) -> Iterator[Reranker]:
    """Every kind of reranker."""
    if request.param in LOCAL:
        real = make_local(request.param)
    elif request.param == "infinity":
        url = request.getfixturevalue("infinity_url")
        raw = {"raw_scores": True}
        real = HttpReranker.open(HttpOptions(f"{url}/rerank", infinity.MODEL, "logit", extra=raw, policy=PATIENT))
    else:
        real = PROVIDERS[request.param](request.getfixturevalue("provider_url"))
    yield real
    if not isinstance(real, WordReranker):
        real.close()  # type: ignore[attr-defined]


def test_there_is_one_finite_score_for_each_passage(reranker: Reranker) -> None:
    """Empty, endless and odd passages have a score like any other."""
    scores = reranker.score(QUERY, PASSAGES)
    assert len(scores) == len(PASSAGES)
    assert all(math.isfinite(score) for score in scores)


def test_a_pair_scores_the_same_alone_and_beside_others(reranker: Reranker) -> None:
    """Company and order change no bit of a score."""
    together = reranker.score(QUERY, PASSAGES)
    assert [reranker.score(QUERY, [passage])[0] for passage in PASSAGES] == like(reranker, together)
    assert reranker.score(QUERY, PASSAGES[::-1]) == like(reranker, together[::-1])
    assert reranker.score(QUERY, [PASSAGES[1]] * 40) == like(reranker, [together[1]] * 40)


def test_threads_get_the_same_scores(reranker: Reranker) -> None:
    """Eight callers at once, each with another query between, change no bit of a score."""
    expected = reranker.score(QUERY, PASSAGES[:4])

    def ask(number: int) -> list[float]:
        reranker.score(f"question number {number}", PASSAGES[:2])
        return reranker.score(QUERY, PASSAGES[:4])

    with ThreadPoolExecutor(8) as callers:
        assert all(found == like(reranker, expected) for found in callers.map(ask, range(16)))


def test_no_passages_have_no_scores(reranker: Reranker) -> None:
    """Nothing in, nothing out."""
    assert reranker.score(QUERY, []) == []


def test_the_better_passage_scores_higher(reranker: Reranker) -> None:
    """The passage that answers is above the one about something else."""
    children, _, _, bicycle = reranker.score(QUERY, PASSAGES[:4])
    assert children > bicycle


def test_the_guard_ends_the_work(reranker: Reranker) -> None:
    """What the guard raises reaches the caller, and the next call is served."""

    def guard() -> None:
        raise JobCancelled("not wanted any more")

    with pytest.raises(JobCancelled):
        reranker.score(QUERY, PASSAGES, guard=guard)
    assert len(reranker.score(QUERY, PASSAGES[:1])) == 1


def test_the_spec_says_what_the_scores_are(reranker: Reranker) -> None:
    """The scale is declared, and everything that a calibration is keyed by is there."""
    spec = reranker.spec
    probabilities = spec.backend == "cohere" or (spec.backend.startswith("http") and spec.scale == "probability")
    assert spec.scale == ("probability" if probabilities else "logit")
    assert reranker.spec.model
    assert reranker.spec.revision
    assert reranker.spec.max_tokens > 0


def test_a_closed_reranker_is_unavailable() -> None:
    """After closing, a call is told that no score can be had now, which is not the same as nothing relevant."""
    reranker = OnnxReranker.open(threads=1)
    reranker.close()
    with pytest.raises(RerankUnavailable):
        reranker.score(QUERY, PASSAGES[:1])


def test_whether_a_passage_is_read_whole_can_be_asked() -> None:
    """A passage of a chunk's length fits beside a long query; an endless one does not."""
    reranker = OnnxReranker.open(threads=1)
    assert reranker.reads_whole("why " * 128, "word " * 200)
    assert not reranker.reads_whole("why", "word " * 500)
    reranker.close()


def test_a_server_and_this_process_agree(infinity_url: str, make_local: Callable[[str], Reranker]) -> None:
    """The same cross-encoder has the same logits behind infinity as on torch here, and its probabilities are theirs."""
    here = make_local("torch").score(QUERY, PASSAGES[:5])
    logits = HttpOptions(f"{infinity_url}/rerank", infinity.MODEL, "logit", extra={"raw_scores": True}, policy=PATIENT)
    assert HttpReranker.open(logits).score(QUERY, PASSAGES[:5]) == pytest.approx(here, abs=1e-3)
    squashed = HttpOptions(f"{infinity_url}/rerank", infinity.MODEL, "probability", policy=PATIENT)
    heard: list[RerankUsage] = []
    found = HttpReranker.open(squashed).score_metered(QUERY, PASSAGES[:5], meter=heard.append)
    assert found == pytest.approx([sigmoid(logit) for logit in here], abs=1e-3)
    assert [usage.tokens > 0 for usage in heard] == [True]
