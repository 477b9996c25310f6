"""Collections."""

from collections.abc import Callable, Mapping
from typing import Protocol

from second_opinion.schemas.collection import CollectionRecord, IndexFingerprint, QueryOverrides
from second_opinion.schemas.document import MetadataValue


class CollectionStore(Protocol):
    """Collections and the mapping of their indices."""

    def get(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            UnknownCollection: If there is none of this name.
            IndexMismatch: If one of its indices was made by a model, chunker or analyzer that this process has not.
        """

    def ensure(self, name: str) -> CollectionRecord:
        """Return a collection; make it and its index first where there is none. Safe to call from many processes."""

    def records(self) -> list[CollectionRecord]:
        """Return the records of all collections by name, those included whose index is gone or was made otherwise."""

    def names(self) -> list[str]:
        """Return the names of all collections in order."""

    def fingerprint(self) -> IndexFingerprint:
        """Return what this process would make an index with."""

    def made_by(self, record: CollectionRecord) -> dict[str, IndexFingerprint]:
        """Return what made each index that the collection reads or writes.

        Raises:
            UnknownCollection: If one of them is gone.
        """

    def change(self, name: str, change: Callable[[CollectionRecord], CollectionRecord]) -> CollectionRecord:
        """Change a collection's record by compare-and-set; `change` may be called more than once, and may raise."""

    def make_index(self, name: str, generation: int) -> str:
        """Make another physical index for a collection, with its metadata fields; nobody reads or writes it yet."""

    def drop_index(self, name: str, index: str) -> None:
        """Remove a retired index of a collection; one that is gone is no error."""

    def override(self, name: str, overrides: QueryOverrides) -> CollectionRecord:
        """Replace a collection's own choices for queries."""

    def calibrate(self, name: str, calibration_id: str | None, *, model: str = "") -> CollectionRecord:
        """Give a collection a calibration of its own for a model, by id; without an id, none for any model."""

    def begin_load(self, name: str, *, until: float) -> CollectionRecord:
        """Let a collection be filled without replicas and periodic refreshes, until a moment (Unix seconds).

        The collection is made where there is none. Called again, a load goes on until the later moment.
        """

    def end_load(self, name: str) -> None:
        """Give the collection's indices the settings back that they had; without a load nothing happens.

        Raises:
            UnknownCollection: If there is none of this name.
        """

    def delete(self, name: str) -> None:
        """Remove a collection with its chunks, records and contents."""

    def field_types(self, name: str) -> dict[str, str]:
        """Return the metadata fields of a collection and their types: keyword, double or boolean."""

    def register_fields(self, name: str, metadata: Mapping[str, MetadataValue]) -> None:
        """Make sure these fields can be filtered on.

        Raises:
            MetadataTypeConflict: If a field has another type in this collection, or there are too many fields.
        """
