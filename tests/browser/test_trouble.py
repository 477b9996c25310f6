"""When something is wrong: what the page says, what still works, and how it comes back."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Route, expect

from second_opinion.schemas.access import NewKey
from tests.acceptance.conftest import System, redis_database
from tests.browser.conftest import CHILDREN, Visit, Visitor
from tests.integration.http.conftest import Served, serving
from tests.servers.gate import Gate

LISTEN = """() => {
  window.said = new Set();
  new MutationObserver(() => {
    const now = document.querySelector('.verdict.running .sentence');
    if (now) window.said.add(now.textContent);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""

pytestmark = pytest.mark.stack


@pytest.fixture
def redis_gate(stack: System) -> Iterator[Gate]:
    """The way from a gateway to Redis."""
    direct = stack.environment["OPINION_JOBS_URL"]
    with Gate(direct) as made:
        yield made


@pytest.fixture
def behind_gate(stack: System, redis_gate: Gate) -> Iterator[Served]:
    """A gateway whose Redis can go away. Tests ask for it before their visitor, so that it outlives the visits."""
    names = ("OPINION_BROKER_URL", "OPINION_JOBS_URL", "OPINION_CACHE_URL")
    databases = {name: int(stack.environment[name].rsplit("/", 1)[1]) for name in names}
    urls = {name: redis_database(redis_gate.url, number) for name, number in databases.items()}
    with serving(replace(stack, environment={**stack.environment, **urls})) as made:
        yield made


def test_redis_gone_is_told_with_what_still_works_and_asking_goes_on_by_itself(
    behind_gate: Served, redis_gate: Gate, visitor: Visitor
) -> None:
    """The error names the part, a countdown runs, traces still open; once Redis is back the question is answered."""
    visit = visitor(url=behind_gate.url)
    page = visit.open()
    visit.ask()
    trace = page.url.partition("trace=")[2]
    redis_gate.shut()
    page.locator("#question").fill("aspirin for a child with fever")
    page.locator("#question").press("Enter")
    notice = page.locator(".notice.failed")
    expect(notice).to_contain_text("unavailable")
    expect(notice).to_contain_text("can still be looked at")
    expect(notice.get_by_role("button")).to_have_text(re.compile(r"Try again \(\d+ s\)"))
    elsewhere = visitor(url=behind_gate.url)
    elsewhere.open(f"/?trace={trace}")
    expect(elsewhere.page.locator(".verdict.answered")).to_be_visible()
    expect(elsewhere.page.locator("tr.candidate .snippet").first).to_be_visible()
    expect(elsewhere.page.locator(".health")).to_contain_text("redis")
    redis_gate.open()
    expect(page.locator(".verdict:not(.running)")).to_be_visible()
    expect(page).to_have_title("aspirin for a child with fever · Second Opinion")
    expect(notice).to_have_count(0)


def test_a_lost_stream_is_told_and_polling_takes_over(visit: Visit) -> None:
    """Without its events the page says that it reconnects, then asks for the job, and the answer still comes."""
    page = visit.page
    page.route("**/events", lambda route: route.abort())
    visit.expected += ["ERR_FAILED"]
    visit.open()
    page.evaluate(LISTEN)
    visit.ask()
    assert any("Reconnecting" in one for one in page.evaluate("[...window.said]"))
    expect(page.locator(".verdict.answered")).to_be_visible()


def test_events_that_break_off_are_taken_up_where_they_stopped(visit: Visit) -> None:
    """A stream that ends early is connected again with the last event that was heard."""
    page = visit.page
    asked: list[str | None] = []

    def cut(route: Route) -> None:
        asked.append(route.request.headers.get("last-event-id"))
        if len(asked) == 1:
            stage = 'id: 0\nevent: stage\ndata: {"state":"queued","at":0,"elapsed_ms":0}\n\n'
            route.fulfill(body=stage, content_type="text/event-stream")
        else:
            route.fallback()

    page.route("**/events", cut)
    visit.open()
    visit.ask()
    expect(page.locator(".verdict.answered")).to_be_visible()
    assert asked == [None, "0"]


def test_an_unknown_trace_is_told_as_such(visit: Visit) -> None:
    """A link to what is gone says so, and the page goes on working."""
    page = visit.open("/?trace=01NOSUCHTRACE")
    expect(page.locator(".notice.failed")).to_contain_text("01NOSUCHTRACE")
    visit.ask(CHILDREN)
    expect(page.locator(".notice.failed")).to_have_count(0)


def test_a_query_that_expires_is_failed_and_not_refused(visit: Visit) -> None:
    """A failure never looks like a refusal: other words, other shape."""
    page = visit.page
    page.route("**/v1/queries", lambda route: route.continue_(post_data='{"text": "late", "timeout_s": 0.001}'))
    visit.open()
    page.locator("#question").fill("late")
    page.locator("#question").press("Enter")
    expect(page.locator(".notice.failed h2")).to_contain_text("no answer in time")
    expect(page.locator(".verdict.refused")).to_have_count(0)


@pytest.fixture
def closed(stack: System) -> Iterator[Served]:
    """A gateway with indices of its own: once a key exists, no gateway on the same indices lets anybody in without."""
    prefix = f"{stack.environment['OPINION_INDEX_PREFIX']}-keys"
    system = replace(stack, environment={**stack.environment, "OPINION_INDEX_PREFIX": prefix})
    with serving(system, gateway_require_keys=True) as made:
        yield made
    system.remove_indices()


def test_a_gateway_that_wants_a_key_asks_for_it(closed: Served, visitor: Visitor) -> None:
    """Without a key nothing but the form is shown; a wrong one is told; a right one is kept for the browser tab."""
    visit = visitor(url=closed.url)
    page = visit.open()
    form = page.get_by_label("Key", exact=True)
    form.fill("so_0000000000000000_wrong")
    page.get_by_role("button", name="Enter").click()
    expect(page.locator(".empty")).to_contain_text("not, or no longer, valid")
    form.fill(_key(closed))
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("heading", name="Nothing is indexed yet")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Nothing is indexed yet")).to_be_visible()
    page.get_by_role("link", name="Ingest").click()
    expect(page.get_by_text("has not the scope ingest")).to_be_visible()
    page.get_by_role("button", name="Keys, theme and access").click()
    page.get_by_role("button", name="Forget the key").click()
    page.keyboard.press("Escape")
    expect(form).to_be_visible()


def _key(closed: Served) -> str:
    made = NewKey.make("page", scopes=("query",), collections=("default",), now=time.time(), expires_at=None)
    closed.app.state.gateway.parts.api_keys.create(made.key)
    return made.token
