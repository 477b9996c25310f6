"""The page in a real browser, before real workers.

Every request that would leave this machine is aborted and fails the test; so do errors in the console, a violation of
the content security policy among them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect, sync_playwright

from second_opinion.gateway.sources import Defaults, find_files, read_files
from second_opinion.samples import samples_folder
from second_opinion.schemas.document import DocumentInput
from tests.acceptance.conftest import System
from tests.conftest import Servers
from tests.integration.http.conftest import Served, serving, system_of
from tests.programs import needed

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 120_000
CHILDREN = "ibuprofen dosage for children"
ELSEWHERE = re.compile(r"^\w+://(?!(127\.0\.0\.1|localhost)[:/])")

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium. Without it these tests are skipped; in CI, where `./do test` installs it, they fail."""
    return needed("chromium", purpose="tests the page", hint="apt-get install chromium")


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for the package; it ends with it, since its event loop would be in the way of asynchronous tests."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="package")
def stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Workers that answer questions and index documents, with the samples in the collection `default`."""
    with system_of(servers, tmp_path_factory.mktemp("browser")) as system:
        system.start("extract", "index", "retrieve", "rerank")
        with system.client() as client:
            documents = [
                one
                for one in read_files(find_files([samples_folder()]).files, Defaults())
                if isinstance(one, DocumentInput)
            ]
            receipts = client.submit_documents(documents)
            client.wait_documents(receipts, timeout=120.0)
        yield system


@pytest.fixture(scope="package")
def served_page(stack: System) -> Iterator[Served]:
    """The gateway with its page, on a free port."""
    with serving(stack) as made:
        yield made


@dataclass
class Visit:
    """One browser tab, and what must not have happened in it.

    Attributes:
        page: The tab.
        left: Requests that would have left this machine.
        complaints: Errors of scripts and of the browser itself; `expected` names parts of those that a test provokes.
    """

    page: Page
    url: str
    left: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """Load the page and wait until it is there."""
        self.page.goto(self.url + path)
        expect(self.page.locator("header .brand")).to_be_visible()
        return self.page

    def ask(self, question: str = CHILDREN) -> Page:
        """Ask a question and wait for the verdict and its trace."""
        page = self.page
        page.locator("#question").fill(question)
        with page.expect_response(lambda response: "/v1/traces/" in response.url, timeout=PATIENCE_MS):
            page.locator("#question").press("Enter")
        expect(page.locator(".verdict:not(.running)")).to_be_visible()
        return page

    def check(self) -> None:
        """Fail if anything happened that must not."""
        unexpected = [one for one in self.complaints if not any(part in one for part in self.expected)]
        assert not self.left, f"requests that would have left this machine: {self.left}"
        assert not unexpected, unexpected


Visitor = Callable[..., Visit]


@pytest.fixture
def visitor(browser: Browser, served_page: Served) -> Iterator[Visitor]:
    """Make visits; each is checked when the test ends."""
    visits: list[tuple[BrowserContext, Visit]] = []

    def make(*, url: str = served_page.url, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        context.set_default_timeout(PATIENCE_MS)
        visit = Visit(page=context.new_page(), url=url)
        visits.append((context, visit))
        context.route(ELSEWHERE, lambda route: _stop(route, visit))
        visit.page.on("console", lambda message: _note(message, visit))
        visit.page.on("pageerror", lambda problem: visit.complaints.append(str(problem)))
        return visit

    yield make
    for context, visit in visits:
        context.close()
        visit.check()


@pytest.fixture
def visit(visitor: Visitor) -> Visit:
    """One visit on a desktop."""
    return visitor()


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it is now."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}" for one in found]


def _stop(route: Route, visit: Visit) -> None:
    visit.left.append(route.request.url)
    route.abort()


def _note(message: ConsoleMessage, visit: Visit) -> None:
    # What the gateway answers is for the test itself to look at; a browser logs each answer from 400 up as an error.
    if message.type in {"error", "warning"} and "the server responded with a status of" not in message.text:
        visit.complaints.append(f"{message.text} {message.location.get('url', '')}")
