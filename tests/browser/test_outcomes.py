"""Every way in which a query ends has words, a shape and an icon of its own."""

import json

import pytest
from playwright.sync_api import expect

from second_opinion.schemas.errors import DeadlineExceeded, JobCancelled, TextUnreadable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.verdict import Decision, Outcome, QueryResult, UnscoredPassage
from tests.browser.conftest import CHILDREN, Visit, violations
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack

LOOK = """() => { const one = document.querySelector('.verdict, .notice'); const style = getComputedStyle(one);
  return [style.borderLeftStyle, style.borderTopStyle, one.querySelector('.icon .shape').getAttribute('d'),
          one.querySelector('h2').innerText].join(' | '); }"""


def test_outcomes_differ_in_words_shape_and_icon(visit: Visit, served_page: Served) -> None:
    """Answered, refused, answered in part, not judged, cancelled and failed: made from a real answer."""
    with served_page.system.client() as client:
        answered = client.wait(client.submit_query(CHILDREN).job_id, timeout=180.0)
        refused = client.wait(client.submit_query("how do I reset the password of my router?").job_id, timeout=180.0)
    assert answered.result is not None
    jobs = {
        "Answered": answered,
        "Refused": refused,
        "Answered in part": answered.model_copy(update={"result": _in_part(answered.result)}),
        "Not judged": answered.model_copy(update={"result": _unjudged(answered.result)}),
        "The query was cancelled": answered.model_copy(
            update={"state": JobState.CANCELLED, "result": None, "error": JobCancelled("it was cancelled").info()}
        ),
        "The query failed": answered.model_copy(
            update={"state": JobState.FAILED, "result": None, "error": TextUnreadable("it could not be read").info()}
        ),
        "The query found no answer in time": answered.model_copy(
            update={"state": JobState.EXPIRED, "result": None, "error": DeadlineExceeded("no answer in 1 s").info()}
        ),
    }
    page = visit.page
    looks = {}
    for name, job in jobs.items():
        _serve(visit, job)
        visit.open(f"/?trace={job.job_id}")
        expect(page.locator(".verdict h2, .notice h2")).to_contain_text(name)
        looks[name] = page.evaluate(LOOK)
        assert name in {"Answered", "Refused"} or violations(page) == [], name
    assert len(set(looks.values())) == len(jobs), looks
    shapes = {look.rpartition(" | ")[0] for look in looks.values()}
    assert len(shapes) == len(jobs) - 1, "the two failures alone may look alike"


def test_what_nobody_read_is_listed_and_never_kept(visit: Visit, served_page: Served) -> None:
    """An answer in part lists what was not read, with the reason, and no floor keeps it."""
    with served_page.system.client() as client:
        job = client.wait(client.submit_query(CHILDREN).job_id, timeout=180.0)
    assert job.result is not None
    _serve(visit, job.model_copy(update={"result": _in_part(job.result)}))
    page = visit.open(f"/?trace={job.job_id}")
    expect(page.locator(".pill.unscored")).to_have_count(2)
    expect(page.locator(".verdict .sentence")).to_contain_text("Only 46 of 48 candidates were read")
    page.locator("#floor").fill("0")
    expect(page.locator("tr.kept .pill.unscored")).to_have_count(0)


def _serve(visit: Visit, job: Job) -> None:
    visit.page.unroute_all()
    body = json.loads(job.model_dump_json())
    visit.page.route(f"**/v1/queries/{job.job_id}", lambda route: route.fulfill(json=body))
    visit.page.route(
        f"**/v1/traces/{job.job_id}", lambda route: route.fulfill(status=404, json={"code": "unknown_trace"})
    )


def _in_part(result: QueryResult) -> QueryResult:
    unread = [_unread(result, place) for place in (-2, -1)]
    sentence = result.sentence + " Only 46 of 48 candidates were read before the deadline."
    return result.model_copy(update={"dropped": result.dropped[:-2], "unscored": tuple(unread), "sentence": sentence})


def _unjudged(result: QueryResult) -> QueryResult:
    unread = [_unread(result, place) for place in range(len(result.dropped))]
    return result.model_copy(
        update={
            "outcome": Outcome.UNJUDGED,
            "kept": (),
            "dropped": (),
            "unscored": tuple(unread),
            "best_relevance": None,
            "sentence": "No second opinion could be had.",
            "unavailable_because": {"bundled": "rerank_unavailable"},
        }
    )


def _unread(result: QueryResult, place: int) -> UnscoredPassage:
    known = result.dropped[place].model_dump(exclude={"rank", "decision", "relevance", "raw_score"})
    return UnscoredPassage(**known, decision=Decision.UNSCORED)
