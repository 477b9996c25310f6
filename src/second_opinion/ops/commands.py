"""The commands of the local stack: `opinion setup`, `up`, `down`, `status` and `logs`."""

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from second_opinion.gateway.cli.program import EXIT_FAILED
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import one_line, seconds
from second_opinion.ops.display import row, say_moved_ports, say_up, say_what_is_wrong, status_data, table
from second_opinion.ops.logs import follow, last_lines, log_parts
from second_opinion.ops.stack import ELASTICSEARCH_PORT, GATEWAY_PORT, REDIS_PORT, LocalStack
from second_opinion.ops.status import PartState
from second_opinion.workers.routing import ROLES
from second_opinion.workers.settings import load_settings

MOST_WORKERS: Final = 64

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the stack: data, logs, pids. Default: OPINION_STATE_DIR, or a folder of your account.",
)
port = click.IntRange(0, 65_535)


class WorkerCount(click.ParamType[tuple[str, int]]):
    """`ROLE=COUNT`, such as `index=2`."""

    name = "ROLE=COUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return the role and how many workers of it are wanted."""
        if isinstance(value, tuple):
            return value
        role, _, count = str(value).partition("=")
        if role not in ROLES:
            self.fail(f"There is no role {role!r}; the roles are {', '.join(ROLES)}.", param, ctx)
        if not count.isdecimal() or int(count) > MOST_WORKERS:
            self.fail(f"{value!r} is no ROLE=COUNT with a count from 0 to {MOST_WORKERS}.", param, ctx)
        return role, int(count)


@click.command()
@state_dir_option
@click.option("--elasticsearch-port", type=port, help=f"0 picks a free one. Default: {ELASTICSEARCH_PORT} if free.")
@click.option("--redis-port", type=port, help=f"0 picks a free one. Default: {REDIS_PORT} if free.")
@click.option("--gateway-port", type=port, help=f"0 picks a free one. Default: {GATEWAY_PORT} if free.")
@click.option("--heap", help="Java heap of Elasticsearch, such as 1g. Default: by this machine's memory.")
@click.option("--worker", "workers", type=WorkerCount(), multiple=True, help="Workers of a role; one each if not said.")
@click.option("--gateway/--no-gateway", default=True, help="Start the HTTP gateway with its page.  [default: gateway]")
@click.option("--servers-only", is_flag=True, help="Start Elasticsearch and Redis alone.")
@with_session
def up(
    session: Session,
    *,
    workers: tuple[tuple[str, int], ...],
    servers_only: bool,
    gateway: bool,
    **options: Any,
) -> int:
    r"""Start the local stack: Elasticsearch, Redis, workers and the HTTP gateway.

    What runs already keeps running; what is missing is started. What dies later is started again.

    \b
    Examples:
      opinion up
      opinion up --worker index=2 --worker rerank=2
      opinion up --servers-only --elasticsearch-port 0 --redis-port 0
    """
    stack = _stack(**options)
    counts: dict[str, int] = {} if servers_only else {**dict.fromkeys(ROLES, 1), **dict(workers)}
    has_gateway = gateway and not servers_only and _can_serve(session.terminal)
    began = time.monotonic()
    ready_before = {part.name for part in stack.status().parts if part.state is PartState.READY}
    with _progress(session.terminal) as progress:
        plan = stack.up(counts, progress, gateway=has_gateway)
    started = [name for name in plan.parts if name not in ready_before]
    took = time.monotonic() - began
    if session.terminal.as_json:
        session.terminal.json({"state_dir": str(stack.state.root), "started": started, **plan.model_dump(mode="json")})
        return 0
    say_up(session.terminal, plan, f"Up in {seconds(took)}" if started else "Already up", stack.state.root)
    if started:
        say_moved_ports(session.terminal, plan, options, started)
    return 0


