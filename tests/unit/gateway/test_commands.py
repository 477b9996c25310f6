"""The commands, run on a whole system in memory."""

import gc
import json
from pathlib import Path

import pytest

from second_opinion.gateway.cli.lazy import LazyCommand
from second_opinion.gateway.cli.program import COMMANDS
from second_opinion.schemas.job import Job
from tests.unit.gateway.conftest import MemorySystem


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


def test_ingest_then_query(system: MemorySystem, tmp_path: Path) -> None:
    """Documents go in, are searchable, and an answer comes back with its source and exit code 0."""
    done = system.opinion("ingest", str(write(tmp_path, refunds="# Refunds\n\nA manager approves refunds.")))
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "✓ Accepted 1 document (durable)" in done.stderr
    assert "✓ Searchable 1 · 2 chunks" in done.stderr
    asked = system.opinion("query", "manager approves refunds")
    assert asked.exit_code == 0
    rank, relevance, document, source, text = asked.stdout.splitlines()[0].split("\t")
    assert (rank, document, source, text) == ("1", "refunds.md", "refunds.md › Refunds", "A manager approves refunds.")
    assert 0.4 < float(relevance) <= 1.0
    assert "✓ Answered: 1 of 2 kept" in asked.stderr


def test_a_refusal_is_no_error(handbook: MemorySystem) -> None:
    """What nothing answers is refused: exit code 3, no data, best relevance and floor in the summary."""
    asked = handbook.opinion("query", "xylophone lesson Reykjavik")
    assert asked.exit_code == 3
    assert asked.stdout == ""
    assert asked.stderr.startswith("- Refused: best relevance 0.01, floor 0.40")


def test_floor_zero_and_one_mean_what_they_say(handbook: MemorySystem) -> None:
    """Floor 0.0 keeps every candidate up to the caps; floor 1.0 keeps none that is not certain."""
    loose = json.loads(handbook.opinion("query", "manager", "--floor", "0", "--json").stdout)["result"]
    assert loose["floor"] == 0.0
    assert len(loose["kept"]) == loose["candidates"] == 4
    assert handbook.opinion("query", "manager", "--floor", "1").exit_code == 3


def test_json_is_the_job(handbook: MemorySystem) -> None:
    """`--json`, before or after the command's name, prints the whole job as its schema has it."""
    for arguments in (("query", "manager approves", "--json"), ("--json", "query", "manager approves")):
        asked = handbook.opinion(*arguments)
        job = Job.model_validate_json(asked.stdout)
        assert job.result is not None
        assert job.result.kept[0].document_id == "refunds.md"
        assert asked.stderr == ""


