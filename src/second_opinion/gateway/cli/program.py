"""The program `opinion`: its commands, and how every one of them ends.

Exit codes: 0 answered or done, 3 refused, 4 failed, 5 unjudged, 2 wrong usage, 130 interrupted, 141 nobody reads the
output.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from second_opinion import __version__
from second_opinion.gateway.cli.lazy import LazyCommand, LazyGroup

EXIT_REFUSED: Final = 3
EXIT_FAILED: Final = 4
EXIT_UNJUDGED: Final = 5
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

_HERE: Final = "second_opinion.gateway.cli"
_OPS: Final = "second_opinion.ops.commands"

COMMANDS: Final = {
    "ingest": LazyCommand(f"{_HERE}.ingest:ingest", "Send documents: files, folders or JSON lines.", "Use"),
    "query": LazyCommand(f"{_HERE}.query:query", "Ask a question; get what clears the floor, or a refusal.", "Use"),
    "why": LazyCommand(f"{_HERE}.why:why", "Say what became of a document in the answer to a query.", "Use"),
    "trace": LazyCommand(f"{_HERE}.trace:trace", "Explain a past query candidate by candidate.", "Use"),
    "judge": LazyCommand(f"{_HERE}.judge:judge", "Say whether a candidate is relevant to its question.", "Use"),
    "job": LazyCommand(f"{_HERE}.jobs:job", "Look at, wait for or cancel a query job.", "Use"),
    "mcp": LazyCommand(
        f"{_HERE}.mcp:mcp", "Serve search and document tools to assistants (Model Context Protocol).", "Use"
    ),
    "document": LazyCommand(f"{_HERE}.documents:document", "Look at or delete documents.", "Manage"),
    "collections": LazyCommand(f"{_HERE}.collections:collections", "List, set up or delete collections.", "Manage"),
    "reindex": LazyCommand(
        f"{_HERE}.reindex:reindex", "Move a collection to another model, chunker or mapping, under load.", "Manage"
    ),
    "evaluate": LazyCommand(
        f"{_HERE}.evaluate:evaluate", "Measure every stage on data sets with judgements.", "Manage"
    ),
    "calibrate": LazyCommand(
        f"{_HERE}.calibrate:calibrate", "Fit a calibration, so that 0.4 means 40 % on these documents.", "Manage"
    ),
    "floor": LazyCommand(f"{_HERE}.floor:floor", "Choose a floor from the evidence of past queries.", "Manage"),
    "train": LazyCommand(f"{_HERE}.train:train", "Train, export and calibrate a reranker of your own.", "Manage"),
    "dead-letters": LazyCommand(
        f"{_HERE}.dead_letters:dead_letters", "List documents that failed, try them again, or give them up.", "Manage"
    ),
    "keys": LazyCommand(f"{_HERE}.keys:keys", "Make, list and revoke the API keys of the HTTP gateway.", "Manage"),
    "usage": LazyCommand(f"{_HERE}.usage:usage", "Show what managed rerankers cost, day by day.", "Operate"),
    "setup": LazyCommand(f"{_OPS}:setup", "Fetch the servers of the local stack.", "Operate"),
    "up": LazyCommand(
        f"{_OPS}:up", "Start the local stack: Elasticsearch, Redis, workers and the HTTP gateway.", "Operate"
    ),
    "down": LazyCommand(f"{_OPS}:down", "Stop the local stack.", "Operate"),
    "status": LazyCommand(f"{_OPS}:status", "Show the parts of the local stack.", "Operate"),
    "logs": LazyCommand(f"{_OPS}:logs", "Show what the parts of the local stack log.", "Operate"),
    "doctor": LazyCommand(f"{_HERE}.doctor:doctor", "Check every part and say what to do.", "Operate"),
    "bench": LazyCommand(f"{_HERE}.bench:bench", "Measure how fast the models run on this machine.", "Operate"),
    "serve": LazyCommand(f"{_HERE}.serve:serve", "Serve the HTTP API and the page until stopped.", "Operate"),
    "worker": LazyCommand(f"{_HERE}.worker:worker", "Run one worker of a role.", "Operate"),
}


class Program(LazyGroup):
    """The outermost group: turns every way a command can end into a sentence and an exit code."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,
    ) -> NoReturn:
        """Run a command and exit."""
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a character must not end the program.
            getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
        try:
            code = super().main(args, prog_name or "opinion", **{**extra, "standalone_mode": False})
        except (click.Abort, KeyboardInterrupt):
            click.echo("\rinterrupted", err=True)
            code = EXIT_INTERRUPTED
        except click.ClickException as problem:
            code = _usage(problem)
        except Exception as problem:  # noqa: BLE001 - the last place that can say it in a sentence
            code = importlib.import_module(f"{_HERE}.failures").report(problem, as_json="--json" in (args or sys.argv))
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when nobody reads its output any more, end quietly."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _let_go_of_stdout()
            return EXIT_BROKEN_PIPE
        return code


@click.command(
    cls=Program,
    lazy=COMMANDS,
    name="opinion",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    epilog="Begin: opinion up; opinion ingest --samples; opinion query 'ibuprofen dosage for children'",
)
@click.version_option(__version__, "--version", prog_name="opinion", message="%(prog)s %(version)s")
@click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out summaries, hints and progress; never errors.")
@click.option("--gateway", metavar="URL", help="Work through this HTTP gateway.  [default: OPINION_GATEWAY_URL]")
def program(as_json: bool, quiet: bool, gateway: str | None) -> None:
    """Retrieval that has to be right: a calibrated second opinion, a relevance floor, honest refusals."""


def main() -> None:
    """Run the program."""
    program.main()


def _usage(problem: click.ClickException) -> int:
    message, _, meant = problem.format_message().partition("\n")
    ctx = getattr(problem, "ctx", None)
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        click.echo(problem.format_message(), err=True)
        return EXIT_USAGE
    hint = meant or (f"{ctx.command_path} --help" if ctx is not None else "opinion --help")
    click.echo(f"error: {message[:1].lower()}{message[1:]}\nhint: {hint}", err=True)
    return EXIT_USAGE if isinstance(problem, click.UsageError) else EXIT_FAILED


def _let_go_of_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush has nobody to complain to."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
