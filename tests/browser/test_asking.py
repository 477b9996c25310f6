"""Asking on the page: stages, verdict, candidates, and what is kept in the address."""

import re
from statistics import median

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Visitor
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack

FRAME_MS = 16.0
MARKUP = (
    "The <b>kettle</b> <img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> "
    "is descaled monthly."
)


def test_a_question_is_answered_with_every_stage_and_rank(visit: Visit) -> None:
    """Stages have times, the verdict its words, and each candidate both lists' ranks, relevance and decision."""
    page = visit.open()
    visit.ask()
    expect(page.locator(".verdict.answered h2")).to_contain_text("Answered")
    stages = page.locator(".rail li")
    expect(stages).to_have_text([re.compile(f"{name}.*ms|{name}.* s") for name in _STAGES])
    first = page.locator("tr.candidate").first
    expect(first.locator("td.decision")).to_have_text("Kept")
    expect(first.locator(".opener")).to_contain_text("Ibuprofen dosage for children")
    for name in ("rank", "bm25_rank", "knn_rank", "fused_rank"):
        expect(first.locator(f"td.{name}")).to_have_text("1")
    expect(page.locator("tr.candidate.dropped .pill.below_floor").first).to_have_text("Below floor")
    expect(page.locator(".floor-line")).to_contain_text("floor 0.40")
    expect(page.locator("tr.candidate.dropped .snippet mark").first).to_be_visible()
    expect(page.locator("#aloud")).to_contain_text("passages are shown")


def test_stages_are_heard_while_the_query_is_on_its_way(visit: Visit) -> None:
    """The rail moves by events, not only at the end."""
    page = visit.open()
    page.evaluate(
        """() => { window.seen = new Set(); new MutationObserver(() => {
             const now = document.querySelector('.rail .now .name'); if (now) window.seen.add(now.textContent);
           }).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true}); }"""
    )
    # Words that nobody asked for yet, so that no score is known from before.
    visit.ask("which cheese ages in the deepest cellar of the north, and for how many years")
    assert "Rerank" in page.evaluate("[...window.seen]")


def test_nothing_that_answers_is_a_refusal(visit: Visit) -> None:
    """A refusal has its own words and look, and says how close the best one came."""
    page = visit.open()
    visit.ask("how do I reset the password of my router?")
    expect(page.locator(".verdict.refused h2")).to_contain_text("Refused")
    expect(page.locator(".verdict .sentence")).to_contain_text("Nothing cleared 0.40; best was 0.")
    expect(page.locator("tr.candidate.kept")).to_have_count(0)


@pytest.mark.alone
def test_the_floor_moves_without_a_request_and_within_a_frame(visit: Visit) -> None:
    """The stored trace is judged again in the browser: counts, decisions and address follow, and nothing is asked."""
    page = visit.open()
    visit.ask()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    slider = page.locator("#floor")
    for percent in range(42, 100, 3):
        slider.fill(f"{percent / 100}")
    took = page.evaluate("performance.getEntriesByName('rejudged').map((entry) => entry.duration)")
    expect(page.locator(".difference")).to_contain_text("→")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"0\.99, keeps \d of 48"))
    expect(page.locator(".tag").first).to_contain_text("tried out")
    page.wait_for_url("**floor=0.99*")
    assert [url for url in asked if "/readyz" not in url] == []
    assert len(took) >= 15
    assert median(took) < FRAME_MS, took


def test_a_link_shows_the_same_trace_at_the_same_floor(visit: Visit) -> None:
    """Question, verdict and floor come back from the address alone; going back leads to the page before."""
    page = visit.open()
    visit.ask()
    page.locator("#floor").fill("0.95")
    page.wait_for_url("**floor=0.95*")
    page.reload()
    expect(page.locator("#question")).to_have_value("ibuprofen dosage for children")
    expect(page.locator(".verdict .sentence")).to_contain_text("floor 0.95")
    page.go_back()
    expect(page.locator(".verdict")).to_have_count(0)


def test_a_row_opens_and_is_judged(visit: Visit, served_page: Served) -> None:
    """Opened, a row has every stage's number and the whole chunk; a judgement is kept where the floor reads it."""
    page = visit.open()
    visit.ask()
    page.locator(".opener").nth(1).click()
    details = page.locator("tr.details")
    expect(details.locator("dt")).to_have_text(["BM25", "kNN", "Fused", "Raw score", "Relevance"])
    expect(details.locator(".chunk")).to_contain_text("milligrams for each kilogram", use_inner_text=True)
    with page.expect_response("**/v1/judgements"):
        details.get_by_role("button", name="Not relevant").click()
    expect(page.locator(".pill.judged")).to_have_text("✗ not relevant")
    job = re.search(r"trace=([\w-]+)", page.url)
    assert job is not None
    with served_page.system.client() as client:
        judged = client.evidence.judged(client.evidence.trace(job[1]))
        assert [one.relevant for one in judged.values()] == [False]
    page.reload()
    expect(page.locator(".pill.judged")).to_have_text("✗ not relevant")


def test_why_not_names_the_stage(visit: Visit) -> None:
    """A document that did not make it is explained by stage; one that does not exist likewise."""
    page = visit.open()
    visit.ask()
    _explain(page, "bicycle-chain.md")
    expect(page.locator(".explanation .sentence")).to_contain_text("Below the floor")
    expect(page.locator(".explanation .missed")).to_contain_text("Above the floor")
    _explain(page, "no-such-document")
    expect(page.locator(".explanation .sentence")).to_contain_text("Not indexed")


def test_markup_in_documents_and_questions_stays_text(visit: Visit, served_page: Served) -> None:
    """What documents hold is shown as text: nothing of it is run or drawn, titles and ids included."""
    page = visit.open()
    with served_page.system.client() as client:
        client.submit_document(
            id="<i>x</i>.md", title="<u>Kettle</u>", text=MARKUP, collection="markup", uri="javascript:alert(1)"
        )
        client.wait_document("<i>x</i>.md", collection="markup", timeout=180.0)
    visit.open("/?collection=markup")
    visit.ask("how often is the <b>kettle</b> descaled?")
    page.locator(".opener").first.click()
    expect(page.locator(".chunk")).to_contain_text(MARKUP, use_inner_text=True)
    expect(page.locator(".opener").first).to_contain_text("<u>Kettle</u>")
    assert page.locator("main :is(img, script, i, u)").count() == 0
    assert page.locator("main a[href^='javascript']").count() == 0
    assert page.title() != "owned"


def test_commands_to_copy_ask_the_same_and_hold_no_key(visitor: Visitor) -> None:
    """The copied command line asks this question at the floor that is shown; quotes in it are safe for a shell."""
    visit = visitor(permissions=["clipboard-read", "clipboard-write"])
    page = visit.open()
    visit.ask("what's the children's dosage of ibuprofen?")
    page.locator("#floor").fill("0.55")
    page.get_by_role("button", name="Copy as command").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == (
        "opinion query 'what'\\''s the children'\\''s dosage of ibuprofen?' --collection default --floor 0.55 --explain"
    )
    page.get_by_role("button", name="Copy as cURL").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "/v1/queries" in copied
    assert '"floor":0.55' in copied
    assert "$OPINION_GATEWAY_KEY" in copied


_STAGES = ("Queued", "Retrieve", "Fuse", "Rerank", "Judge", "Total")


def _explain(page: Page, document: str) -> None:
    page.locator("#why").fill(document)
    page.get_by_role("button", name="Explain").click()
