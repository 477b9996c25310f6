"""Collections in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from second_opinion.schemas.collection import BulkLoad, CollectionRecord, IndexFingerprint, QueryOverrides
from second_opinion.schemas.document import MetadataValue, field_type
from second_opinion.schemas.errors import IndexMismatch, MetadataTypeConflict, UnknownCollection

MAX_METADATA_FIELDS: Final = 500


@dataclass(frozen=True, slots=True)
class Shelf:
    """What collections are kept in: two processes of different settings share it."""

    records: dict[str, CollectionRecord] = field(default_factory=dict)
    made_by: dict[str, IndexFingerprint] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)


class MemoryCollections:
    """A `CollectionStore` in this process."""

    def __init__(
        self, fingerprint: IndexFingerprint, shelf: Shelf | None = None, *, former: Sequence[IndexFingerprint] = ()
    ) -> None:
        self._fingerprint = fingerprint
        self._usable = frozenset((fingerprint, *former))
        self._shelf = Shelf() if shelf is None else shelf

    def get(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
            IndexMismatch: If it was made with another fingerprint.
        """
        if name not in self._shelf.records:
            raise UnknownCollection(f"there is no collection {name!r}")
        record = self._shelf.records[name]
        if not self._usable.issuperset(self.made_by(record).values()):
            raise IndexMismatch(f"the index of collection {name!r} was made with another fingerprint")
        return record

    def made_by(self, record: CollectionRecord) -> dict[str, IndexFingerprint]:
        """Return what made each index that the collection reads or writes."""
        return {index: self._shelf.made_by[index] for index in record.indices}

    def change(self, name: str, change: Callable[[CollectionRecord], CollectionRecord]) -> CollectionRecord:
        """Change a collection's record."""
        self._shelf.records[name] = change(self.get(name))
        return self._shelf.records[name]

    def make_index(self, name: str, generation: int) -> str:
        """Make another index for a collection; nobody reads or writes it yet."""
        index = f"memory-chunks-{name}-{generation:06d}"
        self._shelf.made_by[index] = self._fingerprint
        return index

    def drop_index(self, name: str, index: str) -> None:
        """Forget a retired index. Its chunks live in another double and stay there."""
        record = self.get(name)
        if index not in record.retired:
            return
        self._shelf.made_by.pop(index, None)
        left = {one: since for one, since in record.retired.items() if one != index}
        self._shelf.records[name] = record.model_copy(update={"retired": left})

    def ensure(self, name: str) -> CollectionRecord:
        """Return a collection; make it first where there is none."""
        if name not in self._shelf.records:
            index = f"memory-chunks-{name}-000001"
            self._shelf.records[name] = CollectionRecord(name=name, index=index, writing=(index,), created_at=0.0)
            self._shelf.made_by[index] = self._fingerprint
            self._shelf.fields[name] = {}
        return self.get(name)

    def records(self) -> list[CollectionRecord]:
        """Return the records of all collections by name, those included whose index is gone or was made otherwise."""
        return [record for _, record in sorted(self._shelf.records.items())]

    def names(self) -> list[str]:
        """Return the names of all collections in order."""
        return sorted(self._shelf.records)

    def fingerprint(self) -> IndexFingerprint:
        """Return what this process would make an index with."""
        return self._fingerprint

    def override(self, name: str, overrides: QueryOverrides) -> CollectionRecord:
        """Replace a collection's own choices for queries."""
        self._shelf.records[name] = self.get(name).model_copy(update={"overrides": overrides})
        return self._shelf.records[name]

    def calibrate(self, name: str, calibration_id: str | None, *, model: str = "") -> CollectionRecord:
        """Give a collection a calibration of its own for a model, by id; without an id, none for any model."""
        self._shelf.records[name] = self.get(name).calibrated_by(calibration_id, model)
        return self._shelf.records[name]

    def begin_load(self, name: str, *, until: float) -> CollectionRecord:
        """Note that a collection is being filled; make it first where there is none."""
        record = self.ensure(name)
        latest = until if record.load is None else max(until, record.load.until)
        load = BulkLoad(until=latest, settings={index: {} for index in record.writing})
        self._shelf.records[name] = record.model_copy(update={"load": load})
        return self._shelf.records[name]

    def end_load(self, name: str) -> None:
        """Note that it is filled."""
        self._shelf.records[name] = self.get(name).model_copy(update={"load": None})

    def delete(self, name: str) -> None:
        """Remove a collection. Its documents and chunks live in other doubles and stay there."""
        for index in self.get(name).indices:
            del self._shelf.made_by[index]
        for stored in (self._shelf.records, self._shelf.fields):
            del stored[name]

    def field_types(self, name: str) -> dict[str, str]:
        """Return the metadata fields of a collection and their types: keyword, double or boolean."""
        self.get(name)
        return dict(sorted(self._shelf.fields[name].items()))

    def register_fields(self, name: str, metadata: Mapping[str, MetadataValue]) -> None:
        """Make sure these fields can be filtered on.

        Raises:
            MetadataTypeConflict: If a field has another type in this collection, or there are too many fields.
        """
        self.get(name)
        known = self._shelf.fields[name]
        wanted = {one: kind for one, value in metadata.items() if (kind := field_type(one, value)) is not None}
        for one, kind in wanted.items():
            if known.get(one, kind) != kind:
                raise MetadataTypeConflict(f"metadata field {one!r} is {known[one]}, and {kind} was sent")
        if len(known | wanted) > MAX_METADATA_FIELDS:
            raise MetadataTypeConflict(
                f"collection {name!r} would have more than {MAX_METADATA_FIELDS} metadata fields"
            )
        known.update(wanted)
