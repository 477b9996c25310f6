"""The Celery application is set for at-least-once delivery and JSON alone."""

from second_opinion.workers.app import make_app
from second_opinion.workers.routing import QUEUE_OF_TASK, ROLES
from second_opinion.workers.settings import Settings


def test_delivery_settings() -> None:
    """Late acknowledgement, one message at a time, no result backend, JSON only, no way to hang on Redis."""
    settings = Settings()
    conf = make_app(settings).conf
    assert conf.task_acks_late is True
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_disable_prefetch is True
    assert conf.result_backend is None
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["socket_timeout"] == settings.redis_timeout


def test_no_limit_is_above_the_visibility_timeout() -> None:
    """Redis hands a message out again after the visibility timeout, so every limit has to end before it."""
    settings = Settings()
    assert settings.visibility_timeout > settings.task_limit_seconds + settings.shutdown_grace_seconds


def test_every_task_goes_to_a_queue_that_a_role_consumes() -> None:
    """No task can be sent where nobody listens, and no two roles share a queue."""
    consumed = [spec.queue for spec in ROLES.values()]
    assert set(QUEUE_OF_TASK.values()) == set(consumed)
    assert len(set(consumed)) == len(consumed)
    conf = make_app(Settings()).conf
    assert {queue.name for queue in conf.task_queues} == set(consumed)
    assert {task: route["queue"] for task, route in conf.task_routes.items()} == QUEUE_OF_TASK


def test_periodic_tasks_do_not_pile_up() -> None:
    """A tick that was not taken within its period expires."""
    for entry in make_app(Settings()).conf.beat_schedule.values():
        assert entry["options"]["expires"] <= entry["schedule"]
