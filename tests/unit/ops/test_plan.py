"""The plan file, and how other commands find the stack by it."""

from pathlib import Path

import pytest

from second_opinion.ops.elasticsearch_server import ElasticsearchServer, check_heap
from second_opinion.ops.plan import StackPlan
from second_opinion.ops.redis_server import RedisServer
from second_opinion.ops.state import StateFolder
from second_opinion.ops.supervisor import part_specs
from second_opinion.schemas.errors import StackError
from second_opinion.workers.settings import Settings

ADDRESSES = ("elasticsearch_url", "broker_url", "jobs_url", "cache_url")


@pytest.fixture
def plan(tmp_path: Path) -> StackPlan:
    """A plan with two index workers."""
    elasticsearch = ElasticsearchServer(
        folder=tmp_path / "elasticsearch", home=Path("/opt/es"), java_home=Path("/opt/jdk"), port=9280, heap="512m"
    )
    redis = RedisServer(folder=tmp_path / "redis", program=Path("/usr/bin/redis-server"), port=6389)
    return StackPlan.make(elasticsearch, redis, {"index": 2, "rerank": 1})


def test_a_plan_is_read_back_as_it_was_written(plan: StackPlan, tmp_path: Path) -> None:
    """The supervisor runs exactly what `up` decided."""
    plan.write(StateFolder(tmp_path))
    assert StackPlan.read(StateFolder(tmp_path)) == plan


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}'])
def test_a_damaged_plan_is_no_plan(tmp_path: Path, content: str) -> None:
    """A disk that filled up while writing leads to a fresh start, not to a traceback."""
    state = StateFolder(tmp_path)
    state.stack_file.write_text(content, encoding="utf-8")
    assert StackPlan.read(state) is None


def test_settings_find_the_stack_by_its_plan(plan: StackPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command reaches the running stack without a variable; a variable that is set wins."""
    for name in ADDRESSES:
        monkeypatch.delenv(f"OPINION_{name.upper()}", raising=False)
    plan.write(StateFolder(tmp_path))
    settings = Settings(state_dir=tmp_path)
    assert settings.elasticsearch_url == plan.elasticsearch_url
    for name in ("broker_url", "jobs_url", "cache_url"):
        assert getattr(settings, name).get_secret_value() == getattr(plan, name)
    monkeypatch.setenv("OPINION_ELASTICSEARCH_URL", "http://elsewhere:9200")
    assert Settings(state_dir=tmp_path).elasticsearch_url == "http://elsewhere:9200"


def test_messages_jobs_and_caches_have_databases_of_their_own(plan: StackPlan) -> None:
    """Emptying the cache must not empty the queue."""
    assert len({plan.broker_url, plan.jobs_url, plan.cache_url}) == 3


def test_workers_are_told_the_stacks_own_servers(plan: StackPlan, tmp_path: Path) -> None:
    """A caller's environment that names production servers must not draw the local workers there."""
    specs = {spec.name: spec for spec in part_specs(plan, StateFolder(tmp_path))}
    assert list(specs) == plan.parts == ["elasticsearch", "redis", "index", "index-2", "rerank"]
    for name in ("index", "index-2", "rerank"):
        command = specs[name].command
        for address in ADDRESSES:
            assert f"OPINION_{address.upper()}={getattr(plan, address)}" in command
        assert command[-2:] == ["--role", name.partition("-")[0]]
    assert specs["index"].ready_file != specs["index-2"].ready_file


def test_variables_given_to_workers_are_settings(plan: StackPlan, tmp_path: Path) -> None:
    """A variable that no setting reads would be a promise that nobody keeps."""
    given = {
        word.partition("=")[0]
        for spec in part_specs(plan, StateFolder(tmp_path))
        for word in spec.command
        if word.startswith("OPINION_")
    }
    assert given
    assert given <= {f"OPINION_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("heap", ["", "1", "g", "1x", "0m", "-1g", "1 g", "1.5g"])
def test_a_heap_that_java_would_refuse_is_refused_first(heap: str) -> None:
    """A typing error is told before anything starts."""
    with pytest.raises(StackError, match="no size"):
        check_heap(heap)


@pytest.mark.parametrize(("heap", "written"), [("1g", "1g"), ("768M", "768m")])
def test_a_heap_that_java_takes(heap: str, written: str) -> None:
    """A number and a unit, in either case."""
    assert check_heap(heap) == written
