"""How a command ends that could not do its work: an error in one sentence, a hint, an exit code."""

import traceback
from typing import Final
from urllib.parse import urlsplit

from second_opinion.gateway.cli.program import EXIT_FAILED, EXIT_USAGE
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.schemas.errors import (
    BrokerUnavailable,
    InternalError,
    InvalidRequest,
    JobStoreUnavailable,
    OpinionError,
    StoreUnavailable,
)
from second_opinion.workers.settings import STACK_FILE, Settings, load_settings

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
UP: Final = "Start the local stack: opinion up"


def report(problem: Exception, *, as_json: bool = False) -> int:
    """Print what went wrong and what to do; return the exit code."""
    terminal = Terminal(as_json=as_json)
    error = problem if isinstance(problem, OpinionError) else _defect(terminal, problem)
    terminal.error(error.info().model_copy(update={"hint": hint_for(error)}))
    return exit_code(error)


def exit_code(error: OpinionError) -> int:
    """Return 2 for what the caller asked wrongly, else 4."""
    return EXIT_USAGE if isinstance(error, InvalidRequest) else EXIT_FAILED


def hint_for(error: OpinionError) -> str:
    """Return the error's hint; where a server of a local stack is missing that is not up, how to start it."""
    if not isinstance(error, StoreUnavailable | BrokerUnavailable | JobStoreUnavailable):
        return error.hint
    settings = _settings()
    return UP if settings is not None and _local_and_down(settings) else error.hint


def _local_and_down(settings: Settings) -> bool:
    urls = (*settings.elasticsearch_url.split(","), settings.broker_url.get_secret_value())
    local = all(urlsplit(url.strip()).hostname in LOOPBACK for url in urls)
    return local and not (settings.state_dir / STACK_FILE).exists()


def _settings() -> Settings | None:
    try:
        return load_settings()
    except InvalidRequest:
        return None


def _defect(terminal: Terminal, problem: Exception) -> OpinionError:
    settings = _settings()
    if settings is not None and settings.log_level == "DEBUG":
        terminal.stderr.print("".join(traceback.format_exception(problem)), soft_wrap=True)
    return InternalError(
        f"{type(problem).__name__}: {problem}",
        hint="This is a defect: please report it with the output of OPINION_LOG_LEVEL=DEBUG and the same command.",
    )
