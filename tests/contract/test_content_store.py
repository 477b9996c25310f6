"""What every store of contents does: the double and Elasticsearch."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchContents, IndexNames
from second_opinion.pipeline.ports import ContentStore
from second_opinion.schemas.document import ContentRecord, DocumentRef, ExtractedText
from second_opinion.testing.documents import MemoryContents

NOW = 1_700_000_000.0


@dataclass
class Kept:
    """A store, and a way to make its listings current."""

    contents: ContentStore
    settle: Callable[[], object]


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Kept:
    """A store of either kind."""
    if request.param == "double":
        return Kept(MemoryContents(), lambda: None)
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return Kept(
        ElasticsearchContents(connection, names),
        lambda: connection.writes.indices.refresh(index=names.contents, ignore_unavailable=True),
    )


def a_content(target: str = "g1", **fields: object) -> ContentRecord:
    """Return what was sent for one operation."""
    told = {"key": "k1", "target": target, "collection": "default", "document_id": "d", "written_at": NOW}
    return ContentRecord.model_validate({**told, **fields})


def test_text_and_bytes_come_back_exactly(kept: Kept) -> None:
    """Text with NUL, right-to-left and emoji, and bytes of every value, are read back as they were."""
    text = "a\x00b مرحبا 👩‍👧 \u2028 \r\n"
    every_byte = bytes(range(256))
    written = [
        a_content("g1", text=text, title="T", metadata={"year": 2_020, "tags": ["a", "b"], "draft": False}),
        a_content("g2", content=base64.b64encode(every_byte)),
    ]
    kept.contents.create(written)
    found = kept.contents.get([one.ref for one in written])
    assert found == {one.ref: one for one in written}
    assert found[written[1].ref].content == every_byte


def test_contents_are_written_once(kept: Kept) -> None:
    """A second write under the same operation leaves the first one as it is."""
    kept.contents.create([a_content(text="first")])
    kept.contents.create([a_content(text="second"), a_content("g2", text="other")])
    found = kept.contents.get([DocumentRef(key="k1", target="g1"), DocumentRef(key="k1", target="g2")])
    assert sorted(one.text or "" for one in found.values()) == ["first", "other"]


def test_extracted_text_lives_beside_its_bytes(kept: Kept) -> None:
    """Text extracted from an operation's bytes is written once and read apart from them."""
    content = a_content(content=base64.b64encode(b"bytes"))
    kept.contents.create([content])
    for text in ("first", "second"):
        extracted = ExtractedText(key="k1", target="g1", text=text, media_type="text/plain", written_at=NOW)
        kept.contents.create_text(extracted)
    assert kept.contents.get_texts([content.ref])[content.ref].text == "first"
    assert kept.contents.get([content.ref])[content.ref].content == b"bytes"


def test_nothing_is_found_in_an_empty_store(kept: Kept) -> None:
    """Missing operations are left out, and removing them is no error."""
    ref = DocumentRef(key="k1", target="g1")
    assert kept.contents.get([ref]) == {}
    assert kept.contents.get_texts([ref]) == {}
    assert kept.contents.older_than(NOW, limit=10) == []
    kept.contents.delete([ref])
    assert kept.contents.get([ref]) == {}


def test_removal_takes_bytes_and_text(kept: Kept) -> None:
    """Removing an operation removes what was sent and what was extracted, and nothing of others."""
    kept.contents.create([a_content("g1", text="a"), a_content("g2", text="b")])
    gone, stays = DocumentRef(key="k1", target="g1"), DocumentRef(key="k1", target="g2")
    kept.contents.create_text(ExtractedText(key="k1", target="g1", text="a", media_type="text/plain", written_at=NOW))
    kept.contents.delete([gone])
    assert set(kept.contents.get([gone, stays])) == {stays}
    assert kept.contents.get_texts([gone]) == {}


def test_old_contents_are_paged_through(kept: Kept) -> None:
    """Everything written before a moment is listed once, in pages, bytes and extracted texts alike."""
    kept.contents.create([a_content(f"g{number}", text="t", written_at=NOW + number) for number in range(5)])
    kept.contents.create_text(ExtractedText(key="k1", target="g0", text="t", media_type="text/plain", written_at=NOW))
    kept.settle()
    first = kept.contents.older_than(NOW + 3, limit=2)
    second = kept.contents.older_than(NOW + 3, limit=10, after=first[-1][0])
    assert [ref.target for _, ref in (*first, *second)] == ["g0", "g0", "g1", "g2"]
    assert len({name for name, _ in (*first, *second)}) == 4
