"""Rerankers that ask a provider which fails on purpose."""

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from second_opinion.pipeline.adapters.cohere_reranker import CohereOptions, CohereReranker
from second_opinion.pipeline.adapters.http_reranker import HttpOptions, HttpReranker
from second_opinion.pipeline.adapters.provider_calls import CallPolicy
from tests.servers.faults import KEY, FaultyProvider

Provided = CohereReranker | HttpReranker
Opener = Callable[[CallPolicy], Provided]

HASTY = CallPolicy(timeout=0.5, retries=2, patience=5.0, base=0.02, cap=0.1)


@pytest.fixture
def provider() -> Iterator[FaultyProvider]:
    """A provider that fails as its plan says."""
    with FaultyProvider() as faulty:
        yield faulty


def open_reranker(kind: str, url: str, policy: CallPolicy = HASTY) -> Provided:
    """Open one kind of reranker on a provider."""
    key = SecretStr(KEY)
    if kind == "cohere":
        return CohereReranker.open(CohereOptions("rerank-test", key, url, policy=policy))
    path = "rerank" if kind == "tei" else "v1/rerank"
    contract = "tei" if kind == "tei" else "cohere"
    options = HttpOptions(f"{url}/{path}", "rerank-test", "probability", contract, key, policy=policy)
    return HttpReranker.open(options)


@pytest.fixture(params=["cohere", "http", "tei"])
def opened(request: pytest.FixtureRequest, provider: FaultyProvider) -> Iterator[Opener]:
    """Opens each kind of reranker, with a patience of the test's choice."""
    made: list[Provided] = []

    def make(policy: CallPolicy = HASTY) -> Provided:
        made.append(open_reranker(request.param, provider.url, policy))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def reranker(opened: Opener) -> Provided:
    """Each kind of reranker, with little patience."""
    return opened(HASTY)