@click.command()
@with_session
def setup(session: Session) -> None:
    """Fetch the servers of the local stack.

    After this, `opinion up` needs no network.
    """
    stack = _stack(None)
    with _progress(session.terminal) as progress:
        what = stack.install(progress)
    session.terminal.done(f"Ready to start: {what}")


@click.command()
@state_dir_option
@with_session
def down(session: Session, *, state_dir: Path | None) -> int:
    """Stop the local stack.

    Workers finish or hand back what they are doing, then the servers stop. Documents and logs are kept.
    """
    stack = _stack(state_dir=state_dir)
    began = time.monotonic()
    with _progress(session.terminal) as progress:
        ran = stack.down(progress)
    if session.terminal.as_json:
        session.terminal.json({"stopped": ran, "state_dir": str(stack.state.root)})
    elif ran:
        session.terminal.done(f"Down in {seconds(time.monotonic() - began)} · data kept in {stack.state.root}")
    else:
        session.terminal.neutral(f"Nothing was running in {stack.state.root}")
    return 0


@click.command()
@state_dir_option
@with_session
def status(session: Session, *, state_dir: Path | None) -> int:
    """Show the parts of the local stack.

    The exit code is 0 when every part is ready, else 4.
    """
    stack = _stack(state_dir=state_dir)
    terminal, found, plan = session.terminal, stack.status(), stack.plan()
    all_ready = found.running and all(part.state is PartState.READY for part in found.parts)
    if terminal.as_json:
        terminal.json(status_data(stack.state.root, found, plan))
    elif not found.parts:
        terminal.neutral(f"Down: nothing runs in {stack.state.root}")
        terminal.hint("opinion up")
    elif terminal.interactive:
        terminal.lines(table([row(part, plan) for part in found.parts]))
    else:
        terminal.rows(row(part, plan) for part in found.parts)
    if found.parts and not all_ready and not terminal.as_json:
        say_what_is_wrong(terminal, found)
    return 0 if all_ready else EXIT_FAILED


@click.command()
@click.argument("part", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with new lines until interrupted.")
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), default=20, show_default=True, help="Last lines.")
@state_dir_option
@with_session
def logs(session: Session, *, part: str | None, following: bool, count: int, state_dir: Path | None) -> int:
    r"""Show what the parts of the local stack log.

    \b
    Examples:
      opinion logs
      opinion logs index -n 100
      opinion logs -f
    """
    state = _stack(state_dir=state_dir).state
    known = log_parts(state)
    if part is not None and part not in known:
        names = ", ".join(known) or "none yet"
        raise click.UsageError(f"There is no log of {part!r}; there are: {names}.")
    parts = known if part is None else [part]
    for name in parts:
        for line in last_lines(state.log_file(name), count):
            _print_line(session.terminal, name if part is None else None, line)
    if following:
        for name, line in follow(state, parts):
            _print_line(session.terminal, name if part is None else None, line)
    return 0


def _can_serve(terminal: Terminal) -> bool:
    """Return whether the gateway's packages are there; the rest of the stack does not need them."""
    if importlib.util.find_spec("fastapi") and importlib.util.find_spec("uvicorn"):
        return True
    terminal.warn('Without the HTTP gateway, which needs: pip install "second-opinion[server]"')
    return False


def _stack(state_dir: Path | None, heap: str | None = None, **ports: Any) -> LocalStack:
    settings = load_settings()
    return LocalStack(
        state_dir or settings.state_dir,
        heap=heap or settings.elasticsearch_heap,
        java_homes=[settings.java_home] if settings.java_home else [],
        **ports,
    )


@contextmanager
def _progress(terminal: Terminal) -> Iterator[Any]:
    if terminal.quiet:
        yield lambda _message: None
        return
    with terminal.stderr.status("") as spinner:
        yield spinner.update


def _print_line(terminal: Terminal, part: str | None, line: str) -> None:
    if terminal.as_json:
        terminal.json({"part": part, "line": line})
    elif part is None:
        terminal.rows([[one_line(line)]])
    else:
        terminal.rows([[part, line]])
