"""Filters in Python: the same documents pass as in the index."""

import pytest

from second_opinion.pipeline.filtering import check_filters, describe, matches
from second_opinion.schemas.document import Metadata
from second_opinion.schemas.errors import UnknownFilterField
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter

METADATA: Metadata = {"year": 2020, "lang": ["de", "en"], "public": True, "day": "2024-03-01", "none": []}


@pytest.mark.parametrize(
    ("one", "passes"),
    [
        (TermFilter(field="year", values=[2020.0]), True),
        (TermFilter(field="year", values=[2021.0, 2020.0]), True),
        (TermFilter(field="year", values=["2020"]), False),
        (TermFilter(field="lang", values=["en"]), True),
        (TermFilter(field="lang", values=["EN"]), False),
        (TermFilter(field="public", values=[True]), True),
        (TermFilter(field="public", values=[1.0]), False),
        (TermFilter(field="year", values=[True]), False),
        (TermFilter(field="missing", values=["en"]), False),
        (RangeFilter(field="year", gte=2020.0), True),
        (RangeFilter(field="year", gt=2020.0), False),
        (RangeFilter(field="year", gte=2019.0, lt=2020.0), False),
        (RangeFilter(field="year", gte="2019"), False),
        (RangeFilter(field="day", gte="2024-01-01", lte="2024-12-31"), True),
        (RangeFilter(field="day", lt="2024-03-01"), False),
        (RangeFilter(field="lang", gte="e"), True),
        (RangeFilter(field="lang", gte="f"), False),
        (RangeFilter(field="public", gte=0.0), False),
        (RangeFilter(field="missing", lt=1.0), False),
        (ExistsFilter(field="public"), True),
        (ExistsFilter(field="none"), False),
        (ExistsFilter(field="missing"), False),
        (ExistsFilter(field="missing", exists=False), True),
        (ExistsFilter(field="year", exists=False), False),
    ],
)
def test_metadata_passes_or_not(one: Filter, passes: bool) -> None:
    """Terms by type and value, ranges by size or order, a list by any of its values, and an empty list is nothing."""
    assert matches([one], METADATA) is passes


def test_all_filters_have_to_hold() -> None:
    """One that fails is enough; none asks for nothing."""
    holds, fails = ExistsFilter(field="year"), ExistsFilter(field="missing")
    assert matches([], METADATA)
    assert matches([holds, holds], METADATA)
    assert not matches([holds, fails], METADATA)


def test_a_filter_reads_like_a_sentence() -> None:
    """Numbers lose the point that nobody wrote, and keep the digits that somebody did."""
    assert describe(RangeFilter(field="year", gt=1.5, lte=123456789.0)) == "year > 1.5 and year <= 123456789"
    assert describe(TermFilter(field="public", values=[True, "x"])) == "public = true or x"


def test_a_long_list_of_fields_is_cut() -> None:
    """The hint names the first fields and counts the others; without any it says to leave the filter out."""
    one = [ExistsFilter(field="missing")]
    with pytest.raises(UnknownFilterField) as caught:
        check_filters(one, {f"field{number:03}": "keyword" for number in range(30)}, collection="c")
    assert caught.value.hint.endswith("field019 and 10 more.")
    with pytest.raises(UnknownFilterField) as caught:
        check_filters(one, {}, collection="c")
    assert "leave the filter out" in caught.value.hint
