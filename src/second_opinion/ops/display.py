"""How the state of the local stack is shown."""

import time
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len
from rich.text import Text

from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import plural, seconds
from second_opinion.ops.plan import ELASTICSEARCH, GATEWAY, REDIS, StackPlan
from second_opinion.ops.stack import ELASTICSEARCH_PORT, GATEWAY_PORT, REDIS_PORT
from second_opinion.ops.status import PartState, PartStatus, StackStatus

HEAD: Final = ("part", "state", "pid", "up for", "restarts", "address")
STATE_COLUMN: Final = 1
ADDRESSES: Final = ("elasticsearch_url", "broker_url", "jobs_url", "cache_url", "gateway_url")
COLOURS: Final = {
    PartState.READY: "green",
    PartState.STARTING: "yellow",
    PartState.RESTARTING: "red",
    PartState.SILENT: "red",
    PartState.LOST: "red",
}


def say_up(terminal: Terminal, plan: StackPlan, how: str, folder: Path) -> None:
    """Say that the stack is up and what to do with it."""
    workers = plural(sum(plan.workers.values()), "worker")
    terminal.done(f"{how}: {plan.elasticsearch_url}, {_redis_url(plan)}, {workers} · state in {folder}")
    if plan.gateway_url is not None:
        terminal.done(f"Page and HTTP API: {plan.gateway_url}")
    terminal.hint("opinion ingest --samples" if plan.workers else "opinion status")


def say_moved_ports(terminal: Terminal, plan: StackPlan, asked: Mapping[str, Any], started: Container[str]) -> None:
    """Say which usual port was taken by another program, of parts that were started now and not asked for one."""
    places = (
        ("elasticsearch", "Elasticsearch", ELASTICSEARCH_PORT, plan.elasticsearch_port),
        ("redis", "Redis", REDIS_PORT, plan.redis_port),
        ("gateway", "the gateway", GATEWAY_PORT, plan.gateway_port),
    )
    for part, name, usual, port in places:
        if part in started and asked[f"{part}_port"] is None and port not in {None, usual}:
            terminal.warn(f"Port {usual} was taken, so {name} listens on {port}")


def say_what_is_wrong(terminal: Terminal, found: StackStatus) -> None:
    """Say what is the matter with a stack whose parts are not all ready, and what to do."""
    if any(part.state is PartState.LOST for part in found.parts):
        terminal.failed("The supervisor is gone and these processes are left over")
        terminal.hint("opinion up ends them and starts anew; opinion down ends them")
        return
    for part in found.parts:
        if part.state in {PartState.RESTARTING, PartState.SILENT}:
            terminal.failed(f"{part.name} is {part.state.value}" + (f": {part.last_exit}" if part.last_exit else ""))
            terminal.hint(f"opinion logs {part.name}")
            return


def status_data(folder: Path, found: StackStatus, plan: StackPlan | None) -> dict[str, Any]:
    """Return the state of the stack as data."""
    return {
        "state_dir": str(folder),
        "running": found.running,
        **({} if plan is None else plan.model_dump(include=set(ADDRESSES))),
        "parts": [part.model_dump(mode="json") for part in found.parts],
    }


def row(part: PartStatus, plan: StackPlan | None) -> Sequence[str]:
    """Return one part as cells under `HEAD`."""
    addresses: dict[str, str] = {}
    if plan is not None:
        addresses = {ELASTICSEARCH: plan.elasticsearch_url, REDIS: _redis_url(plan), GATEWAY: plan.gateway_url or ""}
    pid, up_for = "", ""
    if part.process is not None:
        pid, up_for = str(part.process.pid), seconds(max(0.0, time.time() - part.process.began))
    restarts = f"{part.restarts} (last: {part.last_exit})" if part.last_exit else str(part.restarts)
    return part.name, part.state.value, pid, up_for, restarts, addresses.get(part.name, "")


def table(rows: Sequence[Sequence[str]]) -> Iterator[Text]:
    """Yield a line for the head and for each row, columns aligned, the state in its colour."""
    widths = [max(cell_len(cells[column]) for cells in (HEAD, *rows)) for column in range(len(HEAD))]
    for cells in (HEAD, *rows):
        line = Text()
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            style = "dim" if cells is HEAD else ""
            if column == STATE_COLUMN and cells is not HEAD:
                style = COLOURS.get(PartState(cell), "")
            line.append(cell + " " * (width - cell_len(cell) + 2), style=style)
        line.rstrip()
        yield line


def _redis_url(plan: StackPlan) -> str:
    return plan.broker_url.rpartition("/")[0]
