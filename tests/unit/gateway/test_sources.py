"""Reading documents from files, folders and JSON lines."""

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from second_opinion.gateway.sources import (
    Defaults,
    Unreadable,
    count_documents,
    find_files,
    read_files,
    read_lines,
    title_of,
)
from second_opinion.schemas.document import DocumentInput
from second_opinion.schemas.errors import InvalidRequest


def read(*paths: Path, defaults: Defaults | None = None) -> list[DocumentInput | Unreadable]:
    return list(read_files(find_files(paths).files, defaults or Defaults()))


def lines(*written: object, defaults: Defaults | None = None) -> list[DocumentInput | Unreadable]:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in written)
    return list(read_lines(io.BytesIO(text.encode("utf-8", "surrogatepass")), "corpus.jsonl", defaults or Defaults()))


def codes(found: list[DocumentInput | Unreadable]) -> list[str]:
    return [one.error.code if isinstance(one, Unreadable) else one.id for one in found]


def test_ids_are_paths_below_the_folder(tmp_path: Path) -> None:
    """A folder is read recursively and in order; hidden files and other kinds are left alone and counted."""
    for name in ("b.md", "a.txt", "deep/er/c.markdown", ".hidden.md", ".git/d.md", "picture.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Some words.", encoding="utf-8")
    found = find_files([tmp_path])
    assert [file.name for file in found.files] == ["a.txt", "b.md", "deep/er/c.markdown"]
    assert found.skipped == 1
    assert count_documents(found.files) == 3
    assert codes(read(tmp_path)) == ["a.txt", "b.md", "deep/er/c.markdown"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A link to a folder is not followed, so a circle of links is no trap."""
    (tmp_path / "a.txt").write_text("words", encoding="utf-8")
    (tmp_path / "circle").symlink_to(tmp_path)
    assert codes(read(tmp_path)) == ["a.txt"]


def test_two_files_with_one_id_are_told(tmp_path: Path) -> None:
    """A file never silently replaces another one of the same run."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.md").write_text(f"Notes of {folder}.", encoding="utf-8")
    found = read(tmp_path / "one", tmp_path / "two")
    assert codes(found) == ["notes.md", "invalid_request"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A misspelt path is told before anything is sent."""
    with pytest.raises(InvalidRequest, match="does not exist"):
        find_files([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", "empty_document"),
        ("blank.md", b" \n\t\n", "empty_document"),
        ("latin.txt", "Gr\u00f6\u00dfe".encode("latin-1"), "invalid_encoding"),
        ("scan.pdf", b"%PDF-1.7", "unsupported_media_type"),
    ],
)
def test_a_bad_file_is_told_by_name(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    """A file that gives no document says why, under its own name."""
    path = tmp_path / name
    path.write_bytes(content)
    (found,) = read(path)
    assert isinstance(found, Unreadable)
    assert found.name == name
    assert found.error.code == code
    assert found.error.hint


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marked_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    """UTF-8 with and without a mark, and UTF-16 with one, give the same text."""
    path = tmp_path / "note.txt"
    path.write_bytes("Grüße aus 東京 🍵".encode(encoding))
    (found,) = read(path)
    assert isinstance(found, DocumentInput)
    assert found.text == "Grüße aus 東京 🍵"


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    """A file that is too large is refused by its size, without being read."""
    path = tmp_path / "huge.txt"
    with path.open("wb") as stream:
        stream.truncate(40 * 1024 * 1024)
    assert codes(read(path)) == ["document_too_large"]


def test_an_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """A file that vanishes between listing and reading is one failure among documents."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("words", encoding="utf-8")
    found = find_files([tmp_path])
    os.unlink(tmp_path / "a.txt")  # noqa: PTH108 - what another program does meanwhile
    assert codes(list(read_files(found.files, Defaults()))) == ["invalid_request", "b.txt"]


@pytest.mark.parametrize(
    ("text", "media_type", "expected"),
    [
        ("# Refunds #\n\nText", "text/markdown", "Refunds"),
        ("Intro\n\n## Second level\n", "text/markdown", "Second level"),
        ("```\n# a comment\n```\n# Title\n", "text/markdown", "Title"),
        ("no heading at all", "text/markdown", "file"),
        ("\n\nOffice rules\nBe kind.", "text/plain", "Office rules"),
        ("This is a sentence that ends here.\nMore", "text/plain", "file"),
        ("x" * 300, "text/plain", "file"),
    ],
)
def test_titles(text: str, media_type: str, expected: str) -> None:
    """A title is the first heading, a short first line, or the file's name."""
    assert title_of(text, media_type=media_type, name="deep/file.md") == expected


def test_corpus_lines_are_documents() -> None:
    """An object with id, title and text is a document; defaults fill in and option values win."""
    defaults = Defaults(collection="team", metadata={"year": 2026})
    found = lines(
        {"id": "1", "title": "One", "text": "first", "collection": "other"},
        {"id": "2", "text": "second", "metadata": {"year": 1999, "lang": "en"}},
        defaults=defaults,
    )
    assert all(isinstance(one, DocumentInput) for one in found)
    first, second = (one for one in found if isinstance(one, DocumentInput))
    assert first.collection == "team"
    assert second.metadata == {"year": 2026, "lang": "en"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "1", "text": "x", "txt": "y"}', "unknown field"),
        ('{"id": "1", "text": "x"', "not JSON"),
        ("[1, 2]", "no object"),
        ("null", "no object"),
        ('{"text": "no id"}', "id"),
        ('{"id": "1"}', "exactly one of text and content"),
        ('{"id": "", "text": "x"}', "id"),
        ('{"id": "1", "text": "x", "metadata": {"a": {"b": 1}}}', "metadata"),
        ('{"id": "1", "text": "x", "collection": "Not Allowed"}', "collection"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_told_by_number(line: str, words: str) -> None:
    """A line that is no document is named by file and line, says what is wrong, and stops nothing."""
    bad, good = lines(line, "", {"id": "good", "text": "x"})[:2]
    assert isinstance(bad, Unreadable)
    assert bad.name == "corpus.jsonl:1"
    assert words in bad.error.message
    assert isinstance(good, DocumentInput)


def test_a_line_of_invalid_bytes_is_told() -> None:
    """Bytes that are no UTF-8 spoil their own line only."""
    found = list(read_lines(io.BytesIO(b'\xff{"id": "1"}\n{"id": "2", "text": "x"}'), "-", Defaults()))
    assert codes(found) == ["invalid_document", "2"]


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    """Whatever comes in, each line that is not blank gives one document or one reason."""
    found = list(read_lines(io.BytesIO(content), "stdin", Defaults()))
    assert len(found) == sum(bool(line.strip()) for line in content.split(b"\n"))
