"""The page of promises says what the result files say, and names tests that there are."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_promises", ROOT / "docs" / "build_promises.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    """It is committed as the result files make it today: python docs/build_promises.py."""
    made = builder()
    assert made.PAGE.read_text(encoding="utf-8") == made.page()


def test_every_promise_has_a_test() -> None:
    """No promise without a file that tries to break it."""
    missing = [one.test for one in builder().PROMISES if not (ROOT / one.test).is_file()]
    assert missing == []


def test_what_was_found_is_told() -> None:
    """A run that found damage gives no bound and is not told as a good one."""
    found = {"lost": 2, "failed": 0}
    result = {
        "date": "2026-01-01",
        "seed": 1,
        "kills": {"index": 10},
        "acknowledged": 100,
        "documents": 50,
        "found": found,
        "queries": {},
        "bounds_95": {},
        "rescued": {"count": 0},
        "load_before": [0.5],
    }
    told = builder()._told(result)
    assert "found: lost 2" in told
    assert "below" not in told
