"""Calibrations: at work, and where they are kept."""

from collections.abc import Collection, Sequence
from typing import Protocol

from second_opinion.schemas.calibration import CalibrationArtefact, RerankerRecord
from second_opinion.schemas.verdict import CalibrationSource


class Calibration(Protocol):
    """Turns raw scores into relevance: the probability in [0, 1] that a passage answers its query."""

    @property
    def id(self) -> str | None:
        """Name the artefact; None when there is none."""

    @property
    def source(self) -> CalibrationSource:
        """Say where the artefact comes from."""

    def relevance(self, raw: Sequence[float]) -> list[float]:
        """Return one relevance for each raw score, in order; a higher raw score never has a lower one."""

    def query_relevance(self, raw: Sequence[float]) -> float | None:
        """Return the chance that any of a query's candidates answers it, given all their raw scores.

        The best of many is high by chance now and then, so this is often lower than the best candidate's relevance.
        None where nothing is known of it, or there is no candidate.
        """


class CalibrationStore(Protocol):
    """Calibrations of collections, written once each, and what rerank workers say of their models."""

    def write(self, artefact: CalibrationArtefact) -> None:
        """Keep an artefact under its id; one that is there already stays as it is."""

    def get(self, calibration_id: str) -> CalibrationArtefact | None:
        """Return an artefact, or None when there is none of this id.

        Raises:
            ModelUnusable: If what is stored is no calibration; the sentence names the field.
        """

    def remove(self, calibration_ids: Collection[str]) -> None:
        """Remove artefacts that no collection has any more; ids of none are left out."""

    def publish(self, record: RerankerRecord) -> None:
        """Keep what a rerank worker says of its model, in place of what was said of the same one before."""

    def rerankers(self) -> list[RerankerRecord]:
        """Return what is said of models, the latest first."""
