"""Judged candidates of past queries, written as a data set that training reads."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from second_opinion.gateway.protocol import OpinionEvidence
from second_opinion.pipeline.enough_judgements import require_pairs
from second_opinion.schemas.chunk import CONTEXT_SEPARATOR, ChunkHit
from second_opinion.schemas.errors import UnknownTrace
from second_opinion.schemas.trace import Judgement, text_hash


@dataclass
class JudgedSet:
    """What was gathered.

    Attributes:
        passages: Title and text of every candidate of a judged query, by the hash of its text.
        questions: Text of each judged query, by its hash.
        grades: Query, passage, and whether it is relevant.
        gone: Judgements whose passage or trace is no longer there.
        nameless: Judgements whose query was kept without its text.
    """

    passages: dict[str, tuple[str, str]] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    grades: list[tuple[str, str, bool]] = field(default_factory=list)
    gone: int = 0
    nameless: int = 0


def judged_name(collection: str) -> str:
    """Return the name of the data set that a collection's judged queries make."""
    return f"judged-{collection}"


def gather(evidence: OpinionEvidence, collection: str) -> JudgedSet:
    """Return the judged pairs of a collection, with the other candidates of their queries to choose negatives from."""
    found = JudgedSet()
    by_job: dict[str, list[Judgement]] = {}
    for one in evidence.judgements(collection):
        by_job.setdefault(one.job_id, []).append(one)
    for job_id, judgements in by_job.items():
        named = [one for one in judgements if one.query]
        found.nameless += len(judgements) - len(named)
        if named:
            _add(found, named, _candidates(evidence, job_id))
    return found


def write_judged(evidence: OpinionEvidence, collection: str, folder: Path) -> JudgedSet:
    """Write the judged pairs of a collection in the normalised format: all of them in the `train` split.

    Raises:
        NotEnoughJudgements: If fewer than 50 are left that have question and passage.
    """
    found = gather(evidence, collection)
    pairs = len(found.grades)
    lost = f" ({found.gone} have lost their passage, {found.nameless} their question)"
    has = f"collection {collection} has {pairs} judged pairs to train on"
    require_pairs(pairs, has + (lost if found.gone or found.nameless else ""))
    folder.mkdir(parents=True, exist_ok=True)
    answered = {query for query, _, relevant in found.grades if relevant}
    refused = {query: passage for query, passage, _ in reversed(found.grades) if query not in answered}
    _write(folder / "corpus.jsonl", map(_passage, found.passages.items()))
    questions = ({"id": one, "text": text, "answerable": one in answered} for one, text in found.questions.items())
    _write(folder / "queries.jsonl", (json.dumps({**row, "split": "train"}) for row in questions))
    _write(folder / "topical.tsv", (f"{query}\t{passage}\t1" for query, passage in refused.items()))
    _write(folder / "qrels.tsv", (f"{query}\t{passage}\t{int(good)}" for query, passage, good in found.grades))
    return found


def _candidates(evidence: OpinionEvidence, job_id: str) -> Mapping[str, ChunkHit]:
    try:
        return evidence.chunks(evidence.trace(job_id))
    except UnknownTrace:
        return {}


def _add(found: JudgedSet, judgements: Sequence[Judgement], candidates: Mapping[str, ChunkHit]) -> None:
    texts = {text_hash(chunk.text): chunk for chunk in candidates.values()}
    kept = [one for one in judgements if one.text_hash in texts]
    found.gone += len(judgements) - len(kept)
    if not kept:
        return
    for digest, chunk in texts.items():
        title = CONTEXT_SEPARATOR.join(part for part in (chunk.title, *chunk.headings) if part)
        found.passages[digest] = title, chunk.text
    for one in kept:
        found.questions[one.query_hash] = one.query or ""
        found.grades.append((one.query_hash, one.text_hash, one.relevant))


def _passage(row: tuple[str, tuple[str, str]]) -> str:
    digest, (title, text) = row
    return json.dumps({"id": digest, "title": title, "text": text})


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
