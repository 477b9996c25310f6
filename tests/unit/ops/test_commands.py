"""What the commands of the local stack say when nothing runs, and when they are called wrongly."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from second_opinion.gateway.cli.program import program
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.ops.display import say_moved_ports
from second_opinion.ops.elasticsearch_server import ElasticsearchServer
from second_opinion.ops.plan import StackPlan
from second_opinion.ops.redis_server import RedisServer
from second_opinion.ops.stack import ELASTICSEARCH_PORT, GATEWAY_PORT, REDIS_PORT


def opinion(*words: str) -> Result:
    """Run a command of the program."""
    return CliRunner().invoke(program, words)


def test_status_of_a_stack_that_is_down_says_how_to_start_it(tmp_path: Path) -> None:
    """Being down is told on stderr with the next command, and by the exit code."""
    result = opinion("status", "--state-dir", str(tmp_path))
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr.splitlines() == [f"- Down: nothing runs in {tmp_path}", "hint: opinion up"]


def test_status_as_data(tmp_path: Path) -> None:
    """JSON on stdout, whatever the state."""
    result = opinion("status", "--json", "--state-dir", str(tmp_path))
    assert json.loads(result.stdout) == {"state_dir": str(tmp_path), "running": False, "parts": []}
    assert result.exit_code == 4


def test_stopping_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    """`down` is idempotent, also for a folder that does not exist."""
    for folder in (tmp_path, tmp_path / "absent"):
        result = opinion("down", "--state-dir", str(folder))
        assert result.exit_code == 0
        assert "Nothing was running" in result.stderr
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up", "--worker", "reranker=2"), "There is no role 'reranker'; the roles are intake, extract"),
        (("up", "--worker", "rerank"), "'rerank' is no ROLE=COUNT"),
        (("up", "--worker", "rerank=-1"), "'rerank=-1' is no ROLE=COUNT"),
        (("up", "--redis-port", "70000"), "70000 is not in the range"),
        (("logs", "nobody"), "there is no log of 'nobody'; there are: none yet"),
        (("logs", "-n", "-1"), "-1 is not in the range"),
    ],
)
def test_wrong_words_are_told_before_anything_starts(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, the mistake, and what would be right."""
    result = opinion(*words, "--state-dir", str(tmp_path))
    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_logs_of_one_part_are_printed_as_they_are(tmp_path: Path) -> None:
    """One part's lines stand alone; those of all parts have the part before them."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "index.log").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "logs" / "rerank.log").write_text("three\n", encoding="utf-8")
    assert opinion("logs", "index", "-n", "1", "--state-dir", str(tmp_path)).stdout == "two\n"
    assert opinion("logs", "--state-dir", str(tmp_path)).stdout == "index\tone\nindex\ttwo\nrerank\tthree\n"


def test_a_log_cannot_take_over_the_terminal(tmp_path: Path) -> None:
    """Control characters that a document brought into a log are not passed on."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "index.log").write_text("\x1b[2Jgone\n", encoding="utf-8")
    assert "\x1b" not in opinion("logs", "index", "--state-dir", str(tmp_path)).stdout


def test_a_port_that_was_taken_is_told_of_what_was_started_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack whose servers run already, on ports that were asked for then, was kept from nothing."""
    elasticsearch = ElasticsearchServer(
        folder=tmp_path / "elasticsearch", home=tmp_path, java_home=tmp_path, port=4321, heap="512m"
    )
    redis = RedisServer(folder=tmp_path / "redis", program=tmp_path / "redis-server", port=REDIS_PORT)
    plan = StackPlan.make(elasticsearch, redis, {}).model_copy(update={"gateway_port": 4322})
    asked = {"elasticsearch_port": None, "redis_port": None, "gateway_port": None}
    say_moved_ports(Terminal(), plan, asked, started=["gateway"])
    told = capsys.readouterr().err
    assert f"Port {GATEWAY_PORT} was taken, so the gateway listens on 4322" in told
    assert "4321" not in told
    say_moved_ports(Terminal(), plan, asked | {"gateway_port": 4322}, started=["elasticsearch", "gateway"])
    told = capsys.readouterr().err
    assert f"Port {ELASTICSEARCH_PORT} was taken, so Elasticsearch listens on 4321" in told
    assert "4322" not in told
