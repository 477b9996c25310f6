"""Files that are written whole."""

from pathlib import Path

import pytest

from second_opinion.pipeline.whole_files import whole_file, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Writing leaves the new content and no draft."""
    path = tmp_path / "stack.json"
    write_whole(path, "one")
    write_whole(path, "two")
    assert path.read_text(encoding="utf-8") == "two"
    assert list(tmp_path.iterdir()) == [path]


def stop_halfway(path: Path) -> None:
    with whole_file(path) as draft:
        draft.write_text("half of it", encoding="utf-8")
        raise KeyboardInterrupt


def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    """The old content stays, and no draft lies beside it."""
    path = tmp_path / "model.safetensors"
    write_whole(path, "before")
    with pytest.raises(KeyboardInterrupt):
        stop_halfway(path)
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Whoever writes says in a sentence of its own what that means."""
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "gone" / "file.json", "{}")
