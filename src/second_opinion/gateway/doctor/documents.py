"""The documents: whether any wait although they should not, or have failed."""

from collections.abc import Iterator
from typing import Final

from second_opinion.gateway.doctor.findings import Finding, warning, well
from second_opinion.pipeline.calibration import check_key, ways_out
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import DocumentState
from second_opinion.schemas.errors import CalibrationMismatch, OpinionError
from second_opinion.workers.parts import Stores
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch

MOST: Final = 1_000


def check_documents(settings: Settings) -> Iterator[Finding]:
    """Look at every collection: index and calibration fit the models, and how many of its documents have failed."""
    stores = open_elasticsearch(settings)
    try:
        names = stores.collections.names()
        if not names:
            yield well("collections", "none yet")
        for name in names:
            yield _collection(stores, name)
    finally:
        stores.connection.close()


def _collection(stores: Stores, name: str) -> Finding:
    part = f"collection {name}"
    try:
        record = stores.collections.get(name)
        _check_calibration(stores, record)
        chunks = stores.chunks.count(record.index)
    except OpinionError as problem:
        return warning(part, problem.message, problem.hint)
    failed = stores.documents.listed(name, state=DocumentState.FAILED.value, after=None, limit=MOST)
    told = f"{chunks:,} chunks"
    if failed:
        count = f"{len(failed):,}" + ("+" if len(failed) == MOST else "")
        return warning(part, f"{told}, {count} documents failed", f"See why: opinion dead-letters list -c {name}")
    return well(part, told)


def _check_calibration(stores: Stores, record: CollectionRecord) -> None:
    """Compare a collection's own calibrations with the rerankers of their models, or with the one that started last.

    Raises:
        CalibrationMismatch: If it belongs to another one, or is gone.
    """
    own = set(record.calibrations.values()) | ({record.calibration} if record.calibration is not None else set())
    for calibration_id in sorted(own):
        artefact = stores.calibrations.get(calibration_id)
        if artefact is None:
            raise CalibrationMismatch(
                f"its calibration {calibration_id} is not in the store", hint=ways_out(record.name)
            )
        known = stores.calibrations.rerankers()
        of_model = [one for one in known if one.key.model == artefact.key.model]
        for latest in (of_model or known)[:1]:
            check_key(artefact, latest.key, hint=ways_out(record.name))
