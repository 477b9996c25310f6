"""The gateway as compose runs it."""

from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from second_opinion.gateway.cli.program import program
from second_opinion.workers.settings import Settings

SERVICE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "docker-compose.yml").read_text("utf-8"))[
    "services"
]["gateway"]


def test_it_is_closed_and_on_loopback() -> None:
    """Within compose's network it listens to all, so everybody needs a key; the host publishes it to itself alone."""
    assert SERVICE["command"] == ["serve", "--host", "0.0.0.0", "--require-keys"]  # noqa: S104
    port = Settings.model_fields["gateway_port"].default
    assert SERVICE["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_its_options_exist() -> None:
    """What compose writes is what the command takes."""
    shown = CliRunner().invoke(program, ["serve", "--help"]).output
    assert all(word in shown for word in SERVICE["command"] if word.startswith("--"))


def test_it_is_well_while_it_answers_and_may_finish() -> None:
    """By the ready file that its own event loop touches, as for workers."""
    assert "OPINION_READY_FILE" in SERVICE["healthcheck"]["test"][1]
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) > Settings.model_fields["shutdown_grace_seconds"].default
