"""Filters as they are typed."""

import pytest

from second_opinion.gateway.cli.filters import parse_filter, parse_metadata
from second_opinion.schemas.errors import InvalidQuery, InvalidRequest
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter

TYPES = {"year": "double", "zip": "keyword", "open": "boolean"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year>=2020", RangeFilter(field="year", gte=2020)),
        ("year<2020.5", RangeFilter(field="year", lt=2020.5)),
        (" year > 1 ", RangeFilter(field="year", gt=1)),
        ("date<=2026-01-31", RangeFilter(field="date", lte="2026-01-31")),
        ("year=2020,2021", TermFilter(field="year", values=[2020, 2021])),
        ("zip=01234", TermFilter(field="zip", values=["01234"])),
        ("lang=en,de", TermFilter(field="lang", values=["en", "de"])),
        ('name="a, b"', TermFilter(field="name", values=["a, b"])),
        ("open=yes", TermFilter(field="open", values=[True])),
        ("new=false", TermFilter(field="new", values=[False])),
        ("code=007", TermFilter(field="code", values=[7])),
        ("formula=a=b", TermFilter(field="formula", values=["a=b"])),
        ("has:doi", ExistsFilter(field="doi")),
        ("missing:doi", ExistsFilter(field="doi", exists=False)),
    ],
)
def test_forms(text: str, expected: Filter) -> None:
    """Each form becomes its filter; a field's type decides what a value is, and without one its look does."""
    assert parse_filter(text, TYPES) == expected


@pytest.mark.parametrize("text", ["", "year", "=2020", "year>=", "ye ar=1", "has:", "year~2020", "has:a b"])
def test_other_forms_are_refused_with_the_forms_there_are(text: str) -> None:
    """What cannot be read is refused, and the hint shows how filters are written."""
    with pytest.raises(InvalidQuery) as caught:
        parse_filter(text, TYPES)
    assert "FIELD=VALUE" in caught.value.hint


@pytest.mark.parametrize("text", ["year=old", "open=maybe", "year>=new"])
def test_a_value_of_another_type_is_refused(text: str) -> None:
    """A value that does not fit its field is refused before anything is searched."""
    with pytest.raises(InvalidQuery):
        parse_filter(text, TYPES)


def test_metadata_by_its_look() -> None:
    """Values to store are numbers and booleans by their look; quotes make them text."""
    assert [parse_metadata(text) for text in ("year=2026", "open=true", 'zip="01234"', "lang=en")] == [
        ("year", 2026),
        ("open", True),
        ("zip", "01234"),
        ("lang", "en"),
    ]
    with pytest.raises(InvalidRequest, match="cannot be read"):
        parse_metadata("just words")
