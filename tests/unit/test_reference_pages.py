"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from second_opinion.workers.settings import Settings

ROOT = Path(__file__).parents[2]


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs" / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands.md", "settings.md", "tasks.md", "errors.md"])
def test_page_is_current(name: str) -> None:
    """A page that is made from code is committed as the code makes it today: python docs/build_reference.py."""
    committed = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert committed == builder().PAGES[name]()


def test_every_setting_is_explained() -> None:
    """No setting goes without a sentence."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
