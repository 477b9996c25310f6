"""`opinion evaluate` and its runner, on a whole system in memory."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree as ET

import pytest

from second_opinion.gateway.cli.rendering.evaluate import layout, miss_layout
from second_opinion.gateway.evaluation import RunPlan, collection_of, run_dataset, sample
from second_opinion.gateway.evaluation_log import ASKED, PREVIOUS, WorkFolder
from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question, read_dataset
from second_opinion.pipeline.evaluation.misses import misses
from second_opinion.schemas.errors import DeadlineExceeded, InvalidRequest, OpinionError, RerankUnavailable
from second_opinion.schemas.evaluation import EvaluationReport, MissClass
from second_opinion.schemas.job import Job, JobState
from tests.unit.gateway.conftest import MemorySystem

DOCUMENTS = {
    "refunds": "A manager approves refunds above one hundred euros.",
    "dogs": "Dogs may visit the office on Fridays.",
    "tea": "Green tea is in the third drawer.",
    "tides": "Tide tables are pinned beside the boat shed door.",
}
QUESTIONS = {
    "q1": ("who approves refunds?", "refunds"),
    "q2": ("may dogs visit the office?", "dogs"),
    "q3": ("where is green tea?", "tea"),
    "q4": ("how do I reset the router password?", None),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set in words of our own."""
    made = tmp_path / "harbour"
    made.mkdir()
    write(made / "corpus.jsonl", *(json.dumps({"id": key, "text": text}) for key, text in DOCUMENTS.items()))
    rows = [
        {"id": key, "text": text, "answerable": answer is not None, "split": "dev"}
        for key, (text, answer) in QUESTIONS.items()
    ]
    write(made / "queries.jsonl", *map(json.dumps, rows))
    write(made / "qrels.tsv", *(f"{key}\t{answer}\t1" for key, (_, answer) in QUESTIONS.items() if answer))
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder."""
    return tmp_path / "work"


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def asked_texts(system: MemorySystem, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every question is added that is asked from now on."""
    heard: list[str] = []
    submit = system.client.submit_query

    def submit_query(text: str, **options: Any) -> Job:
        heard.append(text)
        return submit(text, **options)

    monkeypatch.setattr(system.client, "submit_query", submit_query)
    return heard


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def plan(work: Path, **options: Any) -> RunPlan:
    """Return a plan that asks one question at a time: the system in memory has no workers of its own."""
    return RunPlan(work, in_flight=1, **options)


class Heard:
    """A watch that remembers what it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def step(self, name: str, total: int) -> Self:  # noqa: ARG002 - the protocol's form
        """Show nothing."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Show nothing."""

    def advance(self, count: int = 1) -> None:
        """Show nothing."""

    def say(self, sentence: str) -> None:
        """Remember it."""
        self.sentences.append(sentence)


# The runner


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


# The command


def evaluate(system: MemorySystem, folder: Path, work: Path, *options: str) -> Any:
    """Run the command."""
    return system.opinion("evaluate", str(folder), "--into", str(work), "--in-flight", "1", *options)


def test_the_command_prints_a_plain_table(system: MemorySystem, folder: Path, work: Path) -> None:
    """In a pipe: data set, part, figure, value, low, high."""
    told = evaluate(system, folder, work)
    assert told.exit_code == 0, told.stderr
    cells = {tuple(row[1:3]): row for row in (line.split("\t") for line in told.stdout.splitlines())}
    assert all(len(row) == 6 for row in cells.values())
    assert cells["reranked", "ndcg_10"][3] == "1.000000"
    assert cells["misses", "hit"][3] == "3"
    assert cells["refusal", "recall"][3] == "1.000000"
    assert "4 of 4 queries answered or refused" in told.stderr


def test_the_command_prints_json(system: MemorySystem, folder: Path, work: Path) -> None:
    """The report as its schema has it, and the queries when they are asked for."""
    told = json.loads(evaluate(system, folder, work, "--json", "--misses").stdout)
    (found,) = (EvaluationReport.model_validate(one) for one in told["reports"])
    assert (found.name, found.queries, found.failed) == ("harbour", 4, 0)
    assert told["pooled"] is None
    assert [one["miss"] for one in told["misses"]["harbour"]] == ["hit"] * 3
    assert EvaluationReport.model_validate_json((work / "report.json").read_bytes()).stages == found.stages


def test_misses_are_listed(system: MemorySystem, folder: Path, work: Path) -> None:
    """With a floor that nothing clears each is the floor's; hits are left out of the list."""
    told = evaluate(system, folder, work, "--misses", "--floor", "1.0")
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert [row[:4] for row in rows] == [["harbour", key, "floor_miss", "1"] for key in ("q1", "q2", "q3")]
    assert evaluate(system, folder, work, "--misses").stdout == ""


