"""Starting a worker of one role."""

import os
import signal
import warnings
from pathlib import Path
from types import FrameType
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, signals

from second_opinion.workers.app import make_app
from second_opinion.workers.logs import configure_logging
from second_opinion.workers.routing import ROLES, Role, RoleSpec
from second_opinion.workers.runner import TaskRunner
from second_opinion.workers.settings import Settings, load_settings
from second_opinion.workers.tasks import register
from second_opinion.workers.watchdog import Watchdog, touch

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 5.0
PREFORK_PROCESSES: Final = {"extract": 2, "maintenance": 1}


def run(role: Role, *, concurrency: int | None = None) -> None:
    """Run a worker of `role` until it is told to stop. Models are loaded, and found sound, before it consumes.

    Raises:
        OpinionError: If the settings or a model cannot be used.
    """
    settings = load_settings()
    configure_logging(settings)
    # Celery warns of pickle when it runs as root; nothing here accepts pickle.
    warnings.filterwarnings("ignore", module=r"celery\.platforms")
    spec = ROLES[role]
    app = make_app(settings)
    watchdog = Watchdog(task_limit=settings.task_limit_seconds, shutdown_grace=settings.shutdown_grace_seconds)
    register(app, role, settings, TaskRunner(watchdog, leave=os._exit))
    _say_ready(app, settings)
    signals.worker_shutting_down.connect(lambda **_: watchdog.shutting_down(), weak=False)
    # Celery installs its own handlers later; until then a signal must still end the start.
    signal.signal(signal.SIGTERM, _leave)
    watchdog.start()
    app.worker_main(_arguments(role, spec, concurrency or _concurrency(role, spec, settings)))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _concurrency(role: Role, spec: RoleSpec, settings: Settings) -> int:
    return settings.worker_threads if spec.pool == "threads" else PREFORK_PROCESSES[role]


def _arguments(role: Role, spec: RoleSpec, concurrency: int) -> list[str]:
    arguments = [
        "--quiet",
        "worker",
        f"--pool={spec.pool}",
        f"--concurrency={concurrency}",
        f"--queues={spec.queue}",
        f"--hostname={role}.{os.getpid()}@%h",
        "--without-gossip",
        "--without-mingle",
        "--loglevel=INFO",
    ]
    return [*arguments, "--beat"] if spec.beat else arguments


def _say_ready(app: Celery, settings: Settings) -> None:
    """Touch the ready file from the consumer's own event loop, so that it ages when consumption has stopped."""
    if settings.ready_file is None:
        return
    path: Path = settings.ready_file

    class ReadyFile(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            self._tick = consumer.timer.call_repeatedly(BEAT_SECONDS, touch, (path,))
            touch(path)

        def stop(self, consumer: Any) -> None:  # noqa: ARG002 - celery's form
            tick = getattr(self, "_tick", None)
            if tick is not None:
                tick.cancel()

    app.steps["consumer"].add(ReadyFile)
