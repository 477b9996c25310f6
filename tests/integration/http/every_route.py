"""Every route of the application, found by asking the application, and how to call each as somebody."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from fastapi import FastAPI

ORDER: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
WHOLE: Final = "/v1/collections/{collection}"


@dataclass(frozen=True)
class Call:
    """One method of one route.

    Attributes:
        scope: What it asks of a key; None when any key will do.
        operation: Its OpenAPI description; empty when it has none.
        schemas: The schemas that descriptions refer to.
    """

    method: str
    path: str
    scope: str | None
    operation: Mapping[str, Any]
    schemas: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> set[str]:
        """Names of what is said in path and query."""
        return {one["name"] for one in self.operation.get("parameters", ()) if one["in"] in {"path", "query"}}

    @property
    def _content(self) -> Mapping[str, Any]:
        content: Mapping[str, Any] = self.operation.get("requestBody", {}).get("content", {})
        return content

    def names(self, samples: Mapping[str, Any]) -> bool:
        """Whether the call, with the sample values in it, names something of the tenant whose they are."""
        theirs = {"collection", "job", "job_id", "document_id", "webhook_id", "delivery_id"} & samples.keys()
        body = self.body(samples).decode()
        return bool(self.parameters & theirs) or any(f'"{samples[name]}"' in body for name in theirs)

    async def by(self, caller: httpx.AsyncClient, samples: Mapping[str, Any]) -> httpx.Response:
        """Make the call with sample values in the place of every parameter and field of their names."""
        wanted = {one["name"] for one in self.operation.get("parameters", ()) if one["in"] == "query"}
        query = {name: samples[name] for name in sorted(wanted & samples.keys())}
        return await caller.request(
            self.method,
            self.path.replace(":path}", "}").format_map(_Values(samples, str(self))),
            params=query,
            content=self.body(samples),
            headers={"Content-Type": next(iter(self._content), "application/json")},
        )

    def body(self, samples: Mapping[str, Any]) -> bytes:
        """Return the body of the route's own example, with the sample values in it."""
        for described in self._content.values():
            examples = described.get("examples") or {"only": {"value": described.get("example")}}
            value = next(iter(examples.values()))["value"]
            if value is None:
                value = _from_schema(described["schema"], self.schemas)
            return _as_bytes(value, samples)
        return b""


class _Values(dict[str, Any]):
    """Path parameters; one that nobody has given a sample of is named, so that it is not forgotten."""

    def __init__(self, samples: Mapping[str, Any], call: str) -> None:
        super().__init__(samples)
        self._call = call

    def __missing__(self, name: str) -> str:
        raise AssertionError(f"{self._call} has a path parameter {name!r} without a sample value: add one to SAMPLES")


def calls_of(app: FastAPI) -> list[Call]:
    """Return every method of every route, what only reads first, what takes everything else with it last."""
    described = app.openapi()
    paths, schemas = described["paths"], described["components"]["schemas"]
    found = [
        Call(method, path, _scope(route), paths.get(path.replace(":path}", "}"), {}).get(method.lower(), {}), schemas)
        for path, route in _routes(app.routes)
        for method in sorted(set(route.methods) - {"HEAD"})
    ]
    return sorted(
        found, key=lambda call: (ORDER.index(call.method), call.path == WHOLE, -call.path.count("/"), call.path)
    )


def _routes(routes: Any) -> Iterator[tuple[str, Any]]:
    for route in routes:
        if getattr(route, "methods", None):
            yield route.path, route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router.routes)
        else:
            raise AssertionError(f"a kind of route that this test does not know: {route!r}")


def _scope(route: Any) -> str | None:
    """Return the scope that a route's dependencies ask for; the strictest of several."""
    waiting = [getattr(route, "dependant", None)]
    scopes = set()
    while waiting:
        dependant = waiting.pop()
        if dependant is not None:
            scopes.add(getattr(dependant.call, "scope", None))
            waiting += dependant.dependencies
    found = sorted(scopes - {None})
    assert len(found) <= 1, (route.path, found)
    return found[0] if found else None


def _as_bytes(value: Any, samples: Mapping[str, Any]) -> bytes:
    if isinstance(value, str):
        return b"".join(json.dumps(_with(json.loads(line), samples)).encode() + b"\n" for line in value.splitlines())
    return json.dumps(_with(value, samples)).encode()


def _with(value: Any, samples: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: samples[name] if name in samples else _with(one, samples) for name, one in value.items()}
    return [_with(one, samples) for one in value] if isinstance(value, list) else value


def _from_schema(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Any:
    """Return the smallest value of a schema that has examples where they are needed."""
    if "$ref" in schema:
        return _from_schema(named[schema["$ref"].rpartition("/")[2]], named)
    if "examples" in schema or "default" in schema:
        return schema["examples"][0] if "examples" in schema else schema["default"]
    if schema.get("type") == "object":
        wanted = schema.get("required", ())
        return {name: _from_schema(one, named) for name, one in schema["properties"].items() if name in wanted}
    if schema.get("type") == "array":
        return [_from_schema(schema["items"], named)]
    raise AssertionError(f"a body without an example cannot be called by this test, nor tried by a reader: {schema}")
