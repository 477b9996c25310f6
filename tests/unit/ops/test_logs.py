"""Reading logs while they are written."""

from itertools import islice
from pathlib import Path
from threading import Timer

from second_opinion.ops.logs import follow, last_lines, log_parts
from second_opinion.ops.state import StateFolder
from second_opinion.ops.supervisor import limit_log


def state_with_logs(folder: Path, **content: str) -> StateFolder:
    """Make a state folder with these logs."""
    state = StateFolder(folder)
    state.logs.mkdir()
    for part, text in content.items():
        state.log_file(part).write_text(text, encoding="utf-8")
    return state


def test_the_last_lines_of_a_long_log(tmp_path: Path) -> None:
    """Only the end is read, and exactly the lines asked for."""
    state = state_with_logs(tmp_path, redis="".join(f"line {n}\n" for n in range(10_000)))
    assert last_lines(state.log_file("redis"), 2) == ["line 9998", "line 9999"]
    assert last_lines(state.log_file("redis"), 0) == []
    assert last_lines(state.log_file("absent"), 5) == []


def test_bytes_that_are_no_text_do_not_stop_the_reader(tmp_path: Path) -> None:
    """A program may print anything."""
    state = state_with_logs(tmp_path)
    state.log_file("index").write_bytes(b"\xff\xfe broken\nfine\n")
    assert last_lines(state.log_file("index"), 5)[-1] == "fine"


def test_new_lines_are_followed_with_the_name_of_their_part(tmp_path: Path) -> None:
    """Only lines written after the start appear, also from a log that begins to exist later."""
    state = state_with_logs(tmp_path, redis="old\n")

    def write() -> None:
        with state.log_file("redis").open("a", encoding="utf-8") as log:
            log.write("new\nunfinished")
        state.log_file("index").write_text("first\n", encoding="utf-8")

    Timer(0.4, write).start()
    lines = set(islice(follow(state, ["index", "redis"]), 2))
    assert lines == {("redis", "new"), ("index", "first")}


def test_a_log_that_grew_too_long_is_moved_aside_and_goes_on(tmp_path: Path) -> None:
    """Writers append, so a log that is emptied under them keeps every later line and its former content."""
    state = state_with_logs(tmp_path)
    path = state.log_file("index")
    with path.open("a", encoding="utf-8") as writer:
        writer.write("before\n" * 100)
        writer.flush()
        limit_log(path, limit=10)
        writer.write("after\n")
    assert path.read_text(encoding="utf-8") == "after\n"
    assert path.with_suffix(".log.1").read_text(encoding="utf-8") == "before\n" * 100
    assert log_parts(state) == ["index"]
