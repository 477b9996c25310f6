"""What `opinion train` says before it trains anything."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tests.unit.gateway.conftest import MemorySystem


@pytest.mark.parametrize(("module", "extra"), [("sklearn", "evaluation"), ("bm25s", "training")])
def test_the_extra_that_is_missing_is_named(
    system: MemorySystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    """A package that training needs is not installed: the hint installs the extra which brings it."""
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == module else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    told = system.opinion("train", str(tmp_path), "--into", str(tmp_path / "reranker"))
    assert told.exit_code == 4
    assert f'hint: Install it: pip install "second-opinion[{extra}]"' in told.stderr