def test_several_data_sets_are_pooled(system: MemorySystem, folder: Path, work: Path, tmp_path: Path) -> None:
    """One report each, and one of all."""
    other = tmp_path / "quay"
    other.mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"):
        (other / name).write_bytes((folder / name).read_bytes())
    told = json.loads(
        system.opinion("evaluate", str(folder), str(other), "--into", str(work), "--in-flight", "1", "--json").stdout
    )
    assert [one["name"] for one in told["reports"]] == ["harbour", "quay"]
    assert told["pooled"]["datasets"] == ["harbour", "quay"]
    assert told["pooled"]["queries"] == 8
    assert (work / "quay" / ASKED).exists()


def test_pictures_are_drawn(system: MemorySystem, folder: Path, work: Path, tmp_path: Path) -> None:
    """Four well-formed SVG files; the same report gives the same bytes."""
    drawn = []
    for place in (tmp_path / "one", tmp_path / "two"):
        assert evaluate(system, folder, work, "--pictures", str(place)).exit_code == 0
        drawn.append({path.name: path.read_bytes() for path in sorted(place.iterdir())})
    kinds = ("floors", "relevance", "reliability", "risk-coverage")
    assert list(drawn[0]) == [f"harbour-{kind}.svg" for kind in kinds]
    assert drawn[0] == drawn[1]
    for content in drawn[0].values():
        root = ET.fromstring(content)  # noqa: S314 - made here
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 3


def test_a_terminal_has_eighty_columns(system: MemorySystem, folder: Path, work: Path) -> None:
    """No line is wider, and every stage and measure is there."""
    done = run_dataset(system.client, read_dataset(folder), plan(work))
    evaluate(system, folder, work)
    found = EvaluationReport.model_validate_json((work / "report.json").read_bytes())
    shown = [line.plain for line in layout(found)]
    assert max(map(len, shown)) <= 80
    for word in ("bm25", "knn", "fused", "reranked", "floored", "recall@100", "AUROC", "ECE", "Brier", "hit 3"):
        assert any(word in line for line in shown), word
    missed = {"harbour": misses(done.dataset, done.asked)}
    assert list(miss_layout(missed, 80)) == []


@pytest.mark.parametrize(("library", "options"), [("ir_measures", []), ("matplotlib", ["--pictures", "pictures"])])
def test_a_missing_extra_is_told_before_anything_is_sent(  # noqa: PLR0917 - fixtures are parameters
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch, library: str, options: list[str]
) -> None:
    """The error names the command that installs it."""
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == library:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    told = evaluate(system, folder, work, *options)
    assert told.exit_code == 4
    assert 'pip install "second-opinion[evaluation]"' in told.stderr
    assert not work.exists()


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        ("qrels.tsv", "qrels.tsv, line 4: names document 'nowhere'"),
        ("corpus.jsonl", "corpus.jsonl, line 5: not an object with an id"),
    ],
)
def test_a_broken_data_set_is_told_before_anything_is_sent(
    system: MemorySystem, folder: Path, work: Path, break_it: str, complaint: str
) -> None:
    """File and line, exit code 2, and no document went in."""
    line = "q1\tnowhere\t1" if break_it == "qrels.tsv" else "[]"
    with (folder / break_it).open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
    told = evaluate(system, folder, work)
    assert told.exit_code == 2
    assert complaint in told.stderr
    assert system.client.collections() == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--with", "nothing.jsonl"], "nothing.jsonl does not exist"),
        (["--split", "test"], "split 'test' has no queries"),
        (["--queries", "0"], "invalid value"),
    ],
)
def test_wrong_options_are_told(
    system: MemorySystem, folder: Path, work: Path, options: list[str], complaint: str
) -> None:
    """Each with exit code 2."""
    told = evaluate(system, folder, work, *options)
    assert told.exit_code == 2
    assert complaint in told.stderr


def test_interrupted_it_says_how_to_go_on(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps what was answered; the same command then asks only the rest."""
    interrupted = _interrupt_after(2, WorkFolder.record)
    monkeypatch.setattr(WorkFolder, "record", interrupted)
    told = evaluate(system, folder, work)
    assert told.exit_code == 130
    assert "same command again" in told.stderr
    monkeypatch.undo()
    recorded = lines(work / ASKED)
    assert len(recorded) == 2
    assert evaluate(system, folder, work).exit_code == 0
    assert lines(work / ASKED)[:2] == recorded
    assert len(lines(work / ASKED)) == 4


def _interrupt_after(count: int, real: Any) -> Any:
    left: Iterator[int] = iter(range(count))

    def record(self: WorkFolder, asked: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(self, asked)

    return record


def test_failed_queries_make_the_command_fail(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is printed, the failures are named, and the exit code is 4."""
    real = MemorySystem._answer

    def answer(self: MemorySystem, job_id: str) -> None:
        if "dogs" in self.jobs.get(job_id).query.text:
            problem: OpinionError = RerankUnavailable("the reranker is away")
            self.jobs.finish(job_id, JobState.FAILED, at=self.stores.clock.now(), error=problem.info())
        else:
            real(self, job_id)

    monkeypatch.setattr(MemorySystem, "_answer", answer)
    told = evaluate(system, folder, work)
    assert told.exit_code == 4
    assert "1 queries failed" in told.stderr
    assert "q2: the reranker is away" in told.stderr
    assert "reranked" in told.stdout
