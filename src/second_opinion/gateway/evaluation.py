"""Running a data set through the system: its documents in, its queries asked, every answer recorded.

    with Client() as client:
        plan = RunPlan(folder=Path("evaluation/handbook"))
        asked = run_dataset(client, read_dataset(Path("handbook")), plan)

A run that was interrupted goes on where it was: documents that are there already cost nothing, and queries that were
answered are not asked again, unless something that the answers depend on has changed.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from second_opinion.gateway.cli.intake import Intake, Progress
from second_opinion.gateway.evaluation_log import RunKey, WorkFolder
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.gateway.questions import Answer, Desk, QuestionPlan, asked_query
from second_opinion.gateway.sources import Unreadable
from second_opinion.pipeline.evaluation.dataset_files import fingerprint
from second_opinion.pipeline.evaluation.datasets import (
    Dataset,
    Passage,
    Question,
    questions_of,
    read_passages,
    relevant_documents,
)
from second_opinion.pipeline.evaluation.report import AskedSet
from second_opinion.schemas.base import parse_request
from second_opinion.schemas.document import DocumentInput, DocumentState
from second_opinion.schemas.errors import DeadlineExceeded, InvalidRequest, OpinionError
from second_opinion.schemas.evaluation import AskedQuery, Corpus

NAME_LIMIT: Final = 63
FAILURES_KEPT: Final = 100


class Watch(Protocol):
    """Hears how a run gets on."""

    def step(self, name: str, total: int) -> AbstractContextManager[Progress]:
        """Show that a step of `total` parts begins; it ends with the context."""

    def say(self, sentence: str) -> None:
        """Tell something that a person should know."""


class Unwatched:
    """A `Watch` that shows nothing."""

    def step(self, name: str, total: int) -> AbstractContextManager[Progress]:  # noqa: ARG002 - the protocol's form
        """Show nothing."""
        return nullcontext(_Silent())

    def say(self, sentence: str) -> None:
        """Tell nobody."""


class _Silent:
    def advance(self, count: int = 1) -> None:
        """Show nothing."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How a data set is run.

    Attributes:
        folder: Where the answers are recorded.
        split: Which queries are asked; the data set's only split, or `dev` or `test`, when left out.
        collection: Where the documents go; one of the data set's own when left out.
        distractors: A corpus whose documents are added to those of the data set.
        queries: How many queries are asked, answerable and unanswerable ones in proportion; None asks all.
        seed: Which ones.
        in_flight: How many queries are under way at once.
        timeout: Seconds that an answer may take.
        patience: Seconds without progress after which waiting for documents ends.
        choices: Any of floor, top_k, candidates, chunks_per_document, bm25_weight, knn_weight.
    """

    folder: Path
    split: str | None = None
    collection: str | None = None
    distractors: Path | None = None
    queries: int | None = None
    seed: int = 0
    in_flight: int = 4
    timeout: float = 60.0
    patience: float = 120.0
    choices: Mapping[str, Any] = field(default_factory=dict)


def run_dataset(client: OpinionClient, dataset: Dataset, plan: RunPlan, watch: Watch | None = None) -> AskedSet:
    """Ingest a data set, ask its queries, and return the answers, failed queries included.

    Raises:
        InvalidDataset: If the split has no queries, or the distractors cannot be read.
        InvalidRequest: If the work folder cannot be used.
        DeadlineExceeded: If documents do not become searchable, or queries are not answered: no workers run.
        StoreUnavailable: If a server does not answer; likewise BrokerUnavailable and JobStoreUnavailable.
    """
    shown = watch or Unwatched()
    questions = sample(questions_of(dataset, plan.split), plan.queries, plan.seed)
    collection = plan.collection or collection_of(dataset, plan.distractors)
    with WorkFolder(plan.folder) as folder:
        corpus, unseen = _ingest(client, dataset, collection, plan, shown)
        run = _Run(client, dataset, collection, plan, folder, unseen)
        run.ask(questions, shown)
        asked = tuple(folder.answers[one.id] for one in questions)
    return AskedSet(dataset, questions[0].split, asked, collection, corpus)


def collection_of(dataset: Dataset, distractors: Path | None = None) -> str:
    """Return the name of the collection that a data set gets of its own."""
    parts = [dataset.name] if distractors is None else [dataset.name, "with", label_of(distractors)]
    slug = re.sub(r"[^a-z0-9_-]+", "-", "-".join(parts).lower()).strip("-_")
    return f"evaluate-{slug}"[:NAME_LIMIT]


def label_of(corpus: Path) -> str:
    """Return what a corpus is called: its file's name, or its folder's where the file is called `corpus`."""
    stem = corpus.name.partition(".")[0]
    return corpus.resolve().parent.name if stem == "corpus" else stem


def sample(questions: Sequence[Question], count: int | None, seed: int = 0) -> list[Question]:
    """Return some of the questions, always the same ones, answerable and unanswerable ones in proportion."""
    if count is None or count >= len(questions):
        return list(questions)
    ranked: list[tuple[float, str, Question]] = []
    for kind in (True, False, None):
        mine = sorted((one for one in questions if one.answerable is kind), key=lambda one: one.id)
        random.Random(f"{seed}/{kind}").shuffle(mine)  # noqa: S311 - a sample, not a secret
        # Spread evenly over [0, 1], each kind has its share of every head of the list.
        ranked += [((place + 0.5) / len(mine), one.id, one) for place, one in enumerate(mine)]
    ranked.sort(key=lambda entry: entry[:2])
    chosen = {one.id for _, _, one in ranked[:count]}
    return [one for one in questions if one.id in chosen]


def _ingest(
    client: OpinionClient, dataset: Dataset, collection: str, plan: RunPlan, watch: Watch
) -> tuple[Corpus, frozenset[str]]:
    """Send all documents and wait until they are settled; return what became of them, and those that nobody sees."""
    extra = _distractors(plan.distractors)
    total = len(dataset.passages) + len(extra)
    intake = Intake(client)
    with watch.step("documents sent", total) as progress:
        intake.send(_documents([*dataset.passages.values(), *extra], collection), progress)
    with watch.step("documents searchable", intake.pending) as progress:
        intake.wait(plan.patience, progress)
    if intake.pending:
        raise DeadlineExceeded(
            f"{intake.pending:,} documents are not searchable after {plan.patience:g} seconds without progress",
            hint="They are durable and go on when a worker does: opinion status; then run the same command again",
        )
    failed = {one.name: one.error.message for one in intake.failures}
    unseen = frozenset(dataset.passages) & frozenset(failed)
    if failed:
        watch.say(f"{len(failed):,} of {total:,} documents did not get in: see `corpus` in the report")
    others = _others(client, collection, {*dataset.passages, *(one.id for one in extra)})
    if others:
        watch.say(f"Collection {collection} holds {others:,} other documents; they compete in every ranking")
    return Corpus(
        documents=len(dataset.passages),
        searchable=len(dataset.passages) - len(unseen),
        distractors=len(extra),
        others=others,
        failures=dict(list(failed.items())[:FAILURES_KEPT]),
    ), unseen


def _documents(passages: Sequence[Passage], collection: str) -> Iterator[DocumentInput | Unreadable]:
    for one in passages:
        payload = {"id": one.id, "title": one.title, "text": one.text, "collection": collection}
        try:
            yield parse_request(DocumentInput, payload)
        except OpinionError as problem:
            yield Unreadable(one.id, problem.info())


def _distractors(path: Path | None) -> list[Passage]:
    if path is None:
        return []
    label = label_of(path)
    return [Passage(f"{label}/{one.id}", one.title, one.text) for one in read_passages(path).values()]


def _others(client: OpinionClient, collection: str, ours: set[str]) -> int:
    listed = client.documents(collection=collection)
    return sum(one.document_id not in ours and one.state is not DocumentState.DELETED for one in listed)


@dataclass(slots=True)
class _Run:
    """The asking part of a run."""

    client: OpinionClient
    dataset: Dataset
    collection: str
    plan: RunPlan
    folder: WorkFolder
    unseen: frozenset[str]

    def ask(self, questions: Sequence[Question], watch: Watch) -> None:
        """Ask what has no answer yet; when something changed since the answers were recorded, ask all anew."""
        plan = QuestionPlan(self.collection, self.plan.in_flight, self.plan.timeout, self.plan.choices)
        desk = Desk(self.client, plan)
        first = self._first_answer(desk, questions)
        key = self._key(first)
        if self.folder.key is not None and self.folder.answers and (changed := self.folder.key.changes(key)):
            watch.say(f"Changed since these queries were asked: {', '.join(changed)}. All are asked anew")
            self.folder.begin(key)
        elif self.folder.key != key:
            self.folder.begin(key)
        if not self._is_done(first.question):
            self._record(first)
        left = [one for one in questions if not self._is_done(one)]
        known = len(questions) - len(left)
        with watch.step("queries", len(questions)) as progress:
            progress.advance(known)
            with closing(desk.ask(left)) as answers:
                for answer in answers:
                    self._require_same(key, answer)
                    self._record(answer)
                    progress.advance()

    def _first_answer(self, desk: Desk, questions: Sequence[Question]) -> Answer:
        """Ask one query, if there is one that has no answer yet, to see which models answer now."""
        ordered = sorted(questions, key=self._is_done)
        for question in ordered:
            try:
                return desk.ask_one(question)
            except InvalidRequest as problem:
                last = problem
        raise last

    def _is_done(self, question: Question) -> bool:
        known = self.folder.answers.get(question.id)
        return known is not None and known.error is None

    def _key(self, answer: Answer) -> RunKey:
        parts = [self.dataset.fingerprint]
        if self.plan.distractors is not None:
            parts.append(fingerprint([self.plan.distractors]))
        record = self._asked(answer)
        return RunKey(
            dataset="+".join(parts),
            collection=self.collection,
            choices=record.choices,
            embedder=record.embedder,
            reranker=record.reranker,
            calibration=record.calibration,
            calibration_id=record.calibration_id,
        )

    def _require_same(self, key: RunKey, answer: Answer) -> None:
        if answer.error is None and (changed := key.changes(self._key(answer))):
            raise InvalidRequest(
                f"changed while the queries were asked: {', '.join(changed)}",
                hint="Run the same command again: it asks all queries anew.",
            )

    def _record(self, answer: Answer) -> None:
        self.folder.record(self._asked(answer))

    def _asked(self, answer: Answer) -> AskedQuery:
        missing = relevant_documents(self.dataset, answer.question.id) & self.unseen
        return asked_query(answer, sorted(missing))
