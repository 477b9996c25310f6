"""For everybody: every state passes axe in both themes and on a phone, and nothing needs a pointer."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Visit, Visitor, violations

pytestmark = pytest.mark.stack

LOOKS = [("light", DESKTOP), ("dark", PHONE)]


@pytest.mark.parametrize(("scheme", "viewport"), LOOKS, ids=["light desktop", "dark phone"])
def test_every_state_passes_axe(visitor: Visitor, tmp_path: Path, scheme: str, viewport: dict[str, int]) -> None:
    """Start, answer, opened row, refusal, dialogs, Floor with a comparison, Ingest with a failure, and an error."""
    (tmp_path / "scan.pdf").write_bytes(b"%PDF")
    visit = visitor(color_scheme=scheme, viewport=viewport)
    page = visit.open()
    found = {"start": violations(page)}
    visit.ask()
    page.locator(".opener").nth(1).click()
    page.locator("#why").fill("bicycle-chain.md")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator(".explanation")).to_be_visible()
    found["answered"] = violations(page)
    page.locator("#floor").fill("0.99")
    expect(page.locator(".verdict.refused")).to_be_visible()
    found["refused"] = violations(page)
    page.get_by_role("button", name="Save …").click()
    expect(page.get_by_role("dialog", name="Save this floor?")).to_be_visible()
    found["saving"] = violations(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys, theme and access")).to_be_visible()
    found["help"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Floor").click()
    boxes = page.locator(".traces input")
    expect(boxes.first).to_be_visible()
    if boxes.count() > 1:
        boxes.nth(1).check()
        expect(page.get_by_role("heading", name="Compared")).to_be_visible()
    found["floor"] = violations(page)
    page.get_by_role("link", name="Ingest").click()
    page.locator("input[type=file]").set_input_files(str(tmp_path / "scan.pdf"))
    expect(page.locator(".files .failed")).to_be_visible()
    expect(page.locator(".dead tbody tr")).to_be_visible()
    found["ingest"] = violations(page)
    page.get_by_role("button", name="Give up scan.pdf").click()
    page.get_by_role("button", name="Give it up").click()
    visit.open("/?trace=01NOSUCHTRACE")
    expect(page.locator(".notice.failed")).to_be_visible()
    found["unknown trace"] = violations(page)
    assert {state: wrong for state, wrong in found.items() if wrong} == {}


def test_a_phone_has_one_column_and_rows_as_cards(visitor: Visitor) -> None:
    """Nothing is wider than the screen, and every target is at least 24 pixels high."""
    visit = visitor(viewport=PHONE)
    page = visit.open()
    visit.ask()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("tr.candidate").first.evaluate("row => getComputedStyle(row).display") == "grid"
    assert _low_targets(page) == []
    for tab in ("Floor", "Ingest"):
        page.get_by_role("link", name=tab).click()
        expect(page.locator(".card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
        assert _low_targets(page) == [], tab


def test_everything_is_done_by_keys(visit: Visit) -> None:
    """Ask, go through the passages, open, judge, move the floor, change tabs, read the help: no pointer."""
    page = visit.open()
    expect(page.locator("#question")).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("ibuprofen dosage for children")
    with page.expect_response(lambda response: "/v1/traces/" in response.url):
        page.keyboard.press("Enter")
    expect(page.locator(".verdict.answered")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".opener").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("tr.details")).to_be_visible()
    with page.expect_response("**/v1/judgements"):
        page.keyboard.press("r")
    expect(page.locator("tr.candidate").nth(1).locator(".pill.judged")).to_have_text("✓ relevant")
    page.keyboard.press("k")
    expect(page.locator(".opener").first).to_be_focused()
    page.keyboard.press("]")
    page.keyboard.press("]")
    expect(page.locator("#floor")).to_have_value("0.42")
    page.keyboard.press("[")
    expect(page.locator("#floor")).to_have_value("0.41")
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page.get_by_role("link", name="Ingest")).to_have_attribute("aria-current", "page")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_single_keys_can_be_switched_off(visit: Visit) -> None:
    """Whoever speaks to the machine, or types past a field, is not at the mercy of single letters."""
    page = visit.open()
    page.keyboard.press("?")
    page.get_by_label("Single keys do something").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.locator("#question")).not_to_be_focused()
    page.reload()
    expect(page.locator("#question")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("f")
    expect(page.get_by_role("link", name="Ask", exact=True)).to_have_attribute("aria-current", "page")


def test_a_theme_is_chosen_and_remembered(visit: Visit) -> None:
    """The switch outweighs the system, also after a reload."""
    page = visit.open()
    light = _ground(page)
    page.keyboard.press("?")
    page.get_by_label("Dark").check()
    assert _ground(page) != light
    dark = _ground(page)
    page.reload()
    expect(page.locator("#question")).to_be_visible()
    assert _ground(page) == dark


def test_the_verdict_is_said_once_the_floor_rests(visit: Visit) -> None:
    """The live region has the outcome at the new floor, not each step on the way."""
    page = visit.open()
    visit.ask()
    for value in ("0.5", "0.7", "0.99"):
        page.locator("#floor").fill(value)
    expect(page.locator("#aloud")).to_have_text(re.compile(r"Floor 0\.99: (refused|answered), \d"))


def test_reduced_motion_is_respected(visitor: Visitor) -> None:
    """No animation runs for whoever asked for none."""
    visit = visitor(reduced_motion="reduce")
    page = visit.open()
    visit.ask()
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.locator(".bar .fill").first.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"


def _ground(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def _low_targets(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary, nav a')]
             .filter((one) => one.checkVisibility() && !one.matches('.visually-hidden, [type=checkbox], [type=radio]'))
             .filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.outerHTML.slice(0, 120))"""
    )
    return found
