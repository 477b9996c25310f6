"""Elasticsearch as Maven brings it, completed with our analyzer, and the JDKs that run it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from second_opinion.ops.distribution import find_distribution, install_distribution
from second_opinion.ops.jdk import USUAL_FOLDERS, Jdk, find_jdk, read_jdk
from second_opinion.ops.stack import LocalStack

pytestmark = pytest.mark.stack


def fitting_jdks() -> list[Jdk]:
    """Return the JDKs of this machine that Elasticsearch runs on, one a version, oldest first."""
    homes = (home for folder in USUAL_FOLDERS if folder.is_dir() for home in folder.iterdir())
    found = {jdk.version: jdk for jdk in map(read_jdk, homes) if jdk is not None and jdk.fits}
    return [found[version] for version in sorted(found)]


@pytest.mark.usefixtures("installed")
def test_two_installations_at_once_make_one_whole_distribution(tmp_path: Path) -> None:
    """Two stacks that start together for the first time do not disturb each other."""
    programs, jdk = tmp_path / "programs", find_jdk()
    assert find_distribution(programs) is None
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: install_distribution(programs, jdk, lambda _message: None), range(2))
    assert first == second == find_distribution(programs)
    assert (first.home / "plugins" / "english" / "english-analyzer.jar").is_file()
    assert first.program.stat().st_mode & 0o111 == 0o111
    assert {path.name for path in programs.iterdir()} == {first.home.name, "install.lock"}


@pytest.mark.skipif(len(fitting_jdks()) < 2, reason="this machine has one fitting JDK, which all other tests use")
def test_the_oldest_jdk_of_this_machine_runs_it_too(reachable_folder: Path) -> None:
    """A class compiled by one JDK and a node on another go together, down to the oldest that is promised."""
    jdk = fitting_jdks()[0]
    stack = LocalStack(
        reachable_folder / "state",
        elasticsearch_port=0,
        redis_port=0,
        heap="512m",
        java_homes=[jdk.home],
        java_options=["-XX:TieredStopAtLevel=1"],
    )
    try:
        plan = stack.up({})
        assert plan.java_home == jdk.home
        with Elasticsearch(plan.elasticsearch_url, request_timeout=30) as client:
            found = client.indices.analyze(analyzer="english", text="refunded")
        assert [token["token"] for token in found["tokens"]] == ["refund"]
    finally:
        stack.down()
