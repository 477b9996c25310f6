"""Fits the calibration of an exported reranker on queries that its training never saw, and writes it beside the model.

    python -m second_opinion.training.calibrate MODEL_FOLDER --data FOLDER --on squad2_dev --on nq_open ...

The query level is fitted on the same queries, those without an answer among them. Uses the `calibrate` slice of each
data set. `--whole NAME` uses its training slice too: right only for a set that took no part in this model's training.
Splits for measuring are never used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_model import CALIBRATION_FILE
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.calibration import (
    CalibrationArtefact,
    CalibrationKey,
    save_artefact,
    score_canaries,
)
from second_opinion.pipeline.calibration.fit import CalibrationFit, fit_calibration, require_scikit_learn
from second_opinion.pipeline.calibration.judged_scores import JudgedScores
from second_opinion.pipeline.calibration_error import calibration_error, near_floor
from second_opinion.pipeline.evaluation.datasets import read_dataset, read_passages
from second_opinion.pipeline.evaluation.reliability import SHOWN_FROM
from second_opinion.pipeline.evaluation.slices import Slice, slice_dataset
from second_opinion.pipeline.ports import Reranker
from second_opinion.training.candidates import CandidateIndex, ScoredQuery, sample, score_queries
from second_opinion.training.second_look import can_be_opened, open_band

SMALL_CORPUS: Final = 3_000


def score_slice(
    folder: Path, models: tuple[OnnxReranker, OnnxEmbedder], *, whole: bool, limit: int, cache: Path | None = None
) -> list[ScoredQuery]:
    """Score the candidates of the queries that may calibrate."""
    reranker, embedder = models
    dataset = read_dataset(folder)
    allowed = {Slice.CALIBRATE, Slice.TRAIN} if whole else {Slice.CALIBRATE}
    slices = slice_dataset(dataset).questions
    questions = sample([one for one in dataset.questions.values() if slices[one.id] in allowed], limit)
    corpora = {dataset.name: list(dataset.passages.values())}
    distractors = folder.parent / "distractors" / "corpus.jsonl"
    if len(dataset.passages) < SMALL_CORPUS and distractors.exists():
        corpora["distractors"] = list(read_passages(distractors).values())
    index = CandidateIndex(corpora, embedder, cache / embedder.spec.revision if cache else None)
    return list(score_queries(dataset, questions, index, reranker))


def scored_again(one: ScoredQuery, band: tuple[float, float], reranker: Reranker) -> ScoredQuery:
    """Return the query with the scores that its candidates have since the model computes those in the band again."""
    raw = one.raw.copy()
    (rows,) = np.where((raw >= band[0]) & (raw <= band[1]))
    raw[rows] = reranker.score(one.question.text, [one.chunks[row] for row in rows])
    return replace(one, raw=raw)


def fit(scored: Sequence[ScoredQuery], reranker: Reranker, command: str) -> CalibrationArtefact:
    """Return the artefact that the scored candidates give, with the canaries as the reranker scores them here."""
    return _curves(scored).artefact(CalibrationKey.of(reranker.spec), score_canaries(reranker), command)


def _curves(scored: Sequence[ScoredQuery]) -> CalibrationFit:
    return fit_calibration([JudgedScores.of_all(one.raw, one.relevant, one.documents, one.dataset) for one in scored])


def describe(artefact: CalibrationArtefact, scored: Sequence[ScoredQuery]) -> str:
    """Return how the curves do on the data they were fitted on: set by set, and where verdicts are made."""
    report = artefact.fitted_on
    lines = [
        f"{artefact.id}: cross-validated log loss {_losses(report.log_losses)}",
        f"  query level: {_losses(report.query_log_losses) or report.query_level}",
    ]
    for name in [*report.slices, ""]:
        part = [one for one in scored if name in {"", one.dataset}]
        relevance = np.array([artefact.curve.relevance(value) for one in part for value in one.raw])
        relevant = np.concatenate([one.relevant for one in part])
        near, shown = near_floor(relevance), relevance >= SHOWN_FROM
        lines.append(
            f"  {name or 'all':15} queries {len(part):4}  pairs {len(relevant):6}  relevant {int(relevant.sum()):5}"
            f"  ECE >= 0.1 {calibration_error(relevance[shown], relevant[shown]) if shown.any() else float('nan'):.3f}"
            f"  relevant of 0.3-0.5 {relevant[near].mean() if near.any() else float('nan'):.2f} ({int(near.sum())})"
        )
    return "\n".join(lines)


def _losses(found: Mapping[str, float]) -> str:
    return ", ".join(f"{method} {loss:.4f}" for method, loss in found.items())


@dataclass(frozen=True)
class CalibrationData:
    """What to calibrate on.

    Attributes:
        folder: Holds the data sets.
        sets: Those whose calibrate slice is used.
        whole: Those whose train split this model never saw: all of it is used.
        limit: Most queries of a data set.
        cache: Keeps vectors between calls.
    """

    folder: Path
    sets: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    limit: int = 200
    cache: Path | None = None

    def options(self) -> str:
        """Return the options that name this data."""
        named = [*(f"--on {name}" for name in self.sets), *(f"--whole {name}" for name in self.whole)]
        return " ".join(["--data DATA", *named, f"--limit {self.limit}"])


def calibrate(model: Path, data: CalibrationData) -> str:
    """Fit the calibration of the reranker in the folder `model`, write it there and return how well it does."""
    require_scikit_learn()
    reranker, embedder = OnnxReranker(model), OnnxEmbedder.open()
    scored: list[ScoredQuery] = []
    for name in (*data.sets, *data.whole):
        whole = name in data.whole
        scored += score_slice(data.folder / name, (reranker, embedder), whole=whole, limit=data.limit, cache=data.cache)
    if can_be_opened(model):
        band = open_band(model, _curves(scored).pair.curve)
        reranker.close()
        reranker = OnnxReranker(model)
        scored = [scored_again(one, band, reranker) for one in scored]
    artefact = fit(scored, reranker, f"python -m second_opinion.training.calibrate MODEL {data.options()}")
    save_artefact(artefact, model / CALIBRATION_FILE)
    return describe(artefact, scored)


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--on", "sets", multiple=True, help="Data set whose calibrate slice is used.")
@click.option("--whole", multiple=True, help="Data set whose train split this model never saw: all of it is used.")
@click.option("--limit", default=200, show_default=True, help="Most queries of a data set.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps vectors between calls.")
def main(model: Path, data: Path, **chosen: Any) -> None:
    """Calibrate the reranker in the folder MODEL."""
    click.echo(calibrate(model, CalibrationData(data, **chosen)))


if __name__ == "__main__":
    main()
