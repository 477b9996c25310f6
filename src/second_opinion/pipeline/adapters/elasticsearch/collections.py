"""Collections: a record each, and a chunk index each."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.contents import ElasticsearchContents
from second_opinion.pipeline.adapters.elasticsearch.documents import CONFLICT, ElasticsearchDocuments
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import (
    BULK_LOAD_SETTINGS,
    COLLECTION_FIELDS,
    CONTENT_FIELDS,
    DOCUMENT_FIELDS,
    IndexNames,
    chunk_mappings,
    chunk_settings,
    write_alias,
)
from second_opinion.pipeline.adapters.elasticsearch.metadata_fields import MetadataFields
from second_opinion.pipeline.adapters.elasticsearch.reading import multi_get
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex, create_index
from second_opinion.schemas.collection import BulkLoad, CollectionRecord, IndexFingerprint, QueryOverrides
from second_opinion.schemas.document import MetadataValue, field_type
from second_opinion.schemas.errors import IndexMismatch, UnknownCollection, WriteConflict

MAX_COLLECTIONS: Final = 10_000
PAGE: Final = 500
CONFLICT_ROUNDS: Final = 10


class ElasticsearchCollections:
    """Implements `pipeline.ports.CollectionStore`."""

    def __init__(
        self,
        connection: Connection,
        names: IndexNames,
        fingerprint: IndexFingerprint,
        *,
        former: Sequence[IndexFingerprint] = (),
    ) -> None:
        self._connection = connection
        self._names = names
        self._fingerprint = fingerprint
        self._usable = frozenset((fingerprint, *former))
        self._index = SystemIndex(connection, names.collections, COLLECTION_FIELDS)
        self._fields = MetadataFields(connection)
        # Keyed by index and birth of the collection: one that is deleted and made again is looked at again.
        self._made: dict[tuple[str, float], IndexFingerprint] = {}

    def fingerprint(self) -> IndexFingerprint:
        """Return what this process would make an index with."""
        return self._fingerprint

    def get(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
            IndexMismatch: If one of its indices was made by a model, chunker or analyzer that this process has not.
        """
        record = self._find(name)
        if record is None:
            raise UnknownCollection(f"there is no collection {name!r}")
        for made_by in self.made_by(record).values():
            if made_by not in self._usable:
                raise IndexMismatch(_difference(name, made_by, self._fingerprint))
        return record

    def made_by(self, record: CollectionRecord) -> dict[str, IndexFingerprint]:
        """Return what made each index that the collection reads or writes; an index is asked once a process.

        Raises:
            UnknownCollection: If one of them is gone.
        """
        for index in record.indices:
            if (index, record.created_at) not in self._made:
                made_by = self._made_by(index)
                if made_by is None:
                    raise UnknownCollection(f"the index of collection {record.name!r} is gone")
                self._made[index, record.created_at] = made_by
        return {index: self._made[index, record.created_at] for index in record.indices}

    def ensure(self, name: str) -> CollectionRecord:
        """Return a collection; make it and its index first where there is none. Safe to call from many processes."""
        try:
            return self.get(name)
        except UnknownCollection:
            self._create(name)
        return self.get(name)

    def records(self) -> list[CollectionRecord]:
        """Return the records of all collections by name, those included whose index is gone or was made otherwise."""
        with store_errors():
            answer = self._connection.reads.search(
                index=self._names.collections,
                sort=[{"name": "asc"}],
                size=MAX_COLLECTIONS,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        return [CollectionRecord.model_validate(hit["_source"]) for hit in answer["hits"]["hits"]]

    def names(self) -> list[str]:
        """Return the names of all collections in order."""
        with store_errors():
            answer = self._connection.reads.search(
                index=self._names.collections,
                sort=[{"name": "asc"}],
                size=MAX_COLLECTIONS,
                source=False,
                docvalue_fields=[{"field": "name"}],
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        return [hit["fields"]["name"][0] for hit in answer["hits"]["hits"]]

    def override(self, name: str, overrides: QueryOverrides) -> CollectionRecord:
        """Replace a collection's own choices for queries."""
        return self.change(name, lambda record: record.model_copy(update={"overrides": overrides}))

    def calibrate(self, name: str, calibration_id: str | None, *, model: str = "") -> CollectionRecord:
        """Give a collection a calibration of its own for a model, by id; without an id, none for any model."""
        return self.change(name, lambda record: record.calibrated_by(calibration_id, model))

    def begin_load(self, name: str, *, until: float) -> CollectionRecord:
        """Let a collection be filled without replicas and periodic refreshes, until a moment (Unix seconds).

        What the indices had is recorded before it is changed, so that whoever comes later can give it back.
        """
        self.ensure(name)

        def begun(record: CollectionRecord) -> CollectionRecord:
            known = record.load or BulkLoad(until=until)
            settings = {index: known.settings.get(index) or self._settings(index) for index in record.writing}
            load = BulkLoad(until=max(until, known.until), settings=settings)
            return record.model_copy(update={"load": load})

        record = self.change(name, begun)
        for index in record.writing:
            self._set(index, BULK_LOAD_SETTINGS)
        return record

    def end_load(self, name: str) -> None:
        """Give the collection's indices the settings back that they had; without a load nothing happens.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        load = self.get(name).load
        if load is None:
            return
        for index, settings in load.settings.items():
            self._set(index, settings)
        self.change(name, lambda record: record.model_copy(update={"load": None}))

    def _settings(self, index: str) -> dict[str, str | None]:
        with store_errors():
            answer = self._connection.reads.indices.get_settings(index=index, flat_settings=True)
        found = answer[index]["settings"]
        return {name: found.get(name) for name in BULK_LOAD_SETTINGS}

    def _set(self, index: str, settings: Mapping[str, str | None]) -> None:
        with store_errors():
            self._connection.writes.indices.put_settings(index=index, settings=settings, ignore_unavailable=True)

    def change(self, name: str, change: Callable[[CollectionRecord], CollectionRecord]) -> CollectionRecord:
        """Change a collection's record by compare-and-set; `change` may be called more than once, and may raise.

        Raises:
            UnknownCollection: If there is none of this name.
            WriteConflict: If others change it all the time.
        """
        for _ in range(CONFLICT_ROUNDS):
            self.get(name)
            item = self._read(name)
            if item is None:
                break
            before = CollectionRecord.model_validate(item["_source"])
            record = change(before)
            if record == before:
                return before
            place = {"_id": name, "if_seq_no": item["_seq_no"], "if_primary_term": item["_primary_term"]}
            if self._write(Action("index", place, to_json(record.model_dump(mode="json")))):
                return record
        raise WriteConflict(f"collection {name!r} is changed by others all the time")

    def make_index(self, name: str, generation: int) -> str:
        """Make another physical index for a collection, with its metadata fields; nobody reads or writes it yet."""
        fields = self.field_types(name)
        index = self._names.chunks(name, generation)
        self._make_index(index)
        if fields:
            self._fields.register(index, name, fields)
        return index

    def _make_index(self, index: str) -> None:
        create_index(
            self._connection, index, chunk_settings(), chunk_mappings(self._fingerprint), {write_alias(index): {}}
        )

    def drop_index(self, name: str, index: str) -> None:
        """Remove a retired index of a collection; one that is gone is no error."""
        record = self._find(name)
        if record is None or index not in record.retired:
            return
        with store_errors():
            self._connection.writes.indices.delete(index=index, ignore_unavailable=True)
        left = {one: since for one, since in record.retired.items() if one != index}
        self.change(name, lambda record: record.model_copy(update={"retired": left}))

    def delete(self, name: str) -> None:
        """Remove a collection with its chunks, records and contents.

        The collection's own record goes last, so that a delete that was cut short can be asked for again.

        Raises:
            UnknownCollection: If there is none of this name.
        """
        record = self._find(name)
        if record is None:
            raise UnknownCollection(f"there is no collection {name!r}")
        with store_errors():
            self._connection.writes.indices.delete(index=[*record.indices, *record.retired], ignore_unavailable=True)
        self._delete_records(name)
        self._delete_contents(name)
        _raise_first(run_bulk(self._connection, self._index.ready(), [Action("delete", {"_id": name})]))
        self._refresh(self._index.name)

    def field_types(self, name: str) -> dict[str, str]:
        """Return the metadata fields of a collection and their types: keyword, double or boolean."""
        return self._fields.types(self.get(name).index, name)

    def register_fields(self, name: str, metadata: Mapping[str, MetadataValue]) -> None:
        """Make sure these fields can be filtered on.

        Raises:
            MetadataTypeConflict: If a field has another type in this collection, or there are too many fields.
        """
        wanted = {field: kind for field, value in metadata.items() if (kind := field_type(field, value)) is not None}
        if not wanted:
            return
        record = self.get(name)
        for index in record.writing:
            self._fields.ensure(index, name, wanted, born_at=record.created_at)

    def _made_by(self, index: str) -> IndexFingerprint | None:
        mapping = self._fields.mapping(index)
        if mapping is None:
            return None
        return IndexFingerprint.model_validate(mapping["_meta"]["fingerprint"])

    def _find(self, name: str) -> CollectionRecord | None:
        item = self._read(name)
        return None if item is None else CollectionRecord.model_validate(item["_source"])

    def _read(self, name: str) -> Mapping[str, Any] | None:
        return next(iter(multi_get(self._connection, self._names.collections, [name])), None)

    def _create(self, name: str) -> None:
        for system, fields in ((self._names.documents, DOCUMENT_FIELDS), (self._names.contents, CONTENT_FIELDS)):
            SystemIndex(self._connection, system, fields).ready()
        found = self._find(name)
        index = found.index if found is not None else self._names.chunks(name)
        self._make_index(index)
        if found is None:
            record = CollectionRecord(name=name, index=index, writing=(index,), created_at=time.time())
            self._write(Action("create", {"_id": name}, to_json(record.model_dump(mode="json"))))

    def _write(self, action: Action) -> bool:
        """Write a collection's record; return False if somebody else was first."""
        (outcome,) = run_bulk(self._connection, self._index.ready(), [action])
        if outcome.status == CONFLICT:
            return False
        if outcome.error is not None:
            raise outcome.error
        self._refresh(self._index.name)
        return True

    def _delete_records(self, name: str) -> None:
        documents = ElasticsearchDocuments(self._connection, self._names)
        while True:
            self._refresh(self._names.documents)
            records = documents.listed(name, state=None, after=None, limit=PAGE)
            if not records:
                return
            actions = [Action("delete", {"_id": record.key}) for record in records]
            _raise_first(run_bulk(self._connection, self._names.documents, actions))

    def _delete_contents(self, name: str) -> None:
        contents = ElasticsearchContents(self._connection, self._names)
        while True:
            self._refresh(self._names.contents)
            rows = contents.of_collection(name, limit=PAGE)
            if not rows:
                return
            contents.delete([ref for _, ref in rows])

    def _refresh(self, index: str) -> None:
        with store_errors():
            self._connection.writes.indices.refresh(index=index, ignore_unavailable=True)


def _raise_first(outcomes: list[Any]) -> None:
    for outcome in outcomes:
        if outcome.error is not None and outcome.status != 404:  # noqa: PLR2004 - gone is what was asked for
            raise outcome.error


def _difference(name: str, made_by: IndexFingerprint, ours: IndexFingerprint) -> str:
    pairs = zip(made_by, ours, strict=True)
    differences = [f"{field} {theirs!r}, not {mine!r}" for (field, theirs), (_, mine) in pairs if theirs != mine]
    return f"the index of collection {name!r} was made with {'; '.join(differences)}"
