"""Chunks: exact offsets, headings as context, sizes that the models read whole, on any text."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from second_opinion.models import model_folder
from second_opinion.pipeline.chunking import BLOCK_CHARACTERS, CHARACTERS_PER_TOKEN, SectionChunker, open_chunker
from second_opinion.pipeline.sections import markdown_sections
from second_opinion.schemas.chunk import Chunk, passage_text
from second_opinion.schemas.errors import DeadlineExceeded, EmptyDocument, ModelUnusable

MAX_TOKENS = 48
TOKENIZER = Tokenizer.from_file(str(model_folder("bundled", "embedder") / "tokenizer.json"))
TOKENIZER.no_truncation()
TOKENIZER.no_padding()
CHUNKER = SectionChunker(TOKENIZER, max_tokens=MAX_TOKENS)

LEAFLET = """# Ibuprofen for children

What this leaflet is about.

## Dosage

### By weight

Give 5 to 10 mg per kg.

```
# no heading, but code
```

Storage
-------

Keep it dry.

## Contact
"""


def chunks_of(text: str, *, media_type: str = "text/markdown", title: str = "") -> list[Chunk]:
    """Return the chunks of a text, whose offsets have to be exact and in order."""
    chunks = CHUNKER.chunk(text, media_type=media_type, title=title)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert all(first.start < second.start for first, second in pairwise(chunks))
    return chunks


def tokens(chunk: Chunk, title: str = "") -> int:
    """Return how many tokens the models read of a chunk, special ones left out."""
    return len(TOKENIZER.encode(passage_text(title, chunk.headings, chunk.text), add_special_tokens=False).ids)


def test_chunks_carry_the_headings_they_stand_under() -> None:
    """Each chunk has its path of headings, without the title; code is no heading; a bare heading is a chunk of text."""
    found = [(chunk.headings, chunk.text) for chunk in chunks_of(LEAFLET, title="Ibuprofen for Children")]
    assert found == [
        ((), "What this leaflet is about."),
        (("Dosage", "By weight"), "Give 5 to 10 mg per kg.\n\n```\n# no heading, but code\n```"),
        (("Storage",), "Keep it dry."),
        ((), "## Contact"),
    ]


def test_without_a_title_the_first_heading_stays() -> None:
    """The outermost heading is only left out where the title says the same."""
    assert chunks_of(LEAFLET)[1].headings == ("Ibuprofen for children", "Dosage", "By weight")


def test_plain_text_has_no_headings() -> None:
    """What looks like a heading in plain text is text."""
    (chunk,) = chunks_of("# Not a heading\n\nText.", media_type="text/plain")
    assert (chunk.headings, chunk.text) == ((), "# Not a heading\n\nText.")


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# One #\ntext", [(), ("One",)]),
        ("#no space\ntext", [()]),
        ("One\n===\ntext\n\nTwo\n---\ntext", [(), ("One",), ("One", "Two")]),
        ("two lines\nof text\n---\nmore", [()]),
        ("- item\n---\ntext", [()]),
        ("> # quoted\n\ntext", [()]),
        ("~~~\n# code\n~~~\n# Real\ntext", [(), ("Real",)]),
        ("```\n# never closed", [()]),
        ("---\ntitle: x\n---\n# Real\ntext", [(), ("Real",)]),
        ("### Deep\n# Top\n## Sub\ntext", [(), ("Deep",), ("Top",), ("Top", "Sub")]),
        ("# **Bold** [link](http://x) `code`\ntext", [(), ("Bold link code",)]),
        ("#\ntext", [(), ()]),
    ],
)
def test_sections_begin_at_headings(text: str, headings: list[tuple[str, ...]]) -> None:
    """ATX and setext headings open sections; code, quotes, lists, rules and front matter do not."""
    assert [section.headings for section in markdown_sections(text)] == headings


@given(st.text(alphabet="# =-`~>\n\r\tabé漢👩\u200d\u0301", max_size=200))
def test_sections_cover_the_text(text: str) -> None:
    """Headings and bodies of all sections, joined, are the text."""
    sections = markdown_sections(text)
    assert "".join(text[one.opening : one.end] for one in sections) == text
    assert all(one.opening <= one.start <= one.end for one in sections)


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=2_000) | st.text(alphabet="# \n.ab漢é\u0301👩\u200d🏽\x00\u202e", max_size=2_000),
    st.sampled_from(["text/plain", "text/markdown"]),
)
def test_any_text_gives_whole_chunks(text: str, media_type: str) -> None:
    """Any text is cut into exact, ordered, non-empty chunks of bounded size, or is empty and says so."""
    try:
        chunks = chunks_of(text, media_type=media_type)
    except EmptyDocument:
        assert not any(character.isalnum() for character in text)
        return
    for chunk in chunks:
        assert chunk.text.replace("\x00", "").strip()
        assert len(chunk.text) <= MAX_TOKENS * CHARACTERS_PER_TOKEN
        assert tokens(chunk) <= MAX_TOKENS


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown"])
def test_no_word_is_lost(media_type: str) -> None:
    """Every word of a long text is in a chunk, in order, with or without paragraphs."""
    words = [f"word{number}" for number in range(3_000)]
    text = "\n\n".join(" ".join(words[start : start + 70]) for start in range(0, 3_000, 70))
    for body in (text, text.replace("\n\n", " ")):
        found = [word for chunk in chunks_of(body, media_type=media_type) for word in chunk.text.split()]
        assert found == words


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00\x00", "\u3000\n", " \x00 \n"])
def test_nothing_to_read_is_an_empty_document(text: str) -> None:
    """White space and NUL alone are an error with a code, not zero chunks."""
    with pytest.raises(EmptyDocument):
        chunks_of(text)


def test_only_headings_are_chunks_of_their_own() -> None:
    """A document of headings only is searchable by them."""
    found = [(chunk.headings, chunk.text) for chunk in chunks_of("# One\n## Two\n## Three\n")]
    assert found == [(("One",), "## Two"), (("One",), "## Three")]


@pytest.mark.parametrize("character", ["a", "漢", "👶", "é", "a\u0301", "👩\u200d👧", "🏴\u200d☠\ufe0f"])
def test_an_endless_word_is_cut_into_bounded_pieces(character: str) -> None:
    """A word of 100,000 characters becomes bounded chunks, cut between signs, with nothing lost."""
    text = (character * 100_000)[:100_000]
    chunks = chunks_of(text, media_type="text/plain")
    assert max(len(chunk.text) for chunk in chunks) <= MAX_TOKENS * CHARACTERS_PER_TOKEN
    assert "".join(chunk.text for chunk in chunks) == text
    assert not any(chunk.text.startswith(("\u0301", "\u200d", "\ufe0f")) for chunk in chunks)


def test_right_to_left_and_nul_stay_as_they_are() -> None:
    """Arabic, Hebrew, direction marks and NUL bytes inside a text are kept, and offsets count characters."""
    text = "الجرعة للأطفال \u202e שלום \x00 dose 👶🏽 end"
    (chunk,) = chunks_of(text)
    assert (chunk.text, chunk.start, chunk.end) == (text, 0, len(text))


@pytest.mark.parametrize("title", ["", "Ibuprofen", "a very long title " * 60, "漢" * 1_024])
def test_context_leaves_room_for_the_text(title: str) -> None:
    """Title and headings never take more than half of a chunk; what cannot be shortened is told as truncated."""
    heading = "## " + "a heading of many words " * 20 + "\n\n"
    text = "# Top\n\n" + heading + "The dose depends on the weight of the child. " * 30
    for chunk in chunks_of(text, title=title):
        own = len(TOKENIZER.encode(chunk.text, add_special_tokens=False).ids)
        assert own <= MAX_TOKENS
        assert tokens(chunk, title) <= MAX_TOKENS or chunk.truncated
    assert len(chunks_of(text, title=title)) < 40


def test_chunks_may_overlap() -> None:
    """With an overlap, a chunk begins before the one in front of it ends."""
    chunker = SectionChunker(TOKENIZER, max_tokens=MAX_TOKENS, overlap=16)
    text = " ".join(f"Sentence {number} is short." for number in range(100))
    chunks = chunker.chunk(text, media_type="text/plain", title="")
    assert all(second.start < first.end for first, second in pairwise(chunks))
    assert chunker.name != CHUNKER.name


def test_the_guard_is_asked_while_chunking() -> None:
    """A long text can be given up in the middle."""
    calls = []

    def guard() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise DeadlineExceeded("enough")

    with pytest.raises(DeadlineExceeded):
        CHUNKER.chunk("word " * BLOCK_CHARACTERS, media_type="text/plain", title="", guard=guard)
    assert len(calls) == 3


def test_a_folder_without_a_tokenizer_is_told() -> None:
    """A model setting that leads nowhere names the file that is missing."""
    with pytest.raises(ModelUnusable, match=r"/nowhere/tokenizer\.json"):
        open_chunker("/nowhere")
