"""What gateways answer with, as far as it is more than one of the types that everybody shares."""

from pydantic import BaseModel

from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import DocumentStatus, Receipt


class StatusList(BaseModel):
    """Statuses of documents; `next` is what a page behind this one begins after."""

    documents: list[DocumentStatus]
    next: str | None = None


class ReceiptList(BaseModel):
    """A receipt for each document, in the order in which they were named."""

    receipts: list[Receipt]


class ChunkList(BaseModel):
    """Chunks of a document, in order."""

    chunks: list[ChunkHit]


class CollectionList(BaseModel):
    """Collections by name."""

    collections: list[CollectionRecord]


class FieldTypes(BaseModel):
    """Of what is told of a collection, the metadata fields that can be filtered on, and their types."""

    fields: dict[str, str]
