"""Text on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from second_opinion.gateway.cli.text import BAR_CELLS, bar, block, one_line, plural, seconds, shortened, squeezed

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\nf\tg\x00h\x7fi"


def test_nothing_moves_the_cursor() -> None:
    """Control characters, also those above 127, and turns of direction never reach a terminal."""
    shown = one_line(HOSTILE)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert "\u202e" not in shown
    assert block("two\nlines\x1b[0m") == "two\nlines [0m"
    assert squeezed(" much \n\n room ") == "much room"


@given(st.text(), st.integers(min_value=0, max_value=60))
def test_shortened_text_fits(text: str, cells: int) -> None:
    """Whatever the script, a shortened text takes no more cells than allowed."""
    assert cell_len(shortened(one_line(text), cells)) <= cells


def test_wide_text_is_cut_by_cells() -> None:
    """Wide characters count twice; what fits is left alone."""
    assert shortened("東京タワー", 7) == "東京タ…"
    assert shortened("東京", 4) == "東京"
    assert shortened("مرحبا", 3) == "مر…"


@given(st.floats(min_value=0.0, max_value=1.0))
def test_a_bar_is_as_long_as_its_share(share: float) -> None:
    """A bar takes its share of the cells, to an eighth."""
    drawn = bar(share)
    assert len(drawn) - 1 <= share * BAR_CELLS + 1 / 16
    assert len(drawn) >= share * BAR_CELLS - 1 / 16


def test_bars_of_the_known_shares() -> None:
    """A bar has whole cells and one part of a cell."""
    assert bar(0.91) == "█" * 14 + "▌"
    assert bar(0.0) == ""
    assert bar(1.0) == "█" * 16


@pytest.mark.parametrize(
    ("value", "shown"), [(0.04, "0.0 s"), (48.2, "48.2 s"), (125.0, "2 min 5 s"), (7_300.0, "2 h 1 min")]
)
def test_durations(value: float, shown: str) -> None:
    """Durations are told in the units that people use."""
    assert seconds(value) == shown


def test_counts() -> None:
    """Counts have separators and their noun its number."""
    assert [plural(count, "document") for count in (0, 1, 1_204)] == ["0 documents", "1 document", "1,204 documents"]
