"""Calibrating a collection: judged candidates of the present reranker in, an artefact with its proof out.

No model is loaded here. What the reranker is, and how it scores the known pairs, is what a rerank worker has published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from second_opinion.gateway.client import Client
from second_opinion.pipeline.calibration import FittedCalibration, NoCalibration, check_key
from second_opinion.pipeline.calibration.fit import fit_calibration
from second_opinion.pipeline.calibration.judged_scores import JudgedScores
from second_opinion.pipeline.calibration.quality import Quality, quality
from second_opinion.pipeline.evaluation.datasets import Dataset, relevant_documents
from second_opinion.pipeline.ports import Calibration
from second_opinion.schemas.base import Record
from second_opinion.schemas.calibration import CalibrationArtefact, RerankerRecord
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.errors import (
    CalibrationMismatch,
    CalibrationRefused,
    NotEnoughJudgements,
    RerankUnavailable,
)
from second_opinion.schemas.evaluation import AskedQuery
from second_opinion.schemas.trace import Judgement, Trace, TraceScope
from second_opinion.schemas.verdict import CalibrationSource


class CalibrationProposal(Record):
    """A fitted calibration, and how it does beside the present one on the same judged candidates.

    Attributes:
        collection: Whose calibration it would become.
        present: Id of the calibration that holds now; None when the model has none.
        present_source: Where that one comes from.
        before: How the present one does; None when it belongs to another model, and so does nothing.
        after: How the new one does on questions that it was not fitted on.
    """

    artefact: CalibrationArtefact
    collection: str
    present: str | None
    present_source: CalibrationSource
    before: Quality | None
    after: Quality

    @property
    def is_worse(self) -> bool:
        """True when the present one fits these judgements better."""
        return self.before is not None and self.after.log_loss > self.before.log_loss


class CalibrationDesk:
    """Fits calibrations and gives them to collections.

    Args:
        client: Reads traces, judgements and collections.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = client.parts.calibrations
        self._traces = client.parts.traces

    def reranker(self, model: str | None = None, *, name: str | None = None) -> RerankerRecord:
        """Return what is known of a reranker, or of the one that started last.

        Args:
            model: Its model, as `model@revision`.
            name: Its name in the settings.

        Raises:
            RerankUnavailable: If no rerank worker has said what it is.
        """
        for record in self._store.rerankers():
            if (model is None or record.key.reranker == model) and (name is None or record.name == name):
                return record
        meant = " ".join(part for part in (name, model) if part)
        which = f"has said what {meant} is" if meant else "has said what its model is"
        raise RerankUnavailable(
            f"no rerank worker {which}", hint="Start one, which says so within seconds: opinion worker --role rerank"
        )

    def judged(self, collection: str, record: RerankerRecord) -> list[JudgedScores]:
        """Return the judged candidates of a collection's past queries, by the newest trace of each question.

        Only traces of this reranker count: scores of another one mean something else.

        Raises:
            NotEnoughJudgements: If there are none.
        """
        judgements = list(self._client.evidence.judgements(collection))
        traces = self._newest_traces(collection, record, [one.query_hash for one in judgements])
        found = list(_judged_scores(judgements, traces, source=collection))
        if not found:
            raise NotEnoughJudgements(
                f"0 of {len(judgements)} judgements in collection {collection!r} belong to traces of "
                f"{record.key.reranker}",
                hint="Ask the judged questions again, or judge candidates: opinion judge JOB CHUNK relevant",
            )
        return found

    def propose(
        self, queries: Sequence[JudgedScores], record: RerankerRecord, *, collection: str, command: str
    ) -> CalibrationProposal:
        """Fit a calibration and measure it beside the present one.

        Raises:
            NotEnoughJudgements: If too little is judged, or all alike.
            CalibrationRefused: If a higher score does not mean more relevant.
            RelevanceMissing: If a score is not finite.
            ExtraMissing: If scikit-learn is not installed.
            UnknownCollection: If there is no such collection.
        """
        fitted = fit_calibration(queries)
        present_id, source, present = self._present(collection, record)
        return CalibrationProposal(
            artefact=fitted.artefact(record.key, record.canaries, command),
            collection=collection,
            present=present_id,
            present_source=source,
            before=_quality_of(present, queries) if present is not None else None,
            after=fitted.quality,
        )

    def store(self, proposal: CalibrationProposal, *, force: bool = False) -> CollectionRecord:
        """Make a proposal the calibration of its collection: the artefact first, then the one write that counts.

        Raises:
            CalibrationRefused: If the present one is better and `force` is not given.
        """
        if proposal.is_worse and not force:
            before = proposal.before.log_loss if proposal.before is not None else 0.0
            raise CalibrationRefused(
                f"the new calibration is worse than the present one: log loss {proposal.after.log_loss:.4f} on "
                f"questions it was not fitted on, {before:.4f} now",
                hint="Judge more candidates, or store it all the same: --force",
            )
        self._store.write(proposal.artefact)
        return self._client.parts.stores.collections.calibrate(
            proposal.collection, proposal.artefact.id, model=proposal.artefact.key.model
        )

    def give(self, collection: str, artefact: CalibrationArtefact | None) -> CollectionRecord:
        """Give a collection a calibration that was fitted before; None takes its own one away.

        Raises:
            CalibrationMismatch: If it belongs to another model than the rerank workers run.
            RerankUnavailable: If no rerank worker has said what it is.
            UnknownCollection: If there is no such collection.
        """
        collections = self._client.parts.stores.collections
        if artefact is None:
            return collections.calibrate(collection, None)
        collections.get(collection)
        check_key(
            artefact,
            self._of_model(artefact.key.model).key,
            hint=f"Fit one for this model: opinion calibrate -c {collection}",
        )
        self._store.write(artefact)
        return collections.calibrate(collection, artefact.id, model=artefact.key.model)

    def _of_model(self, model: str) -> RerankerRecord:
        """Return the record of a model; of the one that started last where there is none of it."""
        known = [record for record in self._store.rerankers() if record.key.model == model]
        return known[0] if known else self.reranker()

    def _present(
        self, collection: str, record: RerankerRecord
    ) -> tuple[str | None, CalibrationSource, Calibration | None]:
        """Return the id and source of the calibration that holds now, and itself if it is this reranker's."""
        kept = self._client.collection(collection)
        own = kept.calibrations.get(record.key.model) if kept.calibrations else kept.calibration
        source = CalibrationSource.COLLECTION if own is not None else CalibrationSource.SHIPPED
        artefact = self._store.get(own) if own is not None else record.calibration
        if artefact is None and own is None:
            return None, CalibrationSource.NONE, NoCalibration(record.key.scale)
        try:
            if artefact is not None:
                check_key(artefact, record.key)
                return artefact.id, source, FittedCalibration(artefact, source)
        except CalibrationMismatch:
            pass
        return own, source, None

    def _newest_traces(self, collection: str, record: RerankerRecord, hashes: Sequence[str]) -> dict[str, Trace]:
        """Return each question's newest trace by this reranker, whatever calibration it had: raw scores do not care."""
        found: dict[str, Trace] = {}
        for one in self._traces.scorers(TraceScope(collection=collection)):
            if one.scorer.rpartition(" ")[0] != record.key.reranker:
                continue
            for key, trace in self._traces.newest(TraceScope(collection=collection, scorer=one.scorer), hashes).items():
                if key not in found or trace.at > found[key].at:
                    found[key] = trace
        return found


