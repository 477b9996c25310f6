"""What was sent and what was extracted from it: written once under `K@g` and `K@g@text`."""

from collections.abc import Sequence
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.documents import CONFLICT, NOT_FOUND
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import CONTENT_FIELDS, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.reading import multi_get
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.document import ContentRecord, DocumentRef, ExtractedText

TEXT_SUFFIX: Final = "@text"


def content_id(ref: DocumentRef) -> str:
    """Return the id under which an operation's content is stored."""
    return f"{ref.key}@{ref.target}"


class ElasticsearchContents:
    """Implements `pipeline.ports.ContentStore`."""

    def __init__(self, connection: Connection, names: IndexNames) -> None:
        self._connection = connection
        self._index = SystemIndex(connection, names.contents, CONTENT_FIELDS)

    def create(self, contents: Sequence[ContentRecord]) -> None:
        """Write each under `K@g`; one that exists already stays as it is."""
        self._create([(content_id(content.ref), content) for content in contents])

    def create_text(self, text: ExtractedText) -> None:
        """Write extracted text under `K@g@text`; one that exists already stays as it is."""
        self._create([(content_id(text.ref) + TEXT_SUFFIX, text)])

    def get(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ContentRecord]:
        """Return what is stored for these operations; missing ones are left out."""
        found = [ContentRecord.model_validate(source) for source in self._read([content_id(ref) for ref in refs])]
        return {content.ref: content for content in found}

    def get_texts(self, refs: Sequence[DocumentRef]) -> dict[DocumentRef, ExtractedText]:
        """Return extracted texts; missing ones are left out."""
        ids = [content_id(ref) + TEXT_SUFFIX for ref in refs]
        found = [ExtractedText.model_validate(source) for source in self._read(ids)]
        return {text.ref: text for text in found}

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Remove contents and extracted texts of these operations; missing ones are no error."""
        if not refs:
            return
        ids = [name for ref in refs for name in (content_id(ref), content_id(ref) + TEXT_SUFFIX)]
        outcomes = run_bulk(self._connection, self._index.ready(), [Action("delete", {"_id": name}) for name in ids])
        for outcome in outcomes:
            if outcome.error is not None and outcome.status != NOT_FOUND:
                raise outcome.error

    def older_than(self, moment: float, *, limit: int, after: str | None = None) -> list[tuple[str, DocumentRef]]:
        """Return (storage id, operation) of contents written before `moment`, by storage id, those behind `after`."""
        return self._listed({"range": {"written_at": {"lt": moment}}}, limit, after)

    def of_collection(self, collection: str, *, limit: int) -> list[tuple[str, DocumentRef]]:
        """Return (storage id, operation) of some contents of a collection, for removing all of them."""
        return self._listed({"term": {"collection": collection}}, limit, None)

    def _create(self, bodies: Sequence[tuple[str, Versioned]]) -> None:
        if not bodies:
            return
        actions = [
            Action("create", {"_id": name}, to_json({**body.model_dump(mode="json"), "storage_id": name}))
            for name, body in bodies
        ]
        for outcome in run_bulk(self._connection, self._index.ready(), actions):
            if outcome.error is not None and outcome.status != CONFLICT:
                raise outcome.error

    def _read(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        return [item["_source"] for item in multi_get(self._connection, self._index.name, ids)]

    def _listed(self, query: dict[str, Any], limit: int, after: str | None) -> list[tuple[str, DocumentRef]]:
        with store_errors():
            answer = self._connection.reads.search(
                index=self._index.name,
                query=query,
                sort=[{"storage_id": "asc"}],
                search_after=None if after is None else [after],
                size=limit,
                source=False,
                docvalue_fields=[{"field": name} for name in ("storage_id", "key", "target")],
                track_total_hits=False,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        rows = [hit["fields"] for hit in answer["hits"]["hits"]]
        return [(row["storage_id"][0], DocumentRef(key=row["key"][0], target=row["target"][0])) for row in rows]
