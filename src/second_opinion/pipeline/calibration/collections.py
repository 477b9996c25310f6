"""The calibrations of collections: each fetched and checked once, then kept, so that no query pays for it."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from second_opinion.pipeline.calibration.applied import FittedCalibration
from second_opinion.pipeline.calibration.artefact import check_canaries, check_key
from second_opinion.pipeline.ports import Calibration, CalibrationStore, Reranker
from second_opinion.schemas.errors import CalibrationMismatch
from second_opinion.schemas.verdict import CalibrationSource

ROOM: Final = 256


class CollectionCalibrations:
    """Calibrations by id, for one reranker. Any number of threads may ask.

    What does not fit this reranker is remembered as well: an artefact is never changed, so it never will.

    Args:
        reranker: What they have to belong to.
        store: Where they are kept.
        room: How many are held; the one asked for longest ago goes first.
    """

    def __init__(self, reranker: Reranker, store: CalibrationStore, *, room: int = ROOM) -> None:
        self._reranker = reranker
        self._store = store
        self._room = room
        self._held: OrderedDict[str, Calibration | CalibrationMismatch] = OrderedDict()
        self._lock = Lock()
        self._loading = Lock()

    def get(self, calibration_id: str, *, collection: str) -> Calibration:
        """Return a collection's calibration.

        Raises:
            CalibrationMismatch: If it belongs to another model, its canaries drift, or it is not in the store.
            StoreUnavailable: If it has to be fetched and cannot be.
            ModelUnusable: If what is stored is no calibration.
        """
        found = self._look(calibration_id)
        if found is None:
            with self._loading:
                found = self._look(calibration_id) or self._load(calibration_id, collection)
        if isinstance(found, CalibrationMismatch):
            raise CalibrationMismatch(found.message, hint=ways_out(collection))
        return found

    def _look(self, calibration_id: str) -> Calibration | CalibrationMismatch | None:
        with self._lock:
            if calibration_id in self._held:
                self._held.move_to_end(calibration_id)
            return self._held.get(calibration_id)

    def _load(self, calibration_id: str, collection: str) -> Calibration | CalibrationMismatch:
        artefact = self._store.get(calibration_id)
        if artefact is None:
            # Not remembered: it may be on its way.
            raise CalibrationMismatch(
                f"calibration {calibration_id} of collection {collection!r} is not in the store",
                hint=ways_out(collection),
            )
        found: Calibration | CalibrationMismatch
        try:
            check_key(artefact, self._reranker.spec)
            check_canaries(artefact, self._reranker)
            found = FittedCalibration(artefact, CalibrationSource.COLLECTION)
        except CalibrationMismatch as problem:
            found = problem
        with self._lock:
            self._held[calibration_id] = found
            while len(self._held) > self._room:
                self._held.popitem(last=False)
        return found


def ways_out(collection: str) -> str:
    """Return what to do about a collection's calibration that does not hold."""
    return (
        f"Fit it anew: opinion calibrate -c {collection} --from-judgements; "
        f"or do without: opinion collections set {collection} --calibration none"
    )
