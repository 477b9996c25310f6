"""Haystack's filters as ours: comparisons, and several of them joined by AND."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from second_opinion.schemas.errors import InvalidQuery

_BOUNDS: Final = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_HINT: Final = "Use ==, in, >, >=, < and <=, joined by AND; for other questions ask several times."


def as_filters(given: Sequence[Any] | dict[str, Any] | None) -> tuple[Any, ...]:
    """Return filters as a query takes them.

    Args:
        given: Ours as a list, or one of Haystack's: `{"field": "meta.year", "operator": ">=", "value": 2020}`, or
            `{"operator": "AND", "conditions": [...]}`. Fields are the documents' own metadata.

    Raises:
        InvalidQuery: If a filter is none that can be asked, such as OR and NOT.
    """
    if isinstance(given, dict):
        return tuple(_flattened(given))
    return tuple(given or ())


def _flattened(condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "conditions" in condition:
        if str(condition.get("operator")).upper() != "AND":
            raise InvalidQuery(f"filters cannot be joined by {condition.get('operator')}", hint=_HINT)
        for one in condition["conditions"]:
            yield from _flattened(one)
        return
    if not {"field", "operator", "value"} <= condition.keys():
        raise InvalidQuery(f"a filter needs field, operator and value; it has {', '.join(condition)}", hint=_HINT)
    yield _comparison(str(condition["field"]).removeprefix("meta."), condition["operator"], condition["value"])


def _comparison(field: str, operator: str, value: Any) -> dict[str, Any]:
    if operator == "==" and value is None:
        return {"op": "exists", "field": field, "exists": False}
    if operator == "!=" and value is None:
        return {"op": "exists", "field": field}
    if operator in {"==", "in"}:
        return {"op": "term", "field": field, "values": list(value) if operator == "in" else [value]}
    if operator in _BOUNDS:
        return {"op": "range", "field": field, _BOUNDS[operator]: value}
    raise InvalidQuery(f"filters have no operator {operator!r}", hint=_HINT)
