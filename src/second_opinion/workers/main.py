"""Starting a worker of one role."""

import os
import signal
import socket
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, signals
from celery.worker import state

from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.hands import transport_options
from second_opinion.schemas.errors import OpinionError
from second_opinion.workers.app import make_app
from second_opinion.workers.deafness import Absence, Deafness
from second_opinion.workers.farewell import bound_farewell
from second_opinion.workers.logs import configure_logging
from second_opinion.workers.niceness import give_way
from second_opinion.workers.presence import Presence, holder_name
from second_opinion.workers.routing import EXTRACT, RECONCILE, ROLES, Role, RoleSpec
from second_opinion.workers.runner import TaskRunner
from second_opinion.workers.settings import Settings, load_settings
from second_opinion.workers.stores import open_hands, open_workers
from second_opinion.workers.tasks import register
from second_opinion.workers.watchdog import Limits, Watchdog, touch

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 5.0
LONGEST_PAUSE: Final = 32.0
"""Seconds that Celery waits at most before it looks for a lost broker again."""
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
    if spec.gives_way:
        give_way(settings.index_nice)
    if spec.pool == "prefork":
        bound_farewell()
    app = make_app(settings)
    watchdog = Watchdog(_limits(settings))
    register(app, role, settings, TaskRunner(watchdog, leave=os._exit))
    if spec.holds:
        _hold_apart(app, spec, settings)
    _say_ready(app, settings)
    _register_worker(app, spec, settings)
    _watch_consumption(app, watchdog, spec, settings)
    signals.worker_shutting_down.connect(lambda **_: watchdog.shutting_down(), weak=False)
    parent = os.getpid()
    signals.worker_process_init.connect(lambda **_: _watch_child(watchdog, parent), weak=False)
    signals.beat_embedded_init.connect(lambda **_: _watch_child(watchdog, parent, runs_tasks=False), weak=False)
    # Celery installs its own handlers later; until then a signal must still end the start.
    signal.signal(signal.SIGTERM, _leave)
    watchdog.start(runs_tasks=spec.pool == "threads")
    app.worker_main(_arguments(role, spec, concurrency or _concurrency(role, spec, settings), settings.log_level))


def _hold_apart(app: Celery, spec: RoleSpec, settings: Settings) -> None:
    """Keep what this process has in its hands apart from all others, and say from now on that it lives."""
    holder = holder_name(spec.queue)
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **transport_options(holder)}
    Presence(open_hands(settings), holder).begin()


def _limits(settings: Settings) -> Limits:
    return Limits(
        task=settings.task_limit_seconds,
        shutdown_grace=settings.shutdown_grace_seconds,
        stall=settings.stall_seconds,
        # A parser of files has no pulse, and is the most likely of all to hang; and nobody rescues the rescue.
        tasks={EXTRACT: settings.stall_seconds, RECONCILE: 2 * settings.stall_seconds},
    )


def _watch_child(watchdog: Watchdog, parent: int, *, runs_tasks: bool = True) -> None:
    """Watch a forked process, too; threads of its parent are not in it, and what is deaf is the parent's business.

    One whose parent was killed would go on beside the worker that takes its place, so it ends.
    """
    watchdog.is_deaf = lambda _: False
    watchdog.is_orphaned = lambda: os.getppid() != parent
    watchdog.start(runs_tasks=runs_tasks)


def _watch_consumption(app: Celery, watchdog: Watchdog, spec: RoleSpec, settings: Settings) -> None:
    """Let the watchdog see whether this worker takes messages, while it is connected and not asked to stop."""
    client = connect(settings.broker_url.get_secret_value(), timeout=settings.redis_timeout)
    deafness = Deafness(
        settings.deaf_seconds,
        waiting=lambda: int(client.llen(spec.queue)),
        taken=lambda: state.all_total_count[0],
        working=lambda: len(state.reserved_requests),
    )

    class Consumption(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:  # noqa: ARG002 - celery's form
            watchdog.is_deaf = deafness

        def stop(self, consumer: Any) -> None:  # noqa: ARG002 - celery's form
            # An orderly stop has its grace time; whatever else stops a consumer has to start it again.
            watchdog.is_deaf = Absence(settings.deaf_seconds + LONGEST_PAUSE, client.ping)

    app.steps["consumer"].add(Consumption)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _concurrency(role: Role, spec: RoleSpec, settings: Settings) -> int:
    return settings.worker_threads if spec.pool == "threads" else PREFORK_PROCESSES[role]


def _arguments(role: Role, spec: RoleSpec, concurrency: int, log_level: str) -> list[str]:
    arguments = [
        "--quiet",
        "worker",
        f"--pool={spec.pool}",
        f"--concurrency={concurrency}",
        f"--queues={spec.queue}",
        f"--hostname={role}.{os.getpid()}@%h",
        "--without-gossip",
        "--without-mingle",
        # Celery sets the root logger's level to this.
        f"--loglevel={log_level}",
    ]
    return [*arguments, "--beat"] if spec.beat else arguments


def _register_worker(app: Celery, spec: RoleSpec, settings: Settings) -> None:
    """Enter this worker in the register from the consumer's own event loop, so that it is seen while it consumes."""
    register = open_workers(settings)
    name = f"{socket.gethostname()}.{os.getpid()}"

    def sign() -> None:
        # Whoever cannot be entered goes on consuming; what keeps Redis away is told elsewhere.
        with suppress(OpinionError):
            register.seen(spec.queue, name)

    class Register(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            self._tick = consumer.timer.call_repeatedly(BEAT_SECONDS, sign)
            sign()

        def stop(self, consumer: Any) -> None:  # noqa: ARG002 - celery's form
            tick = getattr(self, "_tick", None)
            if tick is not None:
                tick.cancel()

    app.steps["consumer"].add(Register)


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
