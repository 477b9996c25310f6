"""Filters: whether they fit a collection's fields, and whether a document's metadata passes them.

Elasticsearch filters when it searches. The same rules stand here in Python, to refuse a filter that can never match, to
explain later why a document was left out, and for the in-memory index.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from second_opinion.schemas.document import Metadata, MetadataScalar
from second_opinion.schemas.errors import FilterTypeMismatch, UnknownFilterField
from second_opinion.schemas.query import ExistsFilter, Filter, FilterScalar, RangeFilter, TermFilter

_WORDS: Final = {"keyword": "text", "double": "numbers", "boolean": "true or false"}
_SHOWN_FIELDS: Final = 20


def check_filters(filters: Sequence[Filter], field_types: Mapping[str, str], *, collection: str) -> None:
    """Make sure that every filter names a field of the collection and compares it with values of its type.

    Args:
        filters: What a query asks for.
        field_types: The collection's metadata fields: keyword, double or boolean.
        collection: Named in the errors.

    Raises:
        UnknownFilterField: If no document of the collection has such a field; the known ones are listed.
        FilterTypeMismatch: If a field is compared with values of another type.
    """
    for one in filters:
        kind = field_types.get(one.field)
        if kind is None:
            raise UnknownFilterField(
                f"no document of {collection!r} has a metadata field {one.field!r}", hint=_known(field_types)
            )
        if isinstance(one, RangeFilter) and kind == "boolean":
            raise FilterTypeMismatch(
                f"{one.field!r} is true or false, which has no range", hint="Use a term filter with true or false."
            )
        if any(_kind_of(value) != kind for value in _operands(one)):
            raise FilterTypeMismatch(
                f"{one.field!r} holds {_WORDS[kind]}, but the filter compares it with something else",
                hint=f"Give {_WORDS[kind]} in filters on {one.field!r}.",
            )


def matches(filters: Iterable[Filter], metadata: Metadata) -> bool:
    """Return True when metadata passes every filter; a field with several values passes with one of them."""
    return first_failing(filters, metadata) is None


def first_failing(filters: Iterable[Filter], metadata: Metadata) -> Filter | None:
    """Return the first filter that metadata does not pass, or None."""
    return next((one for one in filters if not _passes(one, metadata)), None)


def describe(one: Filter) -> str:
    """Return a filter as a person would write it, such as `year >= 2020`."""
    match one:
        case TermFilter(field=field, values=values):
            return f"{field} = {' or '.join(_plain(value) for value in values)}"
        case RangeFilter(field=field):
            bounds = (">", one.gt), (">=", one.gte), ("<", one.lt), ("<=", one.lte)
            return " and ".join(f"{field} {sign} {_plain(bound)}" for sign, bound in bounds if bound is not None)
        case ExistsFilter(field=field, exists=exists):
            return f"has {field}" if exists else f"has no {field}"


def _passes(one: Filter, metadata: Metadata) -> bool:
    values = _values(metadata, one.field)
    match one:
        case ExistsFilter(exists=exists):
            return bool(values) is exists
        case TermFilter(values=wanted):
            keys = {(_kind_of(value), value) for value in wanted}
            return any((_kind_of(value), value) in keys for value in values)
        case RangeFilter():
            return any(_within(one, value) for value in values)


def _within(one: RangeFilter, value: MetadataScalar) -> bool:
    if isinstance(value, bool):
        return False
    # Strings compare by their UTF-8 bytes, as Lucene's terms do.
    place = _sortable(value)
    if any(bound is not None and _kind_of(bound) != _kind_of(value) for bound in (one.gt, one.gte, one.lt, one.lte)):
        return False
    return (
        (one.gt is None or place > _sortable(one.gt))
        and (one.gte is None or place >= _sortable(one.gte))
        and (one.lt is None or place < _sortable(one.lt))
        and (one.lte is None or place <= _sortable(one.lte))
    )


def _sortable(value: float | str) -> tuple[float, bytes]:
    return (0.0, value.encode()) if isinstance(value, str) else (float(value), b"")


def _values(metadata: Metadata, field: str) -> list[MetadataScalar]:
    found = metadata.get(field)
    if found is None:
        return []
    return list(found) if isinstance(found, list) else [found]


def _operands(one: Filter) -> list[FilterScalar]:
    match one:
        case TermFilter(values=values):
            return list(values)
        case RangeFilter():
            return [bound for bound in (one.gt, one.gte, one.lt, one.lte) if bound is not None]
        case ExistsFilter():
            return []


def _kind_of(value: FilterScalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "keyword" if isinstance(value, str) else "double"


def _known(field_types: Mapping[str, str]) -> str:
    if not field_types:
        return "The collection's documents have no metadata; leave the filter out."
    names = sorted(field_types)
    shown = ", ".join(names[:_SHOWN_FIELDS])
    more = f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else ""
    return f"Filter on one of: {shown}{more}."


def _plain(value: FilterScalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
