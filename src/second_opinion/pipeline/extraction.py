"""Turn the bytes of a file into text: a registry of extractors by media type.

Plain text and Markdown today. PDF, DOCX and HTML enter by registering an `Extractor` of their own.
"""

import codecs
from collections.abc import Sequence
from typing import Final

from second_opinion.pipeline.ports import Extractor
from second_opinion.schemas.errors import InvalidEncoding, NoTextFound, UnsupportedMediaType

BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SUSPICIOUS_NULS: Final = 0.2


class Extractors:
    """The extractors there are, by media type.

    Args:
        extractors: A later one replaces an earlier one of the same media type.
    """

    def __init__(self, extractors: Sequence[Extractor]) -> None:
        self._by_type = {media_type: one for one in extractors for media_type in one.media_types}

    @property
    def media_types(self) -> frozenset[str]:
        """All media types that can be read."""
        return frozenset(self._by_type)

    def extract(self, content: bytes, *, media_type: str) -> str:
        """Return the text of a file.

        Raises:
            UnsupportedMediaType: If nobody reads this kind of file.
            InvalidDocument: If these bytes give no text.
        """
        extractor = self._by_type.get(_base(media_type))
        if extractor is None:
            known = ", ".join(sorted(self._by_type))
            raise UnsupportedMediaType(f"no extractor reads {media_type!r}; known are {known}")
        text = extractor.extract(content, media_type=media_type)
        if not text.replace("\x00", "").strip():
            raise NoTextFound("the file holds no text", hint="Check that the file is the one you meant to send.")
        return text


class PlainTextExtractor:
    """Reads text files: UTF-8, what a byte order mark names, or the charset that the media type names."""

    media_types: frozenset[str] = frozenset({"text/plain", "text/markdown"})

    def extract(self, content: bytes, *, media_type: str) -> str:
        """Return the text, without a byte order mark.

        Raises:
            InvalidEncoding: If a byte does not belong to the encoding; the message says which one.
        """
        mark, encoding = _encoding(content, media_type)
        try:
            text = content[len(mark) :].decode(encoding)
        except UnicodeDecodeError as problem:
            offset = len(mark) + problem.start
            raise InvalidEncoding(f"byte {offset:,} (0x{content[offset]:02x}) is no {encoding.upper()}") from problem
        except LookupError as problem:
            raise InvalidEncoding(f"there is no text encoding named {encoding!r}") from problem
        if not mark and text.count("\x00") > SUSPICIOUS_NULS * len(text):
            raise InvalidEncoding("every other byte is NUL: this looks like UTF-16 without a byte order mark")
        return text


def _encoding(content: bytes, media_type: str) -> tuple[bytes, str]:
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return mark, encoding
    for parameter in media_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return b"", value.strip().strip('"').lower()
    return b"", "utf-8"


def _base(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()
