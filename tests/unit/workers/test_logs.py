"""What a log line of this system holds, and what it never does."""

import json
import logging

import pytest
import structlog

from second_opinion.workers.logs import configure_logging
from second_opinion.workers.settings import Settings


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_variables(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Among them would be callers' keys and documents; the place and the words of the error are there."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        configure_logging(Settings.model_validate({"log_format": log_format}))
        broken("so_5f0c_" + "hidden")
    finally:
        logging.getLogger().handlers, level = before
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
    line = capsys.readouterr().err
    assert "no good" in line
    assert "so_5f0c_" + "hidden" not in line
    if log_format == "json":
        assert json.loads(line)["event"] == "broke"


def broken(token: str) -> None:
    held = [token]
    try:
        raise ValueError("no good") from None
    except ValueError:
        structlog.get_logger("test").exception("broke", pieces=len(held))
