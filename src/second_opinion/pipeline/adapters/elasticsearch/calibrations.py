"""Calibrations of collections in Elasticsearch, and what rerank workers say of their models: a handful of records."""

from collections.abc import Collection
from typing import Final

from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk, to_json
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection
from second_opinion.pipeline.adapters.elasticsearch.documents import CONFLICT
from second_opinion.pipeline.adapters.elasticsearch.errors import store_errors
from second_opinion.pipeline.adapters.elasticsearch.indices import CALIBRATION_FIELDS, RERANKER_FIELDS, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.reading import multi_get
from second_opinion.pipeline.adapters.elasticsearch.removal import remove_found
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.pipeline.calibration import parse_artefact
from second_opinion.schemas.calibration import CalibrationArtefact, RerankerRecord

MAX_RERANKERS: Final = 100


class ElasticsearchCalibrations:
    """Implements `pipeline.ports.CalibrationStore`."""

    def __init__(self, connection: Connection, names: IndexNames) -> None:
        self._connection = connection
        self._artefacts = SystemIndex(connection, names.calibrations, CALIBRATION_FIELDS)
        self._rerankers = SystemIndex(connection, names.rerankers, RERANKER_FIELDS)

    def write(self, artefact: CalibrationArtefact) -> None:
        """Keep an artefact under its id; one that is there already stays as it is."""
        action = Action("create", {"_id": artefact.id}, to_json(artefact.model_dump(mode="json")))
        (outcome,) = run_bulk(self._connection, self._artefacts.ready(), [action])
        if outcome.error is not None and outcome.status != CONFLICT:
            raise outcome.error

    def get(self, calibration_id: str) -> CalibrationArtefact | None:
        """Return an artefact, or None when there is none of this id.

        Raises:
            ModelUnusable: If what is stored is no calibration; the sentence names the field.
        """
        for item in multi_get(self._connection, self._artefacts.name, [calibration_id]):
            return parse_artefact(item["_source"], where=f"calibration {calibration_id} in {self._artefacts.name}")
        return None

    def remove(self, calibration_ids: Collection[str]) -> None:
        """Remove artefacts that no collection has any more; ids of none are left out."""
        if calibration_ids:
            remove_found(self._connection, self._artefacts.name, {"terms": {"id": sorted(calibration_ids)}})

    def publish(self, record: RerankerRecord) -> None:
        """Keep what a rerank worker says of its model, in place of what was said of the same one before."""
        action = Action("index", {"_id": record.storage_id}, to_json(record.model_dump(mode="json")))
        (outcome,) = run_bulk(self._connection, self._rerankers.ready(), [action])
        if outcome.error is not None:
            raise outcome.error

    def rerankers(self) -> list[RerankerRecord]:
        """Return what is said of models, the latest first."""
        with store_errors():
            self._connection.writes.indices.refresh(index=self._rerankers.name, ignore_unavailable=True)
            answer = self._connection.reads.search(
                index=self._rerankers.name,
                sort=[{"published_at": "desc"}],
                size=MAX_RERANKERS,
                ignore_unavailable=True,
                allow_partial_search_results=False,
            )
        return [RerankerRecord.model_validate(hit["_source"]) for hit in answer["hits"]["hits"]]
