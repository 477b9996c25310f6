"""Programs that were written for Cohere or for Text Embeddings Inference ask this gateway instead, as they are."""

import asyncio
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cohere
import pytest
from pydantic import SecretStr

from second_opinion.pipeline.adapters.cohere_reranker import CohereOptions, CohereReranker
from second_opinion.pipeline.adapters.http_reranker import HttpOptions, HttpReranker
from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.access import NewKey
from second_opinion.schemas.errors import ProviderRefused
from second_opinion.workers.bootstrap import gateway_rerankers
from second_opinion.workers.rerankers import LocalReranker
from second_opinion.workers.settings import Settings
from tests.conftest import Servers
from tests.integration.http.conftest import Served, serving, system_of
from tests.servers.environments import EnvironmentMissing, environment

QUERY = "ibuprofen dosage for children"
DOCUMENTS = [
    "Adults take 200 to 400 mg of ibuprofen up to three times a day.",
    "Hold the bicycle tube under water to find the hole.",
    "A child takes five to ten milligrams of ibuprofen for each kilogram, every six to eight hours.",
    "",
    "Ibuprofen slows the enzymes that make prostaglandins.",
    "For children the dose of acetaminophen goes by weight.",
    "A sourdough starter is fed with flour and water every day.",
]
CLIENTS = Path(__file__).with_name("cohere_clients.py")
MODEL = "rerank-v3.5"


@pytest.fixture(scope="module")
def gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real gateway on loopback that asks for keys; no worker runs, and none is needed."""
    with system_of(servers, tmp_path_factory.mktemp("system")) as system, serving(system) as made:
        yield made


@pytest.fixture(scope="module")
def key(gateway: Served) -> str:
    """A key that may query."""
    made = NewKey.make("program", scopes=("query",), collections=("*",), now=time.time(), expires_at=None)
    gateway.app.state.gateway.parts.api_keys.create(made.key)
    return made.token


@pytest.fixture(scope="module")
def local() -> Iterator[LocalReranker]:
    """The same model in this test's own hands."""
    (opened,) = gateway_rerankers(Settings(model_threads=1))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def expected(local: LocalReranker) -> list[tuple[int, float]]:
    """The order of the documents, and their relevance."""
    raw = local.reranker.score(QUERY, DOCUMENTS)
    relevance = [
        0.0 if not text else value for text, value in zip(DOCUMENTS, local.calibration.relevance(raw), strict=True)
    ]
    return sorted(enumerate(relevance), key=lambda pair: -pair[1])


def test_the_sdk_has_the_order_of_the_model(gateway: Served, key: str, expected: list[tuple[int, float]]) -> None:
    """The official SDK, told another address and key, gets calibrated relevance, and finds all that it knows of."""
    client = cohere.ClientV2(key, base_url=gateway.url)
    answer = client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, top_n=3, max_tokens_per_doc=4_096, priority=1)
    assert [(one.index, one.relevance_score) for one in answer.results] == expected[:3]
    assert answer.id
    assert answer.meta is not None
    assert answer.meta.billed_units is not None
    assert (answer.meta.billed_units.search_units, answer.meta.warnings) == (1, None)
    assert answer.meta.api_version is not None
    assert answer.meta.api_version.version == "2"


async def test_the_awaited_sdk_works_too(gateway: Served, key: str, expected: list[tuple[int, float]]) -> None:
    """Ten requests at once have the same answer."""
    client = cohere.AsyncClientV2(key, base_url=gateway.url)
    asked = (client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS) for _ in range(10))
    for answer in await asyncio.gather(*asked):
        assert [(one.index, one.relevance_score) for one in answer.results] == expected


def test_the_first_version_of_the_sdk_works_too(gateway: Served, key: str, expected: list[tuple[int, float]]) -> None:
    """Programs of the older contract send objects, and ask for the documents back."""
    client = cohere.Client(key, base_url=gateway.url)
    documents = [{"text": text} for text in DOCUMENTS]
    answer = client.rerank(model=MODEL, query=QUERY, documents=documents, top_n=2, return_documents=True)
    assert [(one.index, one.relevance_score) for one in answer.results] == expected[:2]
    assert [one.document.text for one in answer.results if one.document] == [DOCUMENTS[n] for n, _ in expected[:2]]


