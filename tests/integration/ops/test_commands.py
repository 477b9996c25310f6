"""The commands of the local stack beside a stack that runs."""

import json

import pytest
from click.testing import CliRunner, Result

from second_opinion.gateway.cli.program import program
from second_opinion.ops.stack import LocalStack

pytestmark = pytest.mark.stack


def opinion(stack: LocalStack, *words: str) -> Result:
    """Run a command of the program on this stack."""
    return CliRunner().invoke(program, [*words, "--state-dir", str(stack.state.root)])


def test_status_of_a_running_stack_is_one_plain_line_a_part(running: LocalStack) -> None:
    """Piped output has no header, tabs between the cells, and every address."""
    plan = running.plan()
    assert plan is not None
    result = opinion(running, "status")
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["elasticsearch", "ready"], ["redis", "ready"]]
    assert rows[0][-1] == plan.elasticsearch_url


def test_up_beside_a_running_stack_says_so(running: LocalStack) -> None:
    """Nothing is started, and the data names where everything is."""
    result = opinion(running, "up", "--servers-only")
    assert result.exit_code == 0
    assert "Already up" in result.stderr
    data = json.loads(opinion(running, "up", "--servers-only", "--json").stdout)
    assert data["started"] == []
    assert data["elasticsearch_url"].startswith("http://127.0.0.1:")


def test_logs_show_what_the_servers_said(running: LocalStack) -> None:
    """The end of Redis's log tells that it serves."""
    assert "Ready to accept connections" in opinion(running, "logs", "redis", "-n", "50").stdout
