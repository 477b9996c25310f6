"""Tests run in two lanes, and one that measures time runs alone."""

import threading
from pathlib import Path

import pytest

from tests.lanes import Lanes, Passage

SOON = 0.2
PATIENCE = 10.0


class Visitor:
    """Somebody who goes in from a thread, and stays until told to leave."""

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self.is_in, self._leave = threading.Event(), threading.Event()
        self._passage, self._alone = Passage(folder), alone
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()

    def leave(self) -> None:
        """Go out."""
        self._leave.set()
        self._thread.join(PATIENCE)

    def _visit(self) -> None:
        with self._passage.inside(alone=self._alone):
            self.is_in.set()
            self._leave.wait(PATIENCE)


def test_two_lanes_run_at_once(tmp_path: Path) -> None:
    """Neither waits for the other."""
    both = [Visitor(tmp_path, alone=False) for _ in range(2)]
    assert all(one.is_in.wait(PATIENCE) for one in both)
    for one in both:
        one.leave()


def test_who_measures_time_is_alone_and_not_overtaken(tmp_path: Path) -> None:
    """It waits for the test that runs; the next one waits for it, although it could have gone in beside the first."""
    first = Visitor(tmp_path, alone=False)
    assert first.is_in.wait(PATIENCE)
    alone = Visitor(tmp_path, alone=True)
    assert not alone.is_in.wait(SOON)
    late = Visitor(tmp_path, alone=False)
    assert not late.is_in.wait(SOON)
    first.leave()
    assert alone.is_in.wait(PATIENCE)
    assert not late.is_in.wait(SOON)
    alone.leave()
    assert late.is_in.wait(PATIENCE)
    late.leave()


@pytest.mark.parametrize(
    ("test", "lane"),
    [
        ("tests/unit/test_docs.py::test_a_page[one]", "tests/unit/test_docs.py"),
        ("tests/browser/test_asking.py::test_a_question", "tests/browser/"),
    ],
)
def test_a_file_stays_in_one_lane(test: str, lane: str) -> None:
    """What its tests share is made once; so is the browser, for all that look at the page."""
    assert Lanes._split_scope(Lanes.__new__(Lanes), test) == lane
