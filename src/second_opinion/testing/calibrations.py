"""Calibrations in memory."""

from collections.abc import Collection

from second_opinion.schemas.calibration import CalibrationArtefact, RerankerRecord


class MemoryCalibrations:
    """A `CalibrationStore` in this process.

    Attributes:
        reads: How often an artefact was asked for.
    """

    def __init__(self) -> None:
        self.reads = 0
        self._artefacts: dict[str, CalibrationArtefact] = {}
        self._rerankers: dict[str, RerankerRecord] = {}

    def write(self, artefact: CalibrationArtefact) -> None:
        """Keep an artefact under its id; one that is there already stays as it is."""
        self._artefacts.setdefault(artefact.id, artefact)

    def get(self, calibration_id: str) -> CalibrationArtefact | None:
        """Return an artefact, or None when there is none of this id."""
        self.reads += 1
        return self._artefacts.get(calibration_id)

    def remove(self, calibration_ids: Collection[str]) -> None:
        """Remove artefacts that no collection has any more; ids of none are left out."""
        for one in calibration_ids:
            self._artefacts.pop(one, None)

    def publish(self, record: RerankerRecord) -> None:
        """Keep what a rerank worker says of its model, in place of what was said of the same one before."""
        self._rerankers[record.storage_id] = record

    def rerankers(self) -> list[RerankerRecord]:
        """Return what is said of models, the latest first."""
        return sorted(self._rerankers.values(), key=lambda one: -one.published_at)
