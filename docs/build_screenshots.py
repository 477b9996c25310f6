"""Takes the pictures of docs/how-to/page.md from the real page: `python docs/build_screenshots.py [URL]`.

It needs Chromium and a running system with the samples in it, and nothing else in its collection `default`:

    opinion up && opinion ingest --samples && python docs/build_screenshots.py http://127.0.0.1:8100
"""

import json
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES: Final = Path(__file__).parent / "images"
COLOURS: Final = 128
WAIT_SECONDS: Final = 30
SETTLED_MS: Final = 2_500
# What to ask, and which ranks are judged: whether they are relevant.
QUESTIONS: Final[dict[str, dict[int, bool]]] = {
    "ibuprofen dosage for children": {1: True, 2: True, 5: False},
    "who approves a refund above 100 euros?": {1: True, 2: False},
    "how long can opened syrup be kept?": {1: True},
    "why should children not take aspirin?": {1: True, 4: False},
    "how often is a sourdough starter fed?": {1: True},
    "when are runner beans sown?": {1: True},
    "how is a bicycle chain cleaned?": {1: True, 6: False},
    "which side effects does ibuprofen have?": {1: True},
    "where is a child's temperature measured?": {1: True},
    "can gift cards be returned?": {1: True},
    "how much paracetamol may an adult take?": {1: False, 2: False},
    "how do I reset the password of my router?": {1: False},
    "opening hours of the pharmacy": {1: False},
    "what does a new bicycle chain cost?": {1: False},
}
FIRST: Final = "ibuprofen dosage for children"
SCAN: Final = ("scan-7.pdf", b"%PDF-1.7")
NOTES: Final = ("coffee.md", b"# Coffee machine\n\nIt is descaled on the first Friday of each month.\n")


def main(url: str) -> None:
    """Ask, judge and take every picture."""
    jobs = {question: _ask(url, question, judged) for question, judged in QUESTIONS.items()}
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        with _page(browser) as page:
            _go(page, f"{url}/?trace={jobs[FIRST]}")
            page.locator(".opener").nth(1).click()
            _take(page, "page-ask.png")
            page.locator("#floor").fill("0.95")
            page.locator(".opener").nth(1).click()
            page.locator("tr.candidate").nth(4).scroll_into_view_if_needed()
            _take(page, "page-floor-moved.png")
            _go(page, f"{url}/?trace={jobs['how do I reset the password of my router?']}")
            _take(page, "page-refused.png")
            page.locator("#why").fill("refund-policy.md")
            page.get_by_role("button", name="Explain").click()
            page.locator(".explanation").wait_for()
            _take(page, "page-why.png", at=".why")
            _go(page, f"{url}/?tab=floor&floor=0.6")
            _take(page, "page-floor.png")
        with _page(browser, color_scheme="dark") as page:
            others = jobs["which side effects does ibuprofen have?"]
            _go(page, f"{url}/?tab=floor&trace={jobs[FIRST]}&with={others}")
            _take(page, "page-compared.png", at="section[aria-labelledby=compared]")
        with _page(browser) as page:
            _go(page, f"{url}/?tab=ingest&collection=handbook")
            _give(page, SCAN, NOTES)
            _take(page, "page-ingest.png")
        with _page(browser, color_scheme="dark", viewport={"width": 390, "height": 844}) as page:
            _go(page, f"{url}/?trace={jobs[FIRST]}")
            _take(page, "page-phone.png")
        browser.close()


def _ask(url: str, question: str, judged: dict[int, bool]) -> str:
    job_id: str = _post(f"{url}/v1/queries", {"text": question})["job_id"]
    for rank, relevant in judged.items():
        _post(f"{url}/v1/judgements", {"job_id": job_id, "chunk": str(rank), "relevant": relevant})
    return job_id


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Prefer": f"wait={WAIT_SECONDS}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the caller's own gateway
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS + 10) as answer:  # noqa: S310
        said: dict[str, Any] = json.load(answer)
    return said


@contextmanager
def _page(browser: Browser, **options: Any) -> Iterator[Page]:
    context = browser.new_context(**{"viewport": {"width": 1180, "height": 860}, "locale": "en-GB", **options})
    yield context.new_page()
    context.close()


def _go(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_timeout(SETTLED_MS)


def _give(page: Page, *files: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name, _ in files]
        for path, (_, content) in zip(paths, files, strict=True):
            path.write_bytes(content)
        page.locator("input[type=file]").set_input_files(paths)
        page.locator(".files .searchable").wait_for()
        page.locator(".dead tbody tr").first.wait_for()
        page.wait_for_timeout(SETTLED_MS)


def _take(page: Page, name: str, *, at: str | None = None) -> None:
    """Keep what is seen, in few colours: pictures of text need no more, and stay small."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    seen = page.locator(at).screenshot() if at else page.screenshot()
    picture = Image.open(BytesIO(seen)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/") if len(sys.argv) > 1 else "http://127.0.0.1:8100")
