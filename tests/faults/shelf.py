"""What a storm writes and asks: works whose every edition can be told from every other, chunk by chunk."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from second_opinion.schemas.document import document_key

COLLECTION = "default"
EDITION = "edition"
SETS = (
    "squad2_dev",
    "nq_open",
    "covid_qa",
    "scifact",
    "pubmedqa",
    "chunking_eval",
    "squad11_extra",
    "cranfield",
    "wikiqa",
)


@dataclass(frozen=True, slots=True)
class Works:
    """Works by number; their texts are made anew from number and edition whenever they are needed.

    Attributes:
        bodies: What every edition of a work has in common.
    """

    bodies: Sequence[str]

    def __len__(self) -> int:
        return len(self.bodies)

    def text(self, work: int, edition: int) -> str:
        """Return the text of one edition."""
        mark = f"This is edition {edition} of work {work}."
        return f"{mark}\n\n{self.bodies[work]}\n\n{mark}"

    def payload(self, work: int, edition: int) -> dict[str, Any]:
        """Return one edition as a caller sends it: some as bytes, some with a version of the upstream system."""
        body: dict[str, Any] = {"text": self.text(work, edition)}
        if sent_as_bytes(work):
            body = {"content": self.text(work, edition).encode()}
        version = {"source_version": edition} if is_versioned(work) else {}
        return {"id": name(work), "title": f"Work {work}", "metadata": {EDITION: edition}, **body, **version}

    def question(self, work: int) -> str:
        """Return a question that the work is an answer to."""
        return f"Which edition of work {work} is this?"


def name(work: int) -> str:
    """Return the id of a work."""
    return f"work/{work}"


def number(document_id: str) -> int:
    """Return the number of a work, given its id."""
    return int(document_id.removeprefix("work/"))


def key(work: int) -> str:
    """Return the key of a work."""
    return document_key(COLLECTION, name(work))


def sent_as_bytes(work: int) -> bool:
    """Whether a work passes through the extract workers."""
    return work % 5 == 0


def is_versioned(work: int) -> bool:
    """Whether editions are sent with their number as `source_version`."""
    return work % 2 == 0 or sent_by_name(work)


def sent_by_name(work: int) -> bool:
    """Whether a work passes through the intake workers."""
    return work % 7 == 3


def own_words(works: int) -> Works:
    """Return works of our own words, of a few chunks each."""
    return Works(tuple("\n\n".join(_shelf(work, shelf) for shelf in range(6)) for work in range(works)))


def real_texts(data: Path, works: int) -> Works:
    """Return works that are documents of the data sets, or as many of them as there are."""
    return Works(tuple(islice(_texts(data), works)))


def _texts(data: Path) -> Iterator[str]:
    for one in SETS:
        with (data / one / "corpus.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                text = json.loads(line)["text"].strip()
                if text:
                    yield text


def _shelf(work: int, shelf: int) -> str:
    things = ("tithes", "ferries", "harvests", "lanterns", "bridges", "orchards")
    told = f"Shelf {shelf} of room {work} holds the ledger of the {things[(work + shelf) % len(things)]}. "
    return told * 8
