"""Elasticsearch is away while documents come in by task name: nothing else holds them, so none may be dropped."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from second_opinion.schemas.document import DocumentState
from second_opinion.schemas.errors import OpinionError
from second_opinion.workers.app import make_app
from second_opinion.workers.routing import ACCEPT
from tests.acceptance.conftest import System, wait_until
from tests.servers.gate import Gate

pytestmark = pytest.mark.stack


@pytest.fixture
def gate(system: System) -> Iterator[Gate]:
    """The way from an intake worker to Elasticsearch."""
    direct = system.environment["OPINION_ELASTICSEARCH_URL"]
    with Gate(direct) as made:
        system.environment["OPINION_ELASTICSEARCH_URL"] = made.url
        system.start("intake")
        system.environment["OPINION_ELASTICSEARCH_URL"] = direct
        yield made


def test_what_is_sent_by_name_waits_for_the_store(system: System, gate: Gate) -> None:
    """The message goes back to its queue as often as needed, and the document is accepted once the store is there."""
    gate.shut()
    make_app(system.settings).send_task(
        ACCEPT, args=[{"documents": [{"id": "patient", "text": "The pier is closed."}]}]
    )
    (worker,) = system.of("intake")
    wait_until(lambda: worker.log.count("task_failed") >= 2, 60)
    gate.open()
    with system.client() as client:

        def is_accepted() -> bool:
            with suppress(OpinionError):
                return client.document_status("patient").state is DocumentState.RECEIVED
            return False

        wait_until(is_accepted, 30)
    assert worker.process.poll() is None
