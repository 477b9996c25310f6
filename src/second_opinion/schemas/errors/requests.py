"""What was sent and cannot be accepted."""

from second_opinion.schemas.errors.base import PermanentError


class InvalidRequest(PermanentError):
    """What was sent cannot be accepted."""

    code = "invalid_request"
    default_hint = "Correct what is named and send it again."


class InvalidDocument(InvalidRequest):
    """The document cannot be ingested as it is."""

    code = "invalid_document"


class EmptyDocument(InvalidDocument):
    """The document has no text, or only white space."""

    code = "empty_document"
    default_hint = "Send a document with text, or delete the document if it is gone."


class DocumentTooLarge(InvalidDocument):
    """The document is above the size limit."""

    code = "document_too_large"
    default_hint = "Split the document into parts and send each under its own id."


class InvalidEncoding(InvalidDocument):
    """The bytes are no text in an encoding that is recognised."""

    code = "invalid_encoding"
    default_hint = "Save the file as UTF-8 and send it again."


class UnsupportedMediaType(InvalidDocument):
    """No extractor reads this kind of file."""

    code = "unsupported_media_type"
    default_hint = "Send plain text or Markdown."


class NoTextFound(InvalidDocument):
    """The file was read but holds no text."""

    code = "no_text_found"


class MetadataTypeConflict(InvalidRequest):
    """A metadata field has another type in this collection."""

    code = "metadata_type_conflict"
    default_hint = "Send values of the type that the field has in this collection, or use another field name."


class VersionConflict(InvalidRequest):
    """The same source version was sent before with different content."""

    code = "version_conflict"
    default_hint = "Raise source_version for each change of the document."


class IdempotencyConflict(InvalidRequest):
    """The same Idempotency-Key was sent before with something else."""

    code = "idempotency_conflict"
    default_hint = "Send a key of its own with each thing that is to be done once."


class InvalidQuery(InvalidRequest):
    """The query cannot be run as it is."""

    code = "invalid_query"


class EmptyQuery(InvalidQuery):
    """The query has no text."""

    code = "empty_query"
    default_hint = "Ask a question in words."


class QueryTooLong(InvalidQuery):
    """The query is above the length limit."""

    code = "query_too_long"
    default_hint = "Shorten the query; long background belongs into a document."


class UnknownReranker(InvalidQuery):
    """No rerank worker has said that it serves a reranker of this name."""

    code = "unknown_reranker"


class FilterTypeMismatch(InvalidQuery):
    """A filter compares a metadata field with values of another type."""

    code = "filter_type_mismatch"


class UnknownFilterField(InvalidRequest):
    """A filter names a metadata field that no document of the collection has."""

    code = "unknown_filter_field"


class InvalidDataset(InvalidRequest):
    """A data set's files are missing or do not fit together."""

    code = "invalid_dataset"
    default_hint = "Correct the line that is named, or leave the data set out."
