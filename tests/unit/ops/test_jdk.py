"""Which JDK is taken, from folders that look like JDKs."""

from pathlib import Path

import pytest

from second_opinion.ops.jdk import NEWEST_VERSION, find_jdk, read_jdk
from second_opinion.schemas.errors import JavaMissing


def jdk_folder(parent: Path, version: str, *, compiler: bool = True) -> Path:
    """Make a folder that has what a JDK of `version` has."""
    home = parent / f"jdk-{version}"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch()
    if compiler:
        (home / "bin" / "javac").touch()
    (home / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n', encoding="utf-8")
    return home


@pytest.mark.parametrize(("version", "feature"), [("17.0.15", 17), ("21", 21), ("25.0.3", 25), ("1.8.0_392", 8)])
def test_the_feature_version_is_read_from_the_release_file(tmp_path: Path, version: str, feature: int) -> None:
    """Both forms of version, today's and that of Java 8, give the number that counts."""
    found = read_jdk(jdk_folder(tmp_path, version))
    assert found is not None
    assert found.version == feature


def test_the_newest_that_elasticsearch_runs_on_is_taken(tmp_path: Path) -> None:
    """Too old and too new ones are passed over, whatever their order."""
    homes = [jdk_folder(tmp_path, version) for version in ("11.0.2", "17.0.1", "21.0.4", str(NEWEST_VERSION + 1))]
    assert find_jdk(usual=homes).version == 21


def test_a_named_home_wins_over_newer_ones(tmp_path: Path) -> None:
    """What the user points to is used if it fits at all."""
    named = jdk_folder(tmp_path, "17.0.1")
    newer = jdk_folder(tmp_path, "21.0.4")
    assert find_jdk([named], usual=[newer]).home == named.resolve()


def test_a_named_home_that_does_not_fit_gives_way(tmp_path: Path) -> None:
    """JAVA_HOME is often that of an old project; the stack then starts on a JDK that fits."""
    assert find_jdk([jdk_folder(tmp_path, "11.0.2")], usual=[jdk_folder(tmp_path, "21.0.4")]).version == 21


def test_a_runtime_without_a_compiler_does_not_count(tmp_path: Path) -> None:
    """The analyzer has to be compiled, so a JRE does not do."""
    assert read_jdk(jdk_folder(tmp_path, "21.0.4", compiler=False)) is None


def test_the_error_tells_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    """Somebody with the wrong Java sees which one was found, where, and how to get another."""
    old = jdk_folder(tmp_path, "11.0.2")
    with pytest.raises(JavaMissing, match=f"found only version 11 in {old.resolve()}") as caught:
        find_jdk([tmp_path / "absent"], usual=[old])
    assert "ES_JAVA_HOME" in caught.value.hint


def test_no_java_at_all_is_said(tmp_path: Path) -> None:
    """A machine without Java gets a sentence, not a traceback."""
    with pytest.raises(JavaMissing, match="none was found"):
        find_jdk(usual=[tmp_path])