def test_the_sdk_raises_what_it_raises_at_cohere(gateway: Served, key: str) -> None:
    """Its own exceptions, with sentences that say what to do."""
    client, stranger = cohere.ClientV2(key, base_url=gateway.url), cohere.ClientV2("nonsense", base_url=gateway.url)
    with pytest.raises(cohere.UnauthorizedError, match="API key"):
        stranger.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    with pytest.raises(cohere.NotFoundError, match="Name one of: bundled"):
        client.rerank(model="command-r", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(cohere.BadRequestError, match="empty"):
        client.rerank(model=MODEL, query=QUERY, documents=[])
    with pytest.raises(cohere.UnprocessableEntityError, match="documents"):
        client.rerank(model=MODEL, query=QUERY, documents=[7])  # type: ignore[list-item]


def test_the_sdk_comes_back_to_a_full_gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It hears 429 with Retry-After, waits so long, and has its answer without the program noticing."""
    choices = {"gateway_rerank_passages": 150, "model_threads": 1, "gateway_rerank": "start"}
    with (
        system_of(servers, tmp_path_factory.mktemp("full")) as system,
        serving(system, **choices) as full,
        full.http() as http,
    ):
        texts = [f"refund number {number} takes a while" for number in range(140)]
        first = threading.Thread(target=http.post, args=("/rerank",), kwargs={"json": {"query": QUERY, "texts": texts}})
        first.start()
        desk = full.app.state.gateway.rerank
        until = time.monotonic() + 30.0
        while desk.waiting == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
        with full.http() as other:
            refused = other.post("/v2/rerank", json={"query": QUERY, "documents": texts[:50]})
        assert refused.status_code == 429
        client = cohere.ClientV2("", base_url=full.url)
        answer = client.rerank(model=MODEL, query=QUERY, documents=texts[:50], request_options={"max_retries": 20})
        assert len(answer.results) == 50
        first.join()


def test_frameworks_that_know_cohere_work_as_they_are(
    gateway: Served, key: str, expected: list[tuple[int, float]]
) -> None:
    """LangChain, LlamaIndex and Haystack, with an older SDK in an environment of their own, agree with the model."""
    try:
        home = environment(
            "cohere-clients", requirements="requirements/cohere-clients.txt", switch="OPINION_TEST_CLIENTS"
        )
    except EnvironmentMissing as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(problem))
    asked = {"url": gateway.url, "key": key, "query": QUERY, "documents": DOCUMENTS}
    quiet = {"HAYSTACK_TELEMETRY_ENABLED": "False", "LANGCHAIN_TRACING_V2": "false", "LANGSMITH_TRACING": "false"}
    done = subprocess.run(
        [home / "bin" / "python", CLIENTS],
        input=json.dumps(asked),
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    answers = json.loads(done.stdout)
    assert set(answers) == {"sdk", "langchain", "llama_index", "haystack", "haystack_async"}
    for program, found in answers.items():
        assert [tuple(one) for one in found] == expected, program


def adapters(url: str, key: str) -> dict[str, Reranker]:
    """Our own adapters, asking a gateway as they ask any provider."""
    secret = SecretStr(key)
    return {
        "cohere": CohereReranker.open(CohereOptions("rerank-bundled", secret, url)),
        "http": HttpReranker.open(HttpOptions(f"{url}/v1/rerank", "bundled", "probability", api_key=secret)),
        "tei": HttpReranker.open(HttpOptions(f"{url}/rerank", "bundled", "probability", "tei", api_key=secret)),
        "tei-logit": HttpReranker.open(HttpOptions(f"{url}/rerank", "bundled", "logit", "tei", api_key=secret)),
    }


@pytest.mark.parametrize("kind", ["cohere", "http", "tei", "tei-logit"])
def test_one_gateway_can_rerank_for_another_system(gateway: Served, key: str, local: LocalReranker, kind: str) -> None:
    """Round trip: what our adapters get from a gateway is what the model and its calibration say here, to the bit."""
    documents = [*DOCUMENTS * 10, "dosage " * 900, "👩‍👩‍👧‍👦 \x00 مرحبا \ud800"]
    found = adapters(gateway.url, key)[kind].score(QUERY, documents)
    raw = local.reranker.score(QUERY, documents)
    relevance = [
        0.0 if not text else value for text, value in zip(documents, local.calibration.relevance(raw), strict=True)
    ]
    assert found == (raw if kind == "tei-logit" else relevance)


@pytest.mark.parametrize("kind", ["cohere", "http", "tei"])
def test_our_adapters_are_refused_with_a_wrong_key(gateway: Served, key: str, kind: str) -> None:
    """That is no outage: it is said, and not tried again."""
    with pytest.raises(ProviderRefused, match="401"):
        adapters(gateway.url, "wrong")[kind].score(QUERY, DOCUMENTS)
