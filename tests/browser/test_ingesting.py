"""Ingesting on the page: files followed until readers see them, dead letters, and how the queues stand."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack

COFFEE = "# Coffee machine\n\nThe coffee machine is descaled on the first Friday of each month by whoever comes last.\n"


def test_a_dropped_file_becomes_searchable_and_answers(visit: Visit, tmp_path: Path) -> None:
    """Its states are shown until queries see it; its title is its first heading; the collection begins with it."""
    (tmp_path / "coffee.md").write_text(COFFEE, encoding="utf-8")
    page = visit.open("/?tab=ingest&collection=kitchen")
    _give(page, tmp_path / "coffee.md")
    line = page.locator(".files tbody tr")
    expect(line.locator(".state")).to_contain_text("Searchable")
    expect(line).to_contain_text("1 chunk")
    expect(page.locator(".tiles .indexed dd")).to_have_text("1")
    page.get_by_role("link", name="Ask", exact=True).click()
    visit.ask("when is the coffee machine descaled?")
    expect(page.locator(".opener").first).to_have_text("Coffee machine")


def test_what_cannot_be_read_is_a_dead_letter_to_be_tried_again(
    visit: Visit, served_page: Served, tmp_path: Path
) -> None:
    """The reason and what to do stand beside it; Retry begins anew; giving it up asks first."""
    (tmp_path / "scan-7.pdf").write_bytes(b"%PDF-1.7 no text in it")
    page = visit.open("/?tab=ingest&collection=scans")
    _give(page, tmp_path / "scan-7.pdf")
    expect(page.locator(".files tbody tr .state")).to_contain_text("Failed")
    letter = page.locator(".dead tbody tr")
    expect(letter).to_contain_text("application/pdf")
    expect(letter.locator(".hint")).to_be_visible()
    with served_page.system.client() as client:
        before = client.document_status("scan-7.pdf", collection="scans").target
    page.get_by_role("button", name="Retry scan-7.pdf").click()
    expect(page.locator(".files tbody tr").nth(1).locator(".state")).to_contain_text("Failed")
    with served_page.system.client() as client:
        assert client.document_status("scan-7.pdf", collection="scans").target != before
    page.get_by_role("button", name="Give up scan-7.pdf").click()
    dialog = page.get_by_role("dialog", name="Give this document up?")
    dialog.get_by_role("button", name="Give it up").click()
    expect(page.get_by_text("No document has failed.")).to_be_visible()


def test_json_lines_are_sent_as_one_stream(visit: Visit, tmp_path: Path) -> None:
    """Each line has its receipt: how many are accepted is counted, and a bad line says which it is."""
    lines = [json.dumps({"id": f"n{number}", "text": f"Room {number} has a window."}) for number in range(30)]
    (tmp_path / "rooms.jsonl").write_text("\n".join([*lines[:12], "no json", *lines[12:]]), encoding="utf-8")
    page = visit.open("/?tab=ingest&collection=rooms")
    _give(page, tmp_path / "rooms.jsonl")
    line = page.locator(".files tbody tr")
    expect(line).to_contain_text("30 accepted, 1 rejected")
    expect(line.locator(".error-text")).to_contain_text("line 13")
    expect(page.locator(".tiles .indexed dd")).to_have_text("30")


def test_an_empty_system_offers_its_samples(visit: Visit) -> None:
    """Where nothing is indexed the page says so, and the samples are one button away."""
    page = visit.page
    page.route("**/v1/collections", lambda route: route.fulfill(json={"collections": []}))
    visit.open()
    expect(page.get_by_role("heading", name="Nothing is indexed yet")).to_be_visible()
    page.get_by_role("button", name="Load the samples").click()
    expect(page.locator(".files tbody tr")).to_have_count(12)
    expect(page.locator(".card-head [role=status]")).to_contain_text("12 of 12 files searchable")


def test_queues_are_told_from_their_servers(visit: Visit) -> None:
    """Each queue has its depth and its workers; one that nobody serves says never."""
    page = visit.open("/?tab=ingest")
    queues = page.get_by_role("group", name="Queues").locator("tbody tr")
    expect(queues.filter(has_text="rerank").locator("td").first).to_have_text("0")
    expect(queues.filter(has_text="rerank")).to_contain_text("ago")


def _give(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files([str(one) for one in files])
