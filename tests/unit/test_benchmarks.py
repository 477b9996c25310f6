"""Benchmarks are run rarely; what they import from the product has to be there all the same."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


def imports_of(script: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of all that a script takes from the product."""
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("second_opinion"):
            yield from ((str(node.module), one.name) for one in node.names)


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_what_a_benchmark_imports_exists(script: Path) -> None:
    """A name that moved breaks a unit test, not the next measurement."""
    missing = []
    for module, name in imports_of(script):
        found = importlib.import_module(module)
        if not hasattr(found, name) and importlib.util.find_spec(f"{module}.{name}") is None:
            missing.append(f"{module}.{name}")
    assert not missing