@pytest.mark.parametrize(
    ("filters", "documents"),
    [
        (["year>=2020"], {"refunds.md"}),
        (["year<2020"], {"dogs.md"}),
        (["lang=en"], {"refunds.md", "dogs.md"}),
        (["lang=en,de"], {"refunds.md", "dogs.md", "tea.md"}),
        (["shelf=3"], {"tea.md"}),
        (["missing:year"], {"tea.md"}),
        (["has:year", "year>2020"], {"refunds.md"}),
    ],
)
def test_filters(handbook: MemorySystem, filters: list[str], documents: set[str]) -> None:
    """Typed filters keep what fits them; a number in a text field is text."""
    options = [part for one in filters for part in ("--filter", one)]
    asked = handbook.opinion("query", "anything", "--floor", "0", *options)
    assert {line.split("\t")[2] for line in asked.stdout.splitlines()} == documents


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["query", ""], 2, "the query is empty"),
        (["query", "x" * 50_000], 2, "50,000 characters"),
        (["query", "x", "--floor", "1.5"], 2, "--floor"),
        (["query", "x", "--top-k", "0"], 2, "--top-k"),
        (["query", "x", "--filter", "colour=red"], 2, "colour"),
        (["query", "x", "--filter", "year=old"], 2, "number"),
        (["query", "x", "-c", "nowhere"], 4, "nowhere"),
        (["query", "x", "-c", "Not A Name"], 2, "collection"),
        (["job", "show", "no-such-job"], 4, "no-such-job"),
        (["document", "status", "no/such/document"], 4, "no/such/document"),
        (["document", "chunks", "none"], 4, "none"),
        (["document", "delete", "none"], 4, "none"),
        (["collections", "show", "nowhere"], 4, "nowhere"),
        (["collections", "set", "default"], 2, "at least one choice"),
        (["why", "no-such-job", "refunds.md"], 4, "no-such-job"),
        (["ingest"], 2, "Give files"),
        (["ingest", "/no/such/path"], 2, "does not exist"),
        (["ingest", "-", "other.md"], 2, "cannot be mixed"),
        (["dead-letters", "retry"], 2, "--all"),
        (["queyr", "x"], 2, "query"),
        (["query", "x", "--flor", "0.3"], 2, "--floor"),
    ],
)
def test_wrong_use_says_what_to_do(handbook: MemorySystem, arguments: list[str], code: int, words: str) -> None:
    """Every mistake ends with an error, a hint and its exit code, and nothing on stdout."""
    done = handbook.opinion(*arguments)
    assert done.exit_code == code, done.output
    assert done.stderr.startswith("error: ")
    assert "\nhint: " in done.stderr
    assert words.lower() in done.stderr.lower()
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_errors_as_json(handbook: MemorySystem) -> None:
    """With `--json` an error is data on stdout too, with its code; quiet hides no error."""
    done = handbook.opinion("-q", "job", "show", "none", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "unknown_job"
    assert done.stderr.startswith("error: ")


def test_lines_on_stdin(system: MemorySystem) -> None:
    """JSON lines come in on stdin; good ones are accepted, bad ones told by line with exit code 4."""
    lines = '{"id": "1", "title": "One", "text": "first"}\n{"id": "2", "txt": "second"}\nnonsense\n'
    done = system.opinion("ingest", "-", stdin=lines)
    assert done.exit_code == 4
    failed = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(row[0], row[1]) for row in failed] == [("stdin:2", "invalid_document"), ("stdin:3", "invalid_document")]
    assert all(row[3] for row in failed)
    assert "✗ Failed 2" in done.stderr
    assert system.client.document_status("1").current


def test_a_bulk_load_ends_with_the_command(system: MemorySystem, tmp_path: Path) -> None:
    """The collection is being loaded while documents come, and not afterwards; without waiting it is wrong use."""
    (tmp_path / "note.md").write_text("Refunds are approved by a manager.\n", encoding="utf-8")
    seen: list[bool] = []
    work = system.queue.work

    def watched() -> None:
        seen.append(system.client.collection("archive").load is not None)
        work()

    system.queue.work = watched
    assert system.opinion("ingest", str(tmp_path), "-c", "archive", "--bulk").exit_code == 0
    assert (set(seen), system.client.collection("archive").load) == ({True}, None)
    assert system.opinion("ingest", str(tmp_path), "--bulk", "--no-wait").exit_code == 2


def test_unchanged_documents_are_recognised(system: MemorySystem, tmp_path: Path) -> None:
    """Sending the same again changes nothing and says so."""
    folder = write(tmp_path, a="first", b="second")
    system.opinion("ingest", str(folder))
    write(tmp_path, b="second, changed")
    done = system.opinion("ingest", str(folder), "--json")
    summary = json.loads(done.stdout)
    assert (summary["accepted"], summary["unchanged"], summary["searchable"], summary["failed"]) == (1, 1, 2, 0)
    assert done.exit_code == 0


def test_without_workers_waiting_ends(system: MemorySystem, tmp_path: Path) -> None:
    """What is accepted but not indexed in time is durable, and the exit code says that it is not searchable."""
    system.queue.stopped = True
    done = system.opinion("ingest", str(write(tmp_path, a="first")), "--wait-timeout", "0")
    assert done.exit_code == 4
    assert "1 document not searchable yet" in done.stderr
    assert system.opinion("ingest", str(write(tmp_path, b="second")), "--no-wait").exit_code == 0
    assert system.opinion("document", "list", "--state", "received").stdout.count("\n") == 2


