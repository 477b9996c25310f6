"""Fetching Elasticsearch when Maven is missing, fails, or brings something else. Maven here is a script."""

from pathlib import Path

import pytest

from second_opinion.ops.distribution import VERSION, find_distribution, install_distribution
from second_opinion.ops.jdk import Jdk
from second_opinion.schemas.errors import DistributionUnavailable

JDK = Jdk(home=Path("/opt/jdk"), version=21)


def put_maven(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make `script` the only `mvn` there is."""
    folder.mkdir()
    maven = folder / "mvn"
    maven.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def install(folder: Path) -> None:
    """Try to install into a folder of its own."""
    install_distribution(folder / "programs", JDK, lambda _message: None)


def test_missing_maven_is_said_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer without Maven is told so in a sentence."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DistributionUnavailable, match="is not installed") as caught:
        install(tmp_path)
    assert "maven" in caught.value.hint


def test_the_first_error_of_maven_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network Maven's own reason is told, not its whole output."""
    put_maven(tmp_path / "bin", monkeypatch, 'echo noise; echo "[ERROR] Unknown host"; echo "[ERROR] more"; exit 1')
    with pytest.raises(DistributionUnavailable, match="Unknown host") as caught:
        install(tmp_path)
    assert "more" not in caught.value.message
    assert "network" in caught.value.hint


def test_a_file_that_is_not_the_expected_one_is_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs here is checked against the hash in the source."""
    script = (
        'for word; do case $word in -DoutputDirectory=*) cd "${word#*=}";; esac; done\n'
        f"echo x > elasticsearch-{VERSION}.zip"
    )
    put_maven(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(DistributionUnavailable, match="not the file that was expected"):
        install(tmp_path)
    assert find_distribution(tmp_path / "programs") is None


def test_remains_of_an_interrupted_installation_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-unpacked folder is neither used nor kept."""
    half = tmp_path / "programs" / ".unfinished-abc" / f"elasticsearch-{VERSION}"
    half.mkdir(parents=True)
    assert find_distribution(tmp_path / "programs") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DistributionUnavailable):
        install(tmp_path)
    assert not half.exists()
