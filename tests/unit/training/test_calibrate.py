"""The calibration that is shipped with a model."""

from pathlib import Path

import numpy as np
import pytest

from second_opinion.pipeline.calibration import calibration_for, save_artefact
from second_opinion.pipeline.evaluation.datasets import Dataset, Question
from second_opinion.schemas.errors import NotEnoughJudgements
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.models import WordReranker
from second_opinion.training.calibrate import describe, fit
from second_opinion.training.candidates import ScoredQuery, score_queries


def scored(dataset: str, count: int, *, answered: float, seed: int) -> list[ScoredQuery]:
    """Queries whose answer, where there is one, scores well above the rest."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        raw, relevant = chance.normal(-3.0, 1.0, 20), np.zeros(20, bool)
        if chance.random() < answered:
            raw[3], relevant[3] = chance.normal(1.0, 1.5), True
        question = Question(f"q{number}", "where?", answerable=bool(relevant.any()), split="train")
        found.append(ScoredQuery(dataset, question, raw, relevant, ("",) * 20, (f"d{number}",)))
    return found


def test_both_levels_are_written_with_what_they_were_fitted_on(tmp_path: Path) -> None:
    """Pairs and queries of all sets together; the file is then this reranker's calibration, canaries and all."""
    reranker, path = WordReranker(), tmp_path / "calibration.json"
    queries = [*scored("with", 60, answered=1.0, seed=1), *scored("without", 60, answered=0.4, seed=2)]
    artefact = fit(queries, reranker, "the command")
    save_artefact(artefact, path)
    calibration = calibration_for(reranker, path)
    assert (calibration.source, calibration.id) == (CalibrationSource.SHIPPED, artefact.id)
    assert artefact.fitted_on.slices == {"with": 60, "without": 60}
    assert artefact.fitted_on.command == "the command"
    assert artefact.fitted_on.queries_with_answer == sum(one.relevant.any() for one in queries)
    low, high = calibration.query_relevance([-4.0, -2.5]), calibration.query_relevance([-4.0, 2.5])
    assert low is not None
    assert high is not None
    assert low < 0.5 < high
    assert calibration.relevance([-2.5])[0] < low
    told = describe(artefact, queries)
    assert all(word in told for word in (artefact.id, "query level", "with", "without", "all"))


def test_too_little_to_calibrate_on_is_refused() -> None:
    """With its counts, before anything is written."""
    with pytest.raises(NotEnoughJudgements, match="40 pairs are judged"):
        fit(scored("few", 2, answered=1.0, seed=3), WordReranker(), "")


class OneList:
    """An index that finds the same two documents for every query."""

    def __init__(self) -> None:
        self.documents, self.chunks = ["d1", "d2"], ["the kettle is in the attic", "the ladder is in the garden"]

    def candidates(self, queries: list[str]) -> list[np.ndarray]:
        """Return both rows for each query."""
        return [np.array([0, 1])] * len(queries)


def test_a_query_hangs_on_its_relevant_documents_and_its_source() -> None:
    """Also on those that retrieval did not find: folds are grouped by them."""
    asked = Question("q1", "where is the kettle", answerable=True, split="train", source="d9")
    dataset = Dataset("rooms", {}, {"q1": asked}, {"q1": {"d1": 1, "d5": 2, "d2": 0}})
    (found,) = score_queries(dataset, [asked], OneList(), WordReranker())  # type: ignore[arg-type]
    assert found.documents == ("d1", "d5", "d9")
    assert found.relevant.tolist() == [True, False]
    assert found.raw[0] > found.raw[1]
