"""The Floor tab: past questions, what a floor does with them, and saving one."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.acceptance.conftest import wait_until
from tests.browser.conftest import CHILDREN, Visit
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack

QUESTIONS = (CHILDREN, "how long may opened medicine be kept?", "how do I reset the password of my router?")


@pytest.fixture
def asked(served_page: Served) -> Iterator[list[str]]:
    """Jobs of past questions, one of them judged, in the collection `default`, whose floor is as it was behind it."""
    with served_page.system.client() as client:
        jobs = [client.query(question, timeout=180.0).job_id for question in QUESTIONS]
        client.evidence.judge(jobs[0], "1", relevant=True)
        wait_until(lambda: client.evidence.report("default").judged_pairs > 0, 30)
        yield jobs
        client.set_collection("default", floor=0.4)


def test_past_questions_are_spread_and_counted(visit: Visit, served_page: Served, asked: list[str]) -> None:
    """The histogram, its table and the what-if table have the report's own figures."""
    page = visit.open("/?tab=floor")
    with served_page.system.client() as client:
        report = client.evidence.report("default")
    expect(page.get_by_role("heading", name="Best relevance of past questions")).to_be_visible()
    expect(page.locator(".facts").first).to_contain_text(f"{report.spread.traces} traces")
    page.get_by_text("The same as a table").first.click()
    told = page.locator(".as-table tbody tr td:nth-of-type(1)").all_inner_texts()
    assert [int(one) for one in told] == list(report.spread.histogram)
    saved = page.locator(".what-if tr.saved td").first
    (row,) = [one for one in report.rows if one.floor == report.floor]
    assert float(saved.inner_text().split()[0]) == pytest.approx(row.answered * 100, abs=0.6)
    expect(page.locator(".part.relevant")).to_have_count(1)


def test_brushing_filters_the_traces(visit: Visit, asked: list[str]) -> None:
    """A stretch of the histogram, by pointer or by numbers, leaves the traces whose best relevance lies in it."""
    page = visit.open("/?tab=floor")
    lines = page.locator(".traces tbody tr")
    expect(lines.filter(has_text="router")).not_to_have_count(0)
    everything = lines.count()
    page.get_by_label("Best relevance from").fill("0.9")
    expect(lines.filter(has_text="router")).to_have_count(0)
    expect(lines.filter(has_text=CHILDREN)).not_to_have_count(0)
    page.get_by_role("button", name="All", exact=True).click()
    expect(lines).to_have_count(everything)
    box = page.locator(".bars").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.07, box["y"] + 20)
    page.mouse.up()
    expect(lines.filter(has_text=CHILDREN)).to_have_count(0)
    expect(lines.filter(has_text="router")).not_to_have_count(0)


def test_saving_a_floor_shows_what_it_changes_and_asks(visit: Visit, served_page: Served, asked: list[str]) -> None:
    """The floor of the collection changes only after the question was answered with yes; its other choices stay."""
    with served_page.system.client() as client:
        client.set_collection("default", floor=0.4, top_k=7)
        page = visit.open("/?tab=floor")
        page.locator("#report-floor").fill("0.99")
        expect(page.locator(".floor-row .sentence")).to_contain_text(re.compile(r"→ 0 %.*newly refused"))
        page.get_by_role("button", name="Save …").click()
        dialog = page.get_by_role("dialog", name="Save this floor?")
        expect(dialog).to_contain_text("instead of 0.40")
        expect(dialog).to_contain_text("newly refused")
        dialog.get_by_role("button", name="Leave it").click()
        assert client.collection("default").overrides.floor == 0.4
        page.get_by_role("button", name="Save …").click()
        dialog.get_by_role("button", name="Save 0.99").click()
        expect(dialog).to_be_hidden()
        overrides = client.collection("default").overrides
        assert (overrides.floor, overrides.top_k) == (0.99, 7)
    expect(page.locator(".what-if tr.saved")).to_contain_text("0.99")


def test_two_traces_are_compared_by_rank(visit: Visit, asked: list[str]) -> None:
    """Two that are chosen stand side by side, with a line for each passage of both; the address keeps them."""
    page = visit.open(f"/?tab=floor&trace={asked[0]}&with={asked[1]}")
    expect(page.get_by_role("heading", name="Compared")).to_be_visible()
    expect(page.locator(".side.left li")).to_have_count(20)
    assert page.locator(".lines-between path").count() > 0
    page.get_by_role("button", name="Swap").click()
    expect(page).to_have_url(re.compile(f"trace={asked[1]}&with={asked[0]}"))


def test_too_few_judgements_are_told_as_such(visit: Visit, asked: list[str]) -> None:
    """A suggestion from next to nothing is refused in words, with what to do."""
    page = visit.open("/?tab=floor")
    page.get_by_role("button", name="Suggest").click()
    expect(page.locator(".suggest [aria-live]")).to_contain_text("50")
    expect(page.locator(".suggest .hint")).to_be_visible()
