"""What is sent to providers: whole lists in parts, nothing for nothing, and no more than is asked."""

import pytest
from pydantic import SecretStr

from second_opinion.pipeline.adapters.cohere_reranker import CohereOptions, CohereReranker
from second_opinion.pipeline.adapters.http_reranker import HttpOptions, HttpReranker
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.ports import Guard
from second_opinion.schemas.errors import ModelUnusable, ProviderAnswerInvalid, ProviderRefused, RerankUnavailable
from second_opinion.schemas.usage import RerankUsage
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.models import WordReranker
from tests.integration.providers.conftest import HASTY, Provided, open_reranker
from tests.servers import faults
from tests.servers.faults import FaultyProvider
from tests.servers.rerank_provider import KEY, MODEL, TEI_LIMIT, RerankProvider
from tests.servers.web import Asked, Exchange


def cohere(url: str, **more: int) -> CohereReranker:
    return CohereReranker.open(CohereOptions(MODEL, SecretStr(KEY), url, **more))


def test_no_passages_are_no_request(reranker: Provided, provider: FaultyProvider) -> None:
    """Nothing is asked about nothing."""
    assert reranker.score("question", []) == []
    assert provider.asked == []


def test_an_empty_passage_is_sent(reranker: Provided, provider: FaultyProvider) -> None:
    """It has the score that the provider gives it, like any other."""
    assert reranker.score("question", ["", "second"]) == [1.0, 0.5]
    assert (provider.asked[0].body.get("texts") or provider.asked[0].body["documents"]) == ["", "second"]


def test_the_sdk_sends_what_the_options_say(provider: FaultyProvider) -> None:
    """Model, length and priority; without a priority there is no such field."""
    url = provider.url
    cohere(url, max_tokens_per_doc=512, priority=3).score("question", ["passage"])
    cohere(url).score("question", ["passage"])
    first, second = provider.asked
    assert first.path == "/v2/rerank"
    assert first.body == {
        "model": MODEL,
        "query": "question",
        "documents": ["passage"],
        "max_tokens_per_doc": 512,
        "priority": 3,
    }
    assert set(second.body) == {"model", "query", "documents", "max_tokens_per_doc"}


def test_more_than_a_thousand_candidates_are_split(provider: FaultyProvider) -> None:
    """2,500 passages are three requests; scores stand in the order of the passages, and the cost is added up."""
    real = WordReranker()
    passages = [f"word{number} question" if number % 2 else "nothing" for number in range(2_500)]
    with RerankProvider(real) as whole:
        heard: list[RerankUsage] = []
        scores = cohere(whole.url).score_metered("a question", passages, meter=heard.append)
        assert [len(asked.body["documents"]) for asked in whole.asked] == [1_000, 1_000, 500]
        again = cohere(whole.url, batch=7).score("a question", passages[:100])
    assert sum(heard, RerankUsage()) == RerankUsage(requests=3, search_units=25.0)
    assert scores[:100] == again
    assert [score > 0.4 for score in scores] == [bool(number % 2) for number in range(2_500)]


def test_tokens_are_counted_where_a_server_says_them() -> None:
    """What other providers bill by is read from their answers."""
    with RerankProvider(WordReranker()) as provider:
        options = HttpOptions(f"{provider.url}/rerank", MODEL, "probability")
        heard: list[RerankUsage] = []
        HttpReranker.open(options).score_metered("question", ["four", "five!"], meter=heard.append)
    assert heard == [RerankUsage(requests=1, tokens=9)]


def test_an_answer_that_cannot_be_used_is_counted(provider: FaultyProvider) -> None:
    """It is paid for like any other, and so is the part of a list that came before a failure."""
    heard: list[RerankUsage] = []
    options = CohereOptions(MODEL, SecretStr(KEY), provider.url, batch=2, policy=HASTY)
    billed = {"meta": {"billed_units": {"search_units": 1}}}
    good = {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 0.25}], **billed}
    provider.plan += [faults.status(200, good), faults.status(500), faults.status(200, {"results": [], **billed})]
    with pytest.raises(ProviderAnswerInvalid):
        CohereReranker.open(options).score_metered("question", ["a", "b", "c"], meter=heard.append)
    assert heard == [RerankUsage(requests=1, search_units=1.0)] * 2


def test_a_batch_limit_is_found_and_remembered() -> None:
    """A list too long for Text Embeddings Inference goes in halves until it fits, and the next one fits at once."""
    passages = ["question" if number % 3 else "nothing" for number in range(100)]
    with RerankProvider(WordReranker()) as provider:
        options = HttpOptions(f"{provider.url}/tei/rerank", MODEL, "logit", "tei", batch=100, policy=HASTY)
        reranker = HttpReranker.open(options)
        scores = reranker.score("question", passages)
        asked = [len(one.body["texts"]) for one in provider.asked]
        assert reranker.score("question", passages) == scores
        again = [len(one.body["texts"]) for one in provider.asked[len(asked) :]]
    assert scores == WordReranker().score("question", passages)
    assert asked[:2] == [100, 50]
    assert max(again) <= TEI_LIMIT
    assert sum(again) == 100


