"""A worker of any role that breaks on demand: as `python -m second_opinion.gateway`, for tests alone.

A file `break-ROLE` (in its task) or `break-model-ROLE` (in its model) in the state folder names a fault. Every thread
of every process that was there before the file does it once, with the next work that comes its way; processes that were
started later are sound. Each notes it in the file `break-ROLE.done`.
"""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from second_opinion.gateway.cli import main
from second_opinion.pipeline.adapters import onnx_engine
from second_opinion.workers.tasks import ingest, intake, rerank, retrieve

FOREVER: Final = 3_600.0
LONG_ENOUGH: Final = 0.5
"""Seconds that a thread is busy before it leaves, so that others get the work that waits and leave, too."""


def out_of_memory() -> NoReturn:
    """Fail as an allocation does."""
    raise MemoryError


def leave() -> NoReturn:
    """End as code does that takes itself for a whole program."""
    time.sleep(LONG_ENOUGH)
    raise SystemExit(3)


def hang() -> None:
    """Hang in native code that lets other threads run."""
    ctypes.CDLL(None).sleep(int(FOREVER))


def seize() -> None:
    """Hang in native code that lets no other thread run."""
    ctypes.PyDLL(None).sleep(int(FOREVER))


FAULTS: Final[dict[str, Callable[[], None]]] = {
    "out_of_memory": out_of_memory,
    "leave": leave,
    "hang": hang,
    "seize": seize,
}
BODIES: Final = {
    "intake": (intake, "accept_documents"),
    "extract": (ingest, "extract_document"),
    "index": (ingest, "index_documents"),
    "retrieve": (retrieve, "run_query"),
    "rerank": (rerank, "rerank_candidates"),
    "maintenance": (ingest, "reconcile"),
}
WITH_MODELS: Final = {"index", "retrieve", "rerank"}


class Started:
    """When this process was started or forked (Unix seconds)."""

    def __init__(self) -> None:
        self.at = time.time()
        os.register_at_fork(after_in_child=self._anew)

    def _anew(self) -> None:
        self.at = time.time()


STARTED: Final = Started()


def breaking(body: Callable[..., Any], order: Path) -> Callable[..., Any]:
    """Return the body, which does the fault that the file orders, once in each thread."""
    broke: set[tuple[int, int, str]] = set()

    def broken(*arguments: Any, **options: Any) -> Any:
        try:
            name, given_at = order.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return body(*arguments, **options)
        here = (os.getpid(), threading.get_ident(), given_at)
        if here in broke or STARTED.at > float(given_at):
            return body(*arguments, **options)
        broke.add(here)
        with (order.parent / f"{order.name}.done").open("a", encoding="utf-8") as told:
            told.write(f"{time.time()}\n")
        FAULTS[name]()
        return body(*arguments, **options)

    return broken


def break_on_demand(role: str, state: Path) -> None:
    """Let the role's task break as a body does, and its model, where it has one, as native code does."""
    owner, name = BODIES[role]
    order = state / f"break-{role}"
    setattr(owner, name, breaking(getattr(owner, name), order))
    if role in WITH_MODELS:
        model = onnx_engine.Model
        model.run = breaking(model.run, state / f"break-model-{role}")  # type: ignore[method-assign] # on purpose


if __name__ == "__main__":
    break_on_demand(sys.argv[sys.argv.index("--role") + 1], Path(os.environ["OPINION_STATE_DIR"]))
    main()
