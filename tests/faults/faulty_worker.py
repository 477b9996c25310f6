"""A worker of any role that breaks on demand: as `python -m second_opinion.gateway`, for tests alone.

A file `break-ROLE` (in its task) or `break-model-ROLE` (in its model) in the state folder names a fault; the next one
to come by removes the file and does it.
"""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from second_opinion.gateway.cli import main
from second_opinion.pipeline.adapters import onnx_engine
from second_opinion.workers.tasks import ingest, intake, rerank, retrieve

FOREVER: Final = 3_600.0


def out_of_memory() -> NoReturn:
    """Fail as an allocation does."""
    raise MemoryError


def leave() -> NoReturn:
    """End as code does that takes itself for a whole program."""
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


def breaking(body: Callable[..., Any], order: Path) -> Callable[..., Any]:
    """Return the body, which does the fault that the file orders, once."""

    def broken(*arguments: Any, **options: Any) -> Any:
        try:
            name = order.read_text(encoding="utf-8")
            order.unlink()
        except FileNotFoundError:
            return body(*arguments, **options)
        (order.parent / f"{order.name}.done").write_text(f"{name} {time.time()}", encoding="utf-8")
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
