"""A collection moves to another chunker while callers write and ask; and back again."""

import json
import threading
from dataclasses import dataclass, field, replace

import pytest

from second_opinion import Client
from second_opinion.schemas.errors import IndexMismatch, OpinionError
from tests.acceptance.conftest import System, wait_until

DOCUMENTS = 80
SECTIONS = 6
PATIENCE = 240.0
BEFORE = {"OPINION_CHUNK_TOKENS": "200"}
AFTER = {"OPINION_CHUNK_TOKENS": "40", "OPINION_FORMER_INDEXING": json.dumps({"chunk_tokens": 200})}
ROLES = ("maintenance", "index", "retrieve", "rerank")

pytestmark = pytest.mark.stack


def text(number: int, version: int) -> str:
    """Return a document whose every sentence names it and its version."""
    said = (f"Lighthouse {number} in edition {version} shows its light {section} times." for section in range(SECTIONS))
    return "\n\n".join(f"{one} The keeper of it writes that down in the log every night." for one in said)


@dataclass
class Traffic:
    """Callers that go on writing and asking; what they were told that must not be."""

    system: System
    editions: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    asked: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        """Send new editions of some documents, and some new ones, each when the one before can be found.

        So there is always one on its way, and however slow the cores are, never a heap of them.
        """
        with self.system.client() as client:
            number = 0
            while not self.over.wait(0.2):
                number += 1
                place = DOCUMENTS + number if number % 3 == 0 else number % DOCUMENTS
                self.editions[place] = self.editions.get(place, 1) + 1
                sent = client.submit_document(id=f"light/{place}", text=text(place, self.editions[place]))
                client.wait_documents([sent], timeout=PATIENCE)

    def ask(self) -> None:
        """Look at documents that are there all the time: each is whole, in one edition, and in one index."""
        with self.system.client() as client:
            while not self.over.is_set():
                self.asked += 1
                self._look(client, f"light/{self.asked % DOCUMENTS}")

    def _look(self, client: Client, name: str) -> None:
        try:
            chunks = client.document_chunks(name)
        except OpinionError as problem:
            self.wrong.append(f"{name}: {problem.code}")
            return
        if not chunks and not client.document_chunks(name):
            self.wrong.append(f"{name} was in neither index")
        if len({chunk.text.partition("edition ")[2].partition(" ")[0] for chunk in chunks} - {""}) > 1:
            self.wrong.append(f"{name} in two editions")


def test_a_collection_moves_under_load_and_back(system: System) -> None:
    """By the command: readers see every document at every moment; what was written meanwhile is in both indices."""
    common = system.environment
    system.environment = {**common, **BEFORE}
    system.start(*ROLES)
    with system.client() as client:
        receipts = client.submit_documents([{"id": f"light/{one}", "text": text(one, 1)} for one in range(DOCUMENTS)])
        assert len(client.wait_documents(receipts, timeout=PATIENCE)) == DOCUMENTS
        small = len(client.document_chunks("light/1"))
    stranger = replace(system, environment={**common, "OPINION_CHUNK_TOKENS": "40"})
    with stranger.client() as client, pytest.raises(IndexMismatch, match=r"sections-1/200\+0"):
        client.collection("default")
    system.stop_all()
    system.environment = {**common, **AFTER}
    system.start(*ROLES)
    traffic = Traffic(system)
    threads = [threading.Thread(target=one) for one in (traffic.write, traffic.ask)]
    for thread in threads:
        thread.start()
    try:
        moved = system.opinion("--json", "reindex", "default")
        assert moved.returncode == 0, moved.stderr
        status = json.loads(moved.stdout)
        assert (status["phase"], status["failed"]) == ("switched", 0)
        with system.client() as client:
            assert client.collection("default").index == status["target"]
            assert len(client.document_chunks("light/1")) > small
            answered = client.query("How often does lighthouse 7 show its light?", timeout=120.0)
            assert answered.outcome
        back = system.opinion("reindex", "default", "--rollback")
        assert back.returncode == 0, back.stderr
        assert "queries read" in back.stderr
        with system.client() as client:
            assert len(client.document_chunks("light/1")) == small
        again = system.opinion("reindex", "default", "--switch")
        assert again.returncode == 0, again.stderr
    finally:
        traffic.over.set()
        for thread in threads:
            thread.join()
    assert traffic.wrong == []
    assert traffic.asked > DOCUMENTS
    check_editions(system, traffic)
    finished = system.opinion("reindex", "default", "--finish")
    assert finished.returncode == 0, finished.stderr
    assert system.opinion("reindex", "default", "--rollback").returncode != 0


def check_editions(system: System, traffic: Traffic) -> None:
    """Everything that was written is there in its last edition, in both indices."""
    with system.client() as client:
        names = [f"light/{place}" for place in traffic.editions]
        wait_until(lambda: all(client.document_status(name).current for name in names), PATIENCE)
        for _ in ("read first", "then the other"):
            for place, edition in traffic.editions.items():
                chunks = client.document_chunks(f"light/{place}")
                assert chunks
                assert f"in edition {edition} " in chunks[0].text
            client.reindex("default", "rollback" if client.reindex_status("default").phase == "switched" else "switch")
        if client.reindex_status("default").phase != "switched":
            client.reindex("default", "switch")
