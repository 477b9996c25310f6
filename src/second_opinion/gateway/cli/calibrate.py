"""`opinion calibrate`: make relevance mean what it says for one collection."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from second_opinion.gateway.calibration import CalibrationDesk, CalibrationProposal, asked_scores
from second_opinion.gateway.cli.progress import TerminalWatch
from second_opinion.gateway.cli.rendering import calibrate as rendering
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.evaluation import RunPlan, run_dataset
from second_opinion.gateway.judged import judged_name
from second_opinion.pipeline.calibration import save_artefact
from second_opinion.pipeline.calibration.fit import require_scikit_learn
from second_opinion.pipeline.calibration.judged_scores import JudgedScores
from second_opinion.pipeline.evaluation.datasets import Dataset, read_dataset
from second_opinion.pipeline.evaluation.report import AskedSet
from second_opinion.pipeline.evaluation.slices import untrained_questions
from second_opinion.schemas.calibration import RerankerRecord
from second_opinion.schemas.errors import NotEnoughJudgements
from second_opinion.workers.settings import load_settings

SUBFOLDER: Final = "calibration"
Evidence = tuple[Sequence[JudgedScores], RerankerRecord, str]


@click.command()
@click.argument("dataset", required=False, type=click.Path(path_type=Path))
@click.option("-c", "--collection", help="Whose calibration it becomes.  [default: the data set's own, evaluate-NAME]")
@click.option("--from-judgements", is_flag=True, help="Fit on judged candidates of the collection's past queries.")
@click.option("--reranker", metavar="NAME", help="Whose scores, by its name.  [default: the one asked first]")
@click.option("--split", default="train", show_default=True, help="Which queries of the data set are asked.")
@click.option("--queries", type=click.IntRange(min=1), help="Ask so many of them, always the same.  [default: all]")
@click.option(
    "--in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="Queries under way at once."
)
@click.option("--timeout", type=click.FloatRange(0.1, 3_600), default=60.0, show_default=True, help="Seconds a query.")
@click.option(
    "--work-folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where answers are recorded, so that a run goes on.  [default: calibration/NAME in the state folder]",
)
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file instead.")
@click.option("--force", is_flag=True, help="Store it even if the present one is better.")
@with_session
def calibrate(  # noqa: PLR0913 - one argument an option
    session: Session,
    *,
    dataset: Path | None,
    collection: str | None,
    from_judgements: bool,
    reranker: str | None,
    split: str,
    queries: int | None,
    in_flight: int,
    timeout: float,
    work_folder: Path | None,
    into: Path | None,
    force: bool,
) -> int:
    r"""Fit a calibration, so that 0.4 means 40 % on these documents.

    With a DATASET its documents go into the collection and its questions through the whole pipeline, at floor 0. With
    --from-judgements nothing is asked. A collection has a calibration for each reranker; --reranker names one of them.
    A managed one is paid for each question: --queries bounds how many. What is fitted is measured on questions that it
    was not fitted on, and is not stored when the present calibration does better.

    \b
    Examples:
      opinion calibrate ./handbook-questions -c handbook
      opinion calibrate -c handbook --from-judgements
      opinion calibrate ./handbook-questions -c handbook --reranker cohere --queries 100
      opinion calibrate ./handbook-questions --into calibration.json
    """
    if (dataset is None) is not from_judgements:
        raise click.UsageError("Name a data set, or --from-judgements with --collection.")
    if from_judgements and collection is None:
        raise click.UsageError("Say whose judgements: --collection NAME.")
    if reranker is not None and "," in reranker:
        raise click.UsageError("A calibration belongs to one reranker: --reranker NAME.")
    chosen = [] if reranker is None else ["--reranker", reranker]
    require_scikit_learn()
    desk = CalibrationDesk(session.direct)
    if dataset is None:
        found = _judged(session, desk, collection or "", reranker)
        command = ["-c", collection or "", "--from-judgements"]
    else:
        plan = RunPlan(
            folder=work_folder or _folder(dataset, collection, split, reranker),
            split=split,
            collection=collection,
            queries=queries,
            in_flight=in_flight,
            timeout=timeout,
            choices={"floor": 0.0, **({} if reranker is None else {"reranker": reranker})},
        )
        found = _asked(session, desk, dataset, plan)
        command = [dataset.name, "-c", found[2], "--split", split]
    scores, record, target = found
    told = " ".join(["opinion calibrate", *command, *chosen])
    return _settle(session, desk, desk.propose(scores, record, collection=target, command=told), into, force=force)


def _judged(session: Session, desk: CalibrationDesk, collection: str, name: str | None) -> Evidence:
    record = desk.reranker(name=name)
    if judged_name(collection) in record.trained_on:
        session.terminal.warn(
            f"{record.key.reranker} was trained on judged queries of {collection}, and looks better on them than it is"
        )
        session.terminal.hint("Judge candidates of questions that were asked since, or calibrate on a data set")
    return desk.judged(collection, record), record, collection


def _asked(session: Session, desk: CalibrationDesk, folder: Path, plan: RunPlan) -> Evidence:
    dataset = read_dataset(folder, split=plan.split)
    expected = desk.reranker(name=plan.choices.get("reranker"))
    answers, record = _answers(session, desk, dataset, plan, expected)
    if (dataset.name in record.trained_on) is not (dataset.name in expected.trained_on):
        # Another reranker than the latest one answered, and it may be asked other questions.
        answers, record = _answers(session, desk, dataset, plan, record)
    return list(asked_scores(dataset, answers.asked)), record, answers.collection


def _answers(
    session: Session, desk: CalibrationDesk, dataset: Dataset, plan: RunPlan, expected: RerankerRecord
) -> tuple[AskedSet, RerankerRecord]:
    """Ask what the expected reranker did not learn from; return the answers, and the reranker that gave them."""
    learner, fresh = expected.key.reranker, untrained_questions(dataset, expected.trained_on)
    if fresh is not dataset:
        kept, before = (sum(one.split == plan.split for one in some.questions.values()) for some in (fresh, dataset))
        if not kept:
            raise NotEnoughJudgements(
                f"{learner} was trained on {dataset.name} and learnt from all {before:,} {plan.split} questions",
                hint="Calibrate on another data set, or judge candidates: opinion calibrate --from-judgements",
            )
        session.terminal.neutral(
            f"{learner} was trained on {dataset.name}: "
            f"only {kept:,} of {before:,} {plan.split} questions, which it did not learn from, are used"
        )
    answers = run_dataset(session.client, fresh, plan, TerminalWatch(session.terminal))
    names = {one.reranker for one in answers.asked if one.error is None}
    if len(names) != 1:
        raise NotEnoughJudgements(
            f"no query of {dataset.name} was answered by one and the same reranker",
            hint="Run the same command again once all rerank workers run one model: opinion status",
        )
    return answers, desk.reranker(names.pop(), name=plan.choices.get("reranker"))


def _settle(
    session: Session, desk: CalibrationDesk, proposal: CalibrationProposal, into: Path | None, *, force: bool
) -> int:
    """Show what was fitted, then write or store it; an error leaves everything as it was."""
    terminal = session.terminal
    if not terminal.as_json:
        if terminal.interactive:
            terminal.lines(rendering.layout(proposal))
        else:
            terminal.rows(rendering.rows(proposal))
        rendering.say_query_level(terminal, proposal)
    if into is not None:
        save_artefact(proposal.artefact, into)
        done = f"Calibration {proposal.artefact.id} is in {into}"
    else:
        desk.store(proposal, force=force)
        done = f"Collection {proposal.collection} is calibrated by {proposal.artefact.id}"
    if terminal.as_json:
        terminal.json({"proposal": proposal, "file": None if into is None else str(into)})
    else:
        terminal.done(done)
        if into is None:
            terminal.hint(f"Its floor may want another value now: opinion floor report -c {proposal.collection}")
    return 0


def _folder(dataset: Path, collection: str | None, split: str, reranker: str | None) -> Path:
    parts = [dataset.resolve().name, collection, split, reranker]
    name = re.sub(r"[^\w.-]+", "-", "-".join(part for part in parts if part))
    return load_settings().state_dir / SUBFOLDER / name
