"""Documents of a framework on their way into a collection: whole ones, as the chunks are made here."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import Receipt
from second_opinion.schemas.errors import InvalidDocument, OpinionError


class DocumentClient(Protocol):
    """All that sending needs of a client."""

    def submit_documents(self, documents: Iterable[Mapping[str, Any]]) -> list[Receipt]:
        """Send documents and return a receipt for each, in order."""
        ...


@dataclass(frozen=True, slots=True)
class SentDocument:
    """A document as a framework has it.

    Attributes:
        own_id: The framework's id, if it has one.
        fields: What the framework calls metadata.
    """

    own_id: str | None
    text: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DocumentForm:
    """How documents of a framework become ours.

    Args:
        collection: Where they go.
        id_field: Field that holds the id; None takes the framework's own.
        title_field: Field that holds the title, if there is one.
        uri_field: Field that says where a document comes from, if there is one.
        metadata_fields: Fields to keep for filters; None keeps all the others.
        media_type: What the texts are: `text/plain` or `text/markdown`.
    """

    collection: str = DEFAULT_COLLECTION
    id_field: str | None = None
    title_field: str = "title"
    uri_field: str = "source"
    metadata_fields: Sequence[str] | None = None
    media_type: str = "text/plain"

    def payload(self, document: SentDocument) -> dict[str, Any]:
        """Return a document as a client sends it.

        Raises:
            InvalidDocument: If it has no id.
        """
        fields = {name: value for name, value in document.fields.items() if value is not None}
        name = document.own_id if self.id_field is None else fields.get(self.id_field)
        if not name:
            missing = "an id" if self.id_field is None else f"a field {self.id_field!r} for its id"
            raise InvalidDocument(f"a document lacks {missing}", hint="Name the field that holds the id: id_field.")
        used = {self.id_field, self.title_field, self.uri_field}
        kept = [one for one in fields if one not in used] if self.metadata_fields is None else self.metadata_fields
        return {
            "id": str(name),
            "collection": self.collection,
            "text": document.text or "",
            "title": str(fields.get(self.title_field, "")),
            "uri": str(fields.get(self.uri_field, "")),
            "media_type": self.media_type,
            "metadata": {one: fields[one] for one in kept if one in fields},
        }


def send_documents(client: DocumentClient, documents: Iterable[SentDocument], form: DocumentForm) -> list[Receipt]:
    """Send documents; return a receipt for each once all are durable. They are searchable a little later.

    Raises:
        InvalidDocument: If one has no id or two have the same: nothing is sent then. Or, of its own kind, why one was
            rejected: all the others have been accepted then, and sending all again changes nothing about them.
        StoreUnavailable: If they could not be recorded.
    """
    payloads = [form.payload(one) for one in documents]
    twice = [name for name, count in Counter(one["id"] for one in payloads).items() if count > 1]
    if twice:
        raise InvalidDocument(
            f"{len(twice)} ids are those of several documents, such as {twice[0]!r}: one would replace the other",
            hint="Send whole documents instead of pages or pieces, or name a field whose values differ: id_field.",
        )
    receipts = client.submit_documents(payloads)
    rejected = [receipt for receipt in receipts if receipt.error is not None]
    if rejected and (first := rejected[0].error) is not None:
        told = (
            f"{len(rejected)} of {len(receipts)} documents were rejected; {rejected[0].document_id!r}: {first.message}"
        )
        raise OpinionError.from_info(first.model_copy(update={"message": told}))
    return receipts
