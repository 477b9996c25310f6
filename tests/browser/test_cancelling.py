"""Cancelling on the page: the job ends, the page says so, and asking again works."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect

from second_opinion.schemas.job import Job, JobState
from tests.acceptance.conftest import System
from tests.browser.conftest import CHILDREN, Visit, violations
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack


@contextmanager
def standing_still(system: System) -> Iterator[None]:
    """Let the rerank worker stand still meanwhile, so that a question stays on its way."""
    (worker,) = system.of("rerank")
    worker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.process.send_signal(signal.SIGCONT)


def test_a_cancelled_question_is_told_as_such_and_can_be_asked_again(visit: Visit, served_page: Served) -> None:
    """The job ends `cancelled`, which is neither a failure nor a refusal, stays so, and is asked anew on request."""
    page = visit.open()
    with standing_still(served_page.system):
        page.locator("#question").fill(CHILDREN)
        page.locator("#question").press("Enter")
        page.wait_for_url("**trace=*")
        expect(page.locator(".rail .now .name")).to_have_text("Rerank")
        page.get_by_role("button", name="Cancel").click()
        notice = page.locator(".notice.cancelled")
        expect(notice.locator("h2")).to_have_text("The query was cancelled")
    cancelled = _trace(page)
    assert _job(served_page, cancelled).state is JobState.CANCELLED
    expect(notice).to_contain_text(cancelled)
    expect(page.locator(".notice.failed, .verdict, .rail")).to_have_count(0)
    assert violations(page) == []
    page.reload()
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Ask again").click()
    expect(page.locator(".verdict.answered")).to_be_visible()
    expect(notice).to_have_count(0)
    assert _trace(page) != cancelled
    assert _job(served_page, cancelled).state is JobState.CANCELLED, "the worker came back to it"


def test_cancelling_before_the_gateway_has_answered_cancels_too(visit: Visit, served_page: Served) -> None:
    """Pressed while the question is still being sent, Cancel is not lost: the job is cancelled once it has an id."""
    page = visit.open()
    waiting: list[Route] = []
    page.route("**/v1/queries", lambda route: waiting.append(route))  # noqa: PLW0108 - it needs a function
    with standing_still(served_page.system):
        page.locator("#question").fill(CHILDREN)
        page.locator("#question").press("Enter")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".verdict.running .sentence")).to_have_text("Cancelling …")
        for one in waiting:
            one.continue_()
        expect(page.locator(".notice.cancelled")).to_be_visible()
    assert len(waiting) == 1
    assert _job(served_page, _trace(page)).state is JobState.CANCELLED


def test_what_cannot_be_cancelled_is_told_and_answered(visit: Visit, served_page: Served) -> None:
    """When the gateway refuses to cancel, the page says that the query goes on, and shows its answer."""
    page = visit.open()
    page.route("**/cancel", lambda route: route.fulfill(status=500, json={"code": "internal_error"}))
    with standing_still(served_page.system):
        page.locator("#question").fill(CHILDREN)
        page.locator("#question").press("Enter")
        page.wait_for_url("**trace=*")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".verdict.running .sentence")).to_contain_text("could not be cancelled")
    expect(page.locator(".verdict.answered")).to_be_visible()


def test_a_double_click_asks_once_and_cancels_nothing(visit: Visit, served_page: Served) -> None:
    """The button for asking becomes the one for cancelling in its place; the second click is not for that one."""
    page = visit.open()
    asked: list[str] = []
    page.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    page.locator("#question").fill(CHILDREN)
    with standing_still(served_page.system):
        page.get_by_role("button", name="Ask", exact=True).dblclick()
        page.wait_for_url("**trace=*")
    expect(page.locator(".verdict.answered")).to_be_visible()
    assert [url.rpartition("/v1/")[2] for url in asked] == ["queries"]


def _trace(page: Page) -> str:
    return page.url.partition("trace=")[2].partition("&")[0]


def _job(served: Served, job_id: str) -> Job:
    with served.system.client() as client:
        return client.result(job_id)