def test_an_interrupt_cancels_the_query(handbook: MemorySystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting cancels the job, says so in a word, and exits with 130."""

    def interrupted(job_id: str, timeout: float) -> Job:
        raise KeyboardInterrupt

    handbook.queue.stopped = True
    monkeypatch.setattr(handbook.jobs, "wait", interrupted)
    done = handbook.opinion("query", "manager")
    assert done.exit_code == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.output
    (job_id,) = handbook.queue.retrievals
    assert handbook.client.result(job_id).state == "cancelled"


def test_jobs_can_be_shown_again_and_explained(handbook: MemorySystem) -> None:
    """A result is shown again by its trace, with every stage's numbers, without running it again."""
    job_id = json.loads(handbook.opinion("query", "manager approves", "--json").stdout)["job_id"]
    shown = handbook.opinion("job", "show", job_id, "--explain")
    assert shown.exit_code == 0
    assert {line.split("\t")[1] for line in shown.stdout.splitlines()} == {"kept", "below_floor"}
    cancelled = handbook.opinion("job", "cancel", job_id)
    assert cancelled.exit_code == 4
    assert "had ended before" in cancelled.stderr


def test_a_waiting_job_can_be_cancelled(handbook: MemorySystem) -> None:
    """A job that waits is shown as it is, and cancelled."""
    handbook.queue.stopped = True
    job_id = handbook.client.submit_query("manager").job_id
    assert handbook.opinion("job", "show", job_id).stdout.split("\t")[1] == "queued"
    assert handbook.opinion("job", "wait", job_id, "--timeout", "0").exit_code == 4
    assert handbook.opinion("job", "cancel", job_id).exit_code == 0
    assert handbook.opinion("job", "show", job_id).exit_code == 4


@pytest.mark.parametrize(
    ("document", "fate"),
    [("refunds.md", "kept"), ("tea.md", "below the floor"), ("nothing.md", "not indexed")],
)
def test_why(handbook: MemorySystem, document: str, fate: str) -> None:
    """Why a document is or is not in an answer is told by stage, with numbers."""
    job_id = json.loads(handbook.opinion("query", "manager approves", "--json").stdout)["job_id"]
    told = handbook.opinion("why", job_id, document)
    assert told.exit_code == 0
    assert told.stdout.split("\t")[:2] == [document, fate]


def test_documents_are_looked_at_and_deleted(handbook: MemorySystem) -> None:
    """A document's state, chunks and text can be seen; deleted, it is gone from answers."""
    assert handbook.opinion("document", "status", "refunds.md").stdout.split("\t")[1:3] == ["indexed", "2"]
    chunks = [line.split("\t") for line in handbook.opinion("document", "chunks", "refunds.md").stdout.splitlines()]
    assert [row[0] for row in chunks] == ["0", "1"]
    assert "Small refunds need nobody." in handbook.opinion("document", "show", "refunds.md").stdout
    assert [line.split("\t")[0] for line in handbook.opinion("document", "list").stdout.splitlines()] == [
        "dogs.md",
        "refunds.md",
        "tea.md",
    ]
    assert handbook.opinion("document", "delete", "refunds.md").exit_code == 0
    assert handbook.opinion("query", "manager approves refunds above one hundred euros").exit_code == 3


def test_collections_have_choices_of_their_own(handbook: MemorySystem) -> None:
    """A collection's choices are set one by one, shown, used and reset."""
    handbook.opinion("collections", "set", "default", "--floor", "0.9")
    handbook.opinion("collections", "set", "default", "--top-k", "1")
    assert handbook.opinion("collections").stdout == "default\tfloor=0.9 top_k=1\n"
    assert handbook.opinion("query", "who approves manager refunds of dogs").exit_code == 3
    fields = json.loads(handbook.opinion("collections", "show", "default", "--json").stdout)["fields"]
    assert fields == {"lang": "keyword", "shelf": "keyword", "year": "double"}
    handbook.opinion("collections", "set", "default", "--reset")
    assert handbook.opinion("collections", "--json").stdout.count("null") >= 6


def test_deleting_a_collection_asks_first(handbook: MemorySystem) -> None:
    """Nothing is deleted without a yes."""
    assert handbook.opinion("collections", "delete", "default", stdin="n\n").exit_code == 130
    assert [one.name for one in handbook.client.collections()] == ["default"]
    assert handbook.opinion("collections", "delete", "default", "--yes").exit_code == 0
    assert handbook.client.collections() == []


def test_hostile_text_stays_harmless(system: MemorySystem) -> None:
    """Control characters in ids, titles and texts reach no terminal, neither as text nor as JSON."""
    system.client.submit_document(id="a\x1b[2Jb\tc", title="t\x9b31m\r", text="evil \x1b]0;x\x07 words here")
    for arguments in (["query", "evil words here"], ["query", "evil words here", "--json"], ["document", "list"]):
        output = system.opinion(*arguments).output
        assert "evil" in output or "a [2Jb c" in output
        assert not set("\x1b\x9b\x07\r") & set(output)


def test_on_a_terminal_it_is_laid_out(handbook: MemorySystem) -> None:
    """For a person there is a table with the floor between kept and dropped."""
    asked = handbook.opinion("query", "manager approves", "--explain", FORCE_COLOR="1", NO_COLOR="1")
    assert "── floor 0.40 ──" in asked.stdout
    assert "dropped" in asked.stdout


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if "second_opinion" in command.target])
def test_the_list_of_commands_is_true(name: str) -> None:
    """Each command exists, its help begins with the sentence that the list shows, and it teaches by example."""
    command = COMMANDS[name].load()
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name].summary


