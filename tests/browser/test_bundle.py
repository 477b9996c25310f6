"""The one file that is not ours is what its sources and its lock file make, byte for byte."""

import subprocess
from pathlib import Path

import pytest

from second_opinion.gateway.http.page import files
from tests.programs import needed

VENDOR = Path(files.__file__).parent / "vendor"


@pytest.fixture
def npm() -> str:
    """Node's package manager; users of the page need none."""
    return needed("npm", purpose="rebuilds the page's bundle", hint="the page's bundle cannot be built again here")


def test_the_bundle_is_built_again_and_is_the_same(npm: str, tmp_path: Path) -> None:
    """Bundle, licences and the module that names the bundle come out as they are committed."""
    subprocess.run([VENDOR / "build", tmp_path / "built"], check=True, timeout=150)
    for made in sorted((tmp_path / "built").rglob("*")):
        committed = files.STATIC / made.relative_to(tmp_path / "built")
        assert made.is_dir() or made.read_bytes() == committed.read_bytes(), committed.name
    assert {one.name for one in (tmp_path / "built/vendor").iterdir()} == {
        one.name for one in (files.STATIC / "vendor").iterdir()
    }


def test_the_lock_file_names_no_host() -> None:
    """Where packages come from is the builder's own choice."""
    lock = (VENDOR / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
