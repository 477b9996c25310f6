"""Bytes to text: encodings, and errors that say which byte."""

import codecs

import pytest

from second_opinion.pipeline.extraction import Extractors, PlainTextExtractor
from second_opinion.schemas.errors import InvalidEncoding, NoTextFound, UnsupportedMediaType

TEXT = "Dosis für Kinder: 5 mg/kg 👶 مرحبا"
PLAIN = Extractors([PlainTextExtractor()])


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_text_is_read_by_its_byte_order_mark(mark: bytes, encoding: str) -> None:
    """UTF-8 without a mark, and every Unicode encoding with one, give the text without the mark."""
    assert PLAIN.extract(mark + TEXT.encode(encoding), media_type="text/markdown") == TEXT


def test_a_named_charset_is_used() -> None:
    """The media type may name the charset, in any spelling of the type."""
    assert PLAIN.extract("für".encode("latin-1"), media_type='Text/Plain; charset="ISO-8859-1"') == "für"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"abc\xffdef", "byte 3 (0xff)"),
        (codecs.BOM_UTF8 + b"ab\xc3(", "byte 5 (0xc3)"),
        (codecs.BOM_UTF16_LE + b"a\x00\x00\xd8", "byte 4 (0x00)"),
        ("Dose".encode("utf-16-le"), "UTF-16 without a byte order mark"),
    ],
)
def test_broken_bytes_are_named(content: bytes, sentence: str) -> None:
    """The error says at which byte the text ends to be text, counted in the file, and what to do."""
    with pytest.raises(InvalidEncoding) as refused:
        PLAIN.extract(content, media_type="text/plain")
    assert sentence in refused.value.message
    assert refused.value.hint


def test_an_unknown_charset_is_an_encoding_error() -> None:
    """A charset that does not exist is told by name."""
    with pytest.raises(InvalidEncoding, match="klingon"):
        PLAIN.extract(b"abc", media_type="text/plain; charset=klingon")


@pytest.mark.parametrize("content", [b"", b" \n\t", codecs.BOM_UTF8, b"\x00 "])
def test_a_file_without_text_says_so(content: bytes) -> None:
    """An empty file is not an empty text."""
    with pytest.raises((NoTextFound, InvalidEncoding)) as refused:
        PLAIN.extract(content, media_type="text/plain")
    assert refused.value.hint


def test_other_kinds_of_files_are_told_which_are_read() -> None:
    """A media type without an extractor is an error that lists the known ones."""
    with pytest.raises(UnsupportedMediaType, match="text/markdown, text/plain"):
        PLAIN.extract(b"%PDF", media_type="application/pdf")


def test_the_registry_is_open() -> None:
    """An extractor of another kind of file is found by its media type, and may replace an earlier one."""

    class Shouting:
        media_types = frozenset({"text/plain", "application/x-shout"})

        def extract(self, content: bytes, *, media_type: str) -> str:
            return content.decode().upper() + media_type

    registry = Extractors([PlainTextExtractor(), Shouting()])
    assert registry.extract(b"dose", media_type="application/x-shout") == "DOSEapplication/x-shout"
    assert registry.extract(b"dose", media_type="text/plain") == "DOSEtext/plain"
    assert registry.extract(b"dose", media_type="text/markdown") == "dose"
