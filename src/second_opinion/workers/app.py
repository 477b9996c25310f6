"""The Celery application, for callers and workers alike."""

from typing import Any

from celery import Celery
from kombu import Queue

from second_opinion.workers.envelopes import CheckingCelery
from second_opinion.workers.routing import QUEUE_OF_TASK, RECONCILE, ROLES, SWEEP
from second_opinion.workers.settings import Settings


def make_app(settings: Settings) -> Celery:
    """Return an application that speaks to the broker of `settings`. Nothing is connected yet."""
    app = CheckingCelery("second_opinion", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(_configuration(settings))
    return app


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        # At least once: a message is acknowledged when its effect is recorded, and every effect is fenced.
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Results live in our own job store; Celery keeps none.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # JSON only: a broker that can be written to must not become a way to run code.
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [Queue(spec.queue) for spec in ROLES.values()],
        "task_routes": {task: {"queue": queue} for task, queue in QUEUE_OF_TASK.items()},
        "task_create_missing_queues": False,
        "task_default_queue": ROLES["maintenance"].queue,
        "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2},
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": settings.redis_timeout,
        "broker_transport_options": _transport(settings),
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "enable_utc": True,
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_schedule": _schedule(settings),
    }


def _transport(settings: Settings) -> dict[str, Any]:
    return {
        "visibility_timeout": settings.visibility_timeout,
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_timeout,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": False,
        # Kombu's own way is to sleep for seconds between tries to connect, while a caller waits. Workers that have lost
        # their broker are brought back by Celery, as patiently as ever.
        "max_retries": 1,
        "interval_start": 0.1,
        "interval_step": 0.1,
        "interval_max": 0.2,
    }


def _schedule(settings: Settings) -> dict[str, Any]:
    periods = {RECONCILE: settings.reconcile_seconds, SWEEP: settings.sweep_seconds}
    # A tick that nobody took within its period is worth nothing: the next one does the same.
    return {
        task: {"task": task, "schedule": period, "options": {"expires": period}} for task, period in periods.items()
    }
