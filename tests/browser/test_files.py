"""The page's files, as the gateway sends them."""

import re

import pytest
from playwright.sync_api import Error

from tests.browser.conftest import Visit
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack


def test_the_page_is_served_with_a_strict_policy(served_page: Served) -> None:
    """Nothing inline, nothing from elsewhere, and no key asked for."""
    with served_page.http() as http:
        answer = http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style|\son\w+=|style=|https?://", answer.text)


def test_every_module_is_named_in_the_page(served_page: Served) -> None:
    """A browser asks for all of them at once; each that is named is there."""
    with served_page.http() as http:
        named = re.findall(r'modulepreload" href="([^"]+)"', http.get("/").text)
        assert {http.get(name).status_code for name in named} == {200}
    assert len(named) == len(set(named)) > 30
    assert "/assets/js/main.js" in named
    assert "/assets/js/theme.js" not in named


def test_a_file_that_is_known_is_not_sent_again(served_page: Served) -> None:
    """What may change is asked for again and answered 304; what has its hash in its name is kept for good."""
    with served_page.http() as http:
        main = http.get("/assets/js/main.js")
        again = http.get("/assets/js/main.js", headers={"If-None-Match": main.headers["etag"]})
        vendor = re.search(r"vendor/(preact\.\w+\.js)", http.get("/assets/js/vendor.js").text)
        assert vendor is not None
        bundle = http.get(f"/assets/vendor/{vendor[1]}")
    assert main.headers["cache-control"] == "no-cache"
    assert again.status_code == 304
    assert again.content == b""
    assert "immutable" in bundle.headers["cache-control"]
    assert main.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", ["../files.py", "..%2ffiles.py", "js", "js/../../files.py", "nope.js", "%00"])
def test_no_other_file_is_reached(served_page: Served, name: str) -> None:
    """Names that the page does not have are not found, whatever they look like."""
    with served_page.http() as http:
        answer = http.get(f"/assets/{name}")
    assert answer.status_code == 404
    assert "STATIC" not in answer.text


def test_no_frame_and_no_script_of_others_gets_in(visit: Visit) -> None:
    """The browser itself holds the policy: inline scripts and requests to elsewhere are refused."""
    page = visit.open()
    visit.expected += ["Content Security Policy", "violates"]
    page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = "document.title = 'owned'";
                   document.body.append(script); }"""
    )
    reached = page.evaluate("fetch('https://example.invalid/').then(() => true, () => false)")
    assert page.title() != "owned"
    assert reached is False
    assert visit.left == []


def test_a_request_that_would_leave_this_machine_is_stopped_and_noticed(visit: Visit) -> None:
    """What every other test here relies on: nothing gets away, and what tried is named."""
    visit.open()
    with pytest.raises(Error, match="ERR_FAILED"):
        visit.page.goto("http://elsewhere.invalid/nothing")
    assert visit.left == ["http://elsewhere.invalid/nothing"]
    visit.left.clear()