def test_one_passage_too_large_is_refused_and_the_limit_stays(provider: FaultyProvider) -> None:
    """When even one passage is too much, it was not the number of them: the next list goes whole."""

    def limited(exchange: Exchange, asked: Asked) -> None:
        if any(len(text) > 1_000 for text in asked.body["texts"]):
            exchange.send_json({"error": "payload too large", "error_type": "Validation"}, 413)
        else:
            faults.well(exchange, asked)

    provider.always = limited
    reranker = open_reranker("tei", provider.url)
    with pytest.raises(ProviderRefused, match="payload too large"):
        reranker.score("question", ["short"] * 7 + ["long " * 1_000])
    provider.asked.clear()
    reranker.score("question", ["short"] * 8)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"results": [{"index": 1, "relevance_score": 0.25}, {"index": 0, "relevance_score": 0.75}]}',
        '{"results": [{"index": 1, "relevance_score": 0.25, "document": null}, {"index": 0, "relevance_score": 0.75}]}',
        '{"results": [{"index": 1, "relevance_score": 0.25, "document": "b"}, {"index": 0, "relevance_score": 0.75}]}',
        '{"results": [{"index": 0, "relevance_score": 0.75}, {"index": 1, "relevance_score": 0.25, "document": {}}]}',
        '{"object": "list", "data": [{"index": 0, "relevance_score": 0.75}, {"index": 1, "relevance_score": 0.25}]}',
        '{"data": [{"index": 0, "score": 0.75}, {"index": 1, "score": 0.25}]}',
        '[{"index": 0, "score": 0.75}, {"index": 1, "score": 0.25, "text": "b"}]',
    ],
    ids=["no document", "null", "a text", "an object", "Voyage", "Pinecone", "TEI"],
)
def test_every_shape_of_answer_is_read(provider: FaultyProvider, body: str) -> None:
    """The same two scores, however a server writes them."""
    provider.plan.append(faults.text(body))
    assert open_reranker("http", provider.url).score("question", ["a", "b"]) == [0.75, 0.25]


def test_logits_are_taken_where_they_are_declared(provider: FaultyProvider) -> None:
    """With the scale `logit` any finite score passes; with `probability` the same answer is refused elsewhere."""
    provider.plan.append(faults.scored(7))
    options = HttpOptions(f"{provider.url}/rerank", MODEL, "logit", extra={"raw_scores": True}, policy=HASTY)
    assert HttpReranker.open(options).score("question", ["a", "b"]) == [7.0, 0.5]
    assert provider.asked[0].body["raw_scores"] is True


def test_every_request_is_admitted(provider: FaultyProvider) -> None:
    """What limits the rate is asked before each request, tries again included, and can refuse one."""
    admitted: list[Guard] = []

    def admit(guard: Guard) -> None:
        if len(admitted) == 3:
            raise RerankUnavailable("the rate limit is reached")
        admitted.append(guard)

    options = CohereOptions(MODEL, SecretStr(KEY), provider.url, batch=1, policy=HASTY)
    provider.plan.append(faults.status(500))
    with pytest.raises(RerankUnavailable, match="rate limit"):
        CohereReranker.open(options, admit=admit).score("question", ["a", "b", "c"])
    assert len(provider.asked) == 3


def test_the_spec_says_where_scores_come_from(provider: FaultyProvider) -> None:
    """Cohere's scores are declared as depending on the query; the same model at another place is another reranker."""
    reranker = cohere(provider.url)
    assert reranker.spec.query_dependent
    assert reranker.spec.revision == provider.url.removeprefix("http://") + "/v2"
    assert NoCalibration(reranker.spec.scale).source is CalibrationSource.NONE
    assert not open_reranker("http", provider.url).spec.query_dependent


@pytest.mark.parametrize("url", ["", "reranker", "ftp://host/rerank", "http://", "http://user:word@host/rerank"])
def test_an_unusable_url_is_refused_at_start(url: str) -> None:
    """The error does not repeat what may hold a password."""
    with pytest.raises(ModelUnusable) as caught:
        HttpReranker.open(HttpOptions(url, MODEL, "probability"))
    assert "word" not in caught.value.message.replace("password", "")


def test_cohere_itself_needs_a_key() -> None:
    """Its absence is found at start, not by the first query."""
    with pytest.raises(ModelUnusable, match="no API key"):
        CohereReranker.open(CohereOptions(MODEL))


def test_a_closed_reranker_is_unavailable(reranker: Provided, provider: FaultyProvider) -> None:
    """After closing, a call is told that no score can be had now."""
    reranker.close()
    with pytest.raises(RerankUnavailable, match="closed"):
        reranker.score("question", ["passage"])
    assert provider.asked == []
