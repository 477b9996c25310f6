"""What operators see of a provider: its breaker, its refusals, and what it costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from second_opinion.gateway.doctor import Level
from second_opinion.gateway.doctor.models import check_reranker
from second_opinion.schemas.errors import RerankRateLimited
from second_opinion.schemas.usage import RerankUsage
from second_opinion.testing.models import WordReranker
from second_opinion.workers.rerankers import open_breaker, open_rerankers, open_usage
from second_opinion.workers.settings import Settings
from tests.servers.rerank_provider import MODEL, RerankProvider

pytestmark = pytest.mark.stack
FAR = {"kind": "http", "model": "some/model", "options": {"url": "http://127.0.0.1:9/rerank", "scale": "logit"}}


@pytest.fixture
def settings(redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    """A worker that serves one provider alone."""
    return Settings(
        state_dir=tmp_path,
        jobs_url=SecretStr(redis_url),
        index_prefix=namespace,
        rerankers=json.dumps({"far": FAR}),
        reranker="far",
        breaker_threshold=3,
        breaker_cool_down=600.0,
    )


def test_doctor_tells_how_a_provider_stands(settings: Settings) -> None:
    """All is well; then an open breaker with its time; then a refusal in the provider's words; then all is well."""
    breaker = open_breaker(settings)

    def told() -> tuple[Level, str]:
        (finding,) = check_reranker(settings)
        assert bool(finding.hint) == (finding.level is not Level.OK)
        return finding.level, finding.told

    assert told() == (Level.OK, "some/model at 127.0.0.1:9/rerank, calibration none, breaker closed")
    for _ in range(3):
        breaker.failed("far")
    level, sentence = told()
    assert (level, "breaker open after 3 failures in a row and left alone for" in sentence) == (Level.WARNING, True)
    breaker.refused("far", "it does not know the key")
    level, sentence = told()
    assert (level, "refused the last call: it does not know the key" in sentence) == (Level.FAILED, True)
    breaker.succeeded("far")
    assert told()[0] is Level.OK


def test_doctor_and_usage_tell_what_it_cost(settings: Settings, redis_url: str, namespace: str, tmp_path: Path) -> None:
    """Today's figures in the one; the days, in rows and as JSON, in the other."""
    book = open_usage(settings)
    for _ in range(2):
        book.add("far", RerankUsage(requests=1, search_units=2.5, tokens=1_000))
    (finding,) = check_reranker(settings)
    assert finding.told.endswith("2 requests and 5 search units today")
    (spent,) = book.read(1)
    variables = {
        "OPINION_JOBS_URL": redis_url,
        "OPINION_INDEX_PREFIX": namespace,
        "OPINION_STATE_DIR": str(tmp_path),
    }

    def usage(*options: str) -> str:
        command = [sys.executable, "-m", "second_opinion.gateway", "usage", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **variables})
        return done.stdout

    assert usage() == f"{spent.day}\tfar\t2\t5\t2000\t0\n"
    found = json.loads(usage("--days", "7", "--json"))
    assert found["usage"] == [spent.model_dump(mode="json")]
    assert found["totals"]["far"]["search_units"] == 5.0


def test_workers_share_the_rate_of_a_provider(settings: Settings) -> None:
    """Two workers together send what a minute allows; the next request is refused unsent, and opens no breaker."""
    with RerankProvider(WordReranker()) as provider:
        options = {"url": f"{provider.url}/rerank", "scale": "probability"}
        definition = {"kind": "http", "model": MODEL, "options": options, "requests_per_minute": 4}
        limited = settings.model_copy(update={"rerankers": json.dumps({"far": definition}), "breaker_threshold": 1})
        workers = [open_rerankers(limited)[0].reranker for _ in range(2)]
        for worker in workers * 2:
            assert len(worker.score("question", ["a", "question"])) == 2
        for worker in workers:
            with pytest.raises(RerankRateLimited) as caught:
                worker.score("question", ["a"])
            assert 10.0 < (caught.value.retry_after or 0.0) <= 15.0
        assert len(provider.asked) == 4
    assert open_breaker(limited).state("far").state == "closed"
