"""The runner behind `opinion evaluate`, on a whole system in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from second_opinion.gateway.evaluation import collection_of, run_dataset, sample
from second_opinion.gateway.evaluation_log import ASKED, PREVIOUS, WorkFolder
from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question, read_dataset
from second_opinion.pipeline.evaluation.misses import misses
from second_opinion.schemas.errors import DeadlineExceeded, InvalidRequest, RerankUnavailable
from second_opinion.schemas.evaluation import MissClass
from second_opinion.schemas.job import Job
from tests.unit.gateway.conftest import MemorySystem
from tests.unit.gateway.evaluate.harbour import QUESTIONS, Heard, asked_texts, lines, plan, write


def test_every_query_is_answered_and_recorded(system: MemorySystem, folder: Path, work: Path) -> None:
    """One line each, with what the stages said; documents are searchable first."""
    done = run_dataset(system.client, read_dataset(folder), plan(work))
    assert [one.query_id for one in done.asked] == list(QUESTIONS)
    assert all(one.error is None and one.candidates for one in done.asked)
    assert (done.corpus.documents, done.corpus.searchable, done.corpus.others) == (4, 4, 0)
    assert done.collection == "evaluate-harbour"
    assert {json.loads(line)["query_id"] for line in lines(work / ASKED)} == set(QUESTIONS)
    first = done.asked[0].candidates[0]
    assert (first.document_id, first.rank, first.bm25_rank) == ("refunds", 1, 1)
    assert [one.miss for one in misses(done.dataset, done.asked)] == [MissClass.HIT] * 3


def test_a_second_run_asks_one_query_to_see_what_answers(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded again, and the answers are those of the first run."""
    dataset = read_dataset(folder)
    before = run_dataset(system.client, dataset, plan(work))
    recorded = lines(work / ASKED)
    heard = asked_texts(system, monkeypatch)
    again = run_dataset(system.client, dataset, plan(work))
    assert len(heard) == 1
    assert lines(work / ASKED) == recorded
    assert again.asked == before.asked