def test_what_failed_while_indexing_can_be_tried_again(system: MemorySystem) -> None:
    """A document that was accepted and then failed is told with its reason, listed, and begun anew on demand."""
    line = json.dumps({"id": "broken", "content": "gIE=", "media_type": "text/plain"})
    done = system.opinion("ingest", "-", stdin=line)
    assert done.exit_code == 4
    assert done.stdout.split("\t")[:2] == ["broken", "invalid_encoding"]
    assert "hint: Once the cause is gone: opinion dead-letters retry --all" in done.stderr
    assert system.opinion("dead-letters", "list").stdout.split("\t")[:2] == ["broken", "invalid_encoding"]
    system.queue.stopped = True
    shown = system.opinion("dead-letters", "show", "broken")
    assert (shown.exit_code, shown.stdout.split("\t")[1]) == (4, "invalid_encoding")
    retried = system.opinion("dead-letters", "retry", "--all", "--json")
    assert [one["outcome"] for one in json.loads(retried.stdout)] == ["accepted"]
    assert system.opinion("dead-letters", "list").stdout == ""
    assert system.opinion("dead-letters", "retry", "unknown").exit_code == 4


def test_what_failed_can_be_given_up(system: MemorySystem) -> None:
    """It is gone from the list, and so is what was sent for it; an unknown one is told."""
    line = json.dumps({"id": "broken", "content": "gIE=", "media_type": "text/plain"})
    assert system.opinion("ingest", "-", stdin=line).exit_code == 4
    assert system.opinion("dead-letters", "purge").exit_code == 2
    purged = system.opinion("dead-letters", "purge", "--all", "--json")
    assert [one["outcome"] for one in json.loads(purged.stdout)] == ["deleted"]
    assert system.opinion("dead-letters", "list").stdout == ""
    assert system.opinion("dead-letters", "show", "broken").exit_code == 0
    assert system.opinion("dead-letters", "purge", "unknown").exit_code == 4


def test_loading_a_command_leaves_the_collector_on() -> None:
    """Looking for garbage is only left out while modules are imported, also when the import fails."""
    assert LazyCommand("second_opinion.gateway.cli.usage:usage", "Show.", "Use").load().name == "usage"
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError):
        LazyCommand("second_opinion.gateway.cli.nothing:nothing", "Show.", "Use").load()
    assert gc.isenabled()
