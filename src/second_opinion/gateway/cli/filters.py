"""Filters as they are typed: `year>=2020`, `lang=en,de`, `has:doi`, `missing:doi`."""

import re
from collections.abc import Mapping
from typing import Any, Final

from second_opinion.schemas.base import parse_request
from second_opinion.schemas.errors import InvalidQuery, InvalidRequest
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter

FORMS: Final = "Write FIELD=VALUE, FIELD=A,B, FIELD>=VALUE, FIELD<VALUE, has:FIELD or missing:FIELD."

_COMPARISON: Final = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_-]*)\s*(>=|<=|=|>|<)\s*(.*?)\s*$", re.DOTALL)
_PRESENCE: Final = re.compile(r"^\s*(has|missing):\s*([A-Za-z_][A-Za-z0-9_-]*)\s*$")
_BOUNDS: Final = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}


def parse_filter(text: str, types: Mapping[str, str]) -> Filter:
    """Read one filter.

    Args:
        text: As it was typed.
        types: The collection's metadata fields and their types: keyword, double or boolean. They decide whether `2020`
            is a number or a word; for a field that is not there, its look does.

    Raises:
        InvalidQuery: If it has none of the forms, or a value that does not fit its field.
    """
    presence = _PRESENCE.match(text)
    if presence is not None:
        return parse_request(ExistsFilter, {"field": presence.group(2), "exists": presence.group(1) == "has"})
    comparison = _COMPARISON.match(text)
    if comparison is None:
        raise InvalidQuery(f"the filter {text!r} cannot be read", hint=FORMS)
    name, operator, value = comparison.groups()
    if not value:
        raise InvalidQuery(f"the filter {text!r} has no value", hint=FORMS)
    kind = types.get(name)
    if operator == "=":
        return parse_request(
            TermFilter, {"field": name, "values": [_value(part, kind, name) for part in _parts(value)]}
        )
    return parse_request(RangeFilter, {"field": name, _BOUNDS[operator]: _value(value, kind, name)})


def parse_metadata(text: str) -> tuple[str, Any]:
    """Read one `FIELD=VALUE` to be stored with documents; numbers and true or false by their look, quoted ones as text.

    Raises:
        InvalidRequest: If it has another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidRequest(f"the metadata {text!r} cannot be read", hint="Write FIELD=VALUE.")
    return name.strip(), _value(value.strip(), None, name)


def _parts(value: str) -> list[str]:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return [value]
    return [part.strip() for part in value.split(",") if part.strip()]


def _value(text: str, kind: str | None, name: str) -> bool | float | int | str:
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    bare = text[1:-1] if quoted else text
    if kind == "keyword" or quoted:
        return bare
    if kind == "boolean" or (kind is None and bare.lower() in {"true", "false"}):
        if bare.lower() not in _BOOLEANS:
            raise InvalidQuery(f"{name!r} is true or false, not {bare!r}", hint=f"Write {name}=true or {name}=false.")
        return _BOOLEANS[bare.lower()]
    number = _number(bare)
    if number is None and kind == "double":
        raise InvalidQuery(f"{name!r} is a number, not {bare!r}", hint=f"Write a number, such as {name}>=10.")
    return bare if number is None else number


def _number(text: str) -> float | int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if number != number or number in {float("inf"), float("-inf")} or "_" in text:  # noqa: PLR0124 - not a number
        return None
    return int(number) if re.fullmatch(r"[+-]?\d{1,15}", text) else number