def test_a_torn_last_line_is_asked_again(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed in the middle of a line goes on after the last whole one."""
    dataset = read_dataset(folder)
    before = run_dataset(system.client, dataset, plan(work))
    whole = lines(work / ASKED)
    (work / ASKED).write_text("\n".join([*whole[:2], whole[2][:40]]), encoding="utf-8")
    heard = asked_texts(system, monkeypatch)
    again = run_dataset(system.client, dataset, plan(work))
    assert len(heard) == 2
    assert len(lines(work / ASKED)) == 4
    assert [one.candidates for one in again.asked] == [one.candidates for one in before.asked]


def test_an_unreadable_record_is_named(folder: Path, work: Path) -> None:
    """The error names file and line, and nothing is overwritten."""
    work.mkdir()
    (work / ASKED).write_text('{"query_id": "q1"}\n{"query": 3}\n', encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"asked\.jsonl, line 2"), WorkFolder(work):
        pass
    assert len(lines(work / ASKED)) == 2


def test_a_folder_serves_one_run_at_a_time(work: Path) -> None:
    """The second one is told, and the first goes on."""
    with WorkFolder(work), pytest.raises(InvalidRequest, match="another run"), WorkFolder(work):
        pass
    with WorkFolder(work) as free:
        assert free.answers == {}


def test_other_choices_ask_anew(system: MemorySystem, folder: Path, work: Path) -> None:
    """A line says why; the answers of before are put aside, not lost."""
    dataset = read_dataset(folder)
    run_dataset(system.client, dataset, plan(work))
    heard = Heard()
    done = run_dataset(system.client, dataset, plan(work, choices={"floor": 0.9}), heard)
    assert any("choices" in one and "anew" in one for one in heard.sentences)
    assert {one.choices.floor for one in done.asked} == {0.9}
    assert len(lines(work / PREVIOUS)) == len(lines(work / ASKED)) == 4


def test_another_corpus_asks_anew(system: MemorySystem, folder: Path, work: Path) -> None:
    """Every ranking may be another one then."""
    run_dataset(system.client, read_dataset(folder), plan(work))
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "keys", "text": "The keys hang in the hall."}\n')
    heard = Heard()
    run_dataset(system.client, read_dataset(folder), plan(work), heard)
    assert any("data set" in one for one in heard.sentences)


def test_another_model_asks_anew(system: MemorySystem, folder: Path, work: Path) -> None:
    """What it said before is of another scale."""
    dataset = read_dataset(folder)
    run_dataset(system.client, dataset, plan(work))
    run = work / "run.json"
    run.write_text(run.read_text(encoding="utf-8").replace("word-reranker@1", "word-reranker@0"), encoding="utf-8")
    heard = Heard()
    run_dataset(system.client, dataset, plan(work), heard)
    assert heard.sentences == ["Changed since these queries were asked: reranker. All are asked anew"]


def test_a_query_that_fails_twice_is_recorded_as_failed(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are answered; the next run asks it again, and only it."""
    dataset, submit, heard = read_dataset(folder), system.client.submit_query, []

    def failing(text: str, **options: Any) -> Job:
        heard.append(text)
        if "dogs" in text:
            raise RerankUnavailable("the reranker is away")
        return submit(text, **options)

    monkeypatch.setattr(system.client, "submit_query", failing)
    done = run_dataset(system.client, dataset, plan(work))
    assert [one.query_id for one in done.asked if one.error] == ["q2"]
    assert sum("dogs" in text for text in heard) == 2
    monkeypatch.setattr(system.client, "submit_query", submit)
    texts = asked_texts(system, monkeypatch)
    again = run_dataset(system.client, dataset, plan(work))
    assert texts == ["may dogs visit the office?"]
    assert all(one.error is None for one in again.asked)


def test_a_system_that_fails_ends_the_run(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is answered the error is told at once; nothing is recorded as an answer."""

    def failing(text: str, **options: Any) -> Job:
        raise DeadlineExceeded("no answer within 60 seconds (it was queued)")

    monkeypatch.setattr(system.client, "submit_query", failing)
    with pytest.raises(DeadlineExceeded):
        run_dataset(system.client, read_dataset(folder), plan(work))
    assert lines(work / ASKED) == []


def test_documents_that_nobody_indexes_end_the_run(system: MemorySystem, folder: Path, work: Path) -> None:
    """Without workers it says so instead of waiting for ever."""
    system.queue.stopped = True
    with pytest.raises(DeadlineExceeded, match="4 documents are not searchable") as raised:
        run_dataset(system.client, read_dataset(folder), plan(work, patience=0.0))
    assert "opinion status" in raised.value.hint


def test_a_document_that_does_not_get_in_is_told_as_not_indexed(system: MemorySystem, folder: Path, work: Path) -> None:
    """Its query's miss is the index's, not retrieval's."""
    rows = [json.loads(line) for line in lines(folder / "corpus.jsonl")]
    rows[1]["text"] = "   "
    write(folder / "corpus.jsonl", *map(json.dumps, rows))
    done = run_dataset(system.client, read_dataset(folder), plan(work))
    assert list(done.corpus.failures) == ["dogs"]
    assert {one.query_id: one.miss for one in misses(done.dataset, done.asked)}["q2"] is MissClass.NOT_INDEXED


def test_distractors_join_a_collection_of_their_own(
    system: MemorySystem, folder: Path, work: Path, tmp_path: Path
) -> None:
    """Under ids that cannot clash with the data set's."""
    (tmp_path / "crowd").mkdir()
    write(tmp_path / "crowd" / "corpus.jsonl", '{"id": "tea", "text": "Black tea is sold at the market."}')
    done = run_dataset(system.client, read_dataset(folder), plan(work, distractors=tmp_path / "crowd" / "corpus.jsonl"))
    assert done.collection == "evaluate-harbour-with-crowd"
    assert (done.corpus.documents, done.corpus.distractors, done.corpus.others) == (4, 1, 0)
    assert {c.document_id for one in done.asked for c in one.candidates} >= {"tea", "crowd/tea"}


def test_other_documents_in_the_collection_are_told(system: MemorySystem, folder: Path, work: Path) -> None:
    """They compete in every ranking."""
    system.client.submit_document(id="mine", text="My own notes.", collection="shared")
    heard = Heard()
    done = run_dataset(system.client, read_dataset(folder), plan(work, collection="shared"), heard)
    assert done.corpus.others == 1
    assert heard.sentences == ["Collection shared holds 1 other documents; they compete in every ranking"]


def test_a_sample_keeps_the_proportion() -> None:
    """Answerable and unanswerable ones as in the whole; a larger sample holds the smaller one."""
    questions = [Question(f"q{n}", f"{n}?", n % 4 > 0, "dev") for n in range(400)]
    found = sample(questions, 40)
    assert sum(one.answerable is True for one in found) == 30
    assert {one.id for one in found} <= {one.id for one in sample(questions, 80)}
    assert {one.id for one in found} != {one.id for one in sample(questions, 40, seed=1)}


@pytest.mark.parametrize(
    ("name", "expected"), [("SciFact v2", "evaluate-scifact-v2"), ("x" * 80, f"evaluate-{'x' * 54}")]
)
def test_a_collection_has_a_name_that_it_may_have(name: str, expected: str) -> None:
    """Whatever the folder is called."""
    assert collection_of(Dataset(name, {"d": Passage("d", "", "x")}, {})) == expected