def asked_scores(dataset: Dataset, asked: Iterable[AskedQuery]) -> Iterator[JudgedScores]:
    """Yield the candidates of a data set's answered queries; what no grade calls relevant counts as not relevant."""
    for one in asked:
        if one.error is not None:
            continue
        relevant = relevant_documents(dataset, one.query_id)
        source = dataset.questions[one.query_id].source
        flags = np.array([candidate.document_id in relevant for candidate in one.candidates], dtype=np.bool_)
        raw = np.array([candidate.raw_score for candidate in one.candidates], dtype=np.float64)
        yield JudgedScores.of_all(raw, flags, sorted(relevant | ({source} - {""})), dataset.name)


def _judged_scores(
    judgements: Iterable[Judgement], traces: Mapping[str, Trace], *, source: str
) -> Iterator[JudgedScores]:
    by_question: dict[str, dict[tuple[str, str], bool]] = {}
    for one in judgements:
        by_question.setdefault(one.query_hash, {})[one.document_id, one.text_hash] = one.relevant
    for question, passages in by_question.items():
        trace = traces.get(question)
        if trace is None:
            continue
        known = {(one.document_id, one.text_hash): one for one in trace.candidates}
        pairs = [(known[passage], relevant) for passage, relevant in passages.items() if passage in known]
        if not pairs:
            continue
        has_relevant = any(relevant for _, relevant in pairs)
        best_is_judged = any(candidate.rank == 1 for candidate, _ in pairs)
        yield JudgedScores(
            raw=np.array([candidate.raw_score for candidate, _ in pairs], dtype=np.float64),
            relevant=np.array([relevant for _, relevant in pairs], dtype=np.bool_),
            documents=tuple(sorted({candidate.document_id for candidate, relevant in pairs if relevant})),
            best_raw=max(candidate.raw_score for candidate in trace.candidates),
            answerable=True if has_relevant else False if best_is_judged else None,
            source=source,
        )


def _quality_of(calibration: Calibration, queries: Sequence[JudgedScores]) -> Quality:
    judged = [query for query in queries if len(query.raw)]
    return quality(
        [np.array(calibration.relevance(query.raw.tolist())) for query in judged], [query.relevant for query in judged]
    )
