"""The checker finds what it is for: each kind of damage, put in by hand, is named, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from second_opinion.schemas.document import DocumentRecord, DocumentState, WriteSet
from tests.faults import shelf
from tests.faults.checker import Observed, SeenChunk, check
from tests.faults.ledger import GONE, Account

WORKS = shelf.own_words(2)
Damage = Callable[[Observed], Observed]


def record(work: int, **changes: object) -> DocumentRecord:
    fields = {
        "key": shelf.key(work),
        "collection": shelf.COLLECTION,
        "document_id": shelf.name(work),
        "content_hash": "hash",
        "target": "g2",
        "state": DocumentState.INDEXED,
        "committed": {"index": WriteSet(write_set="g2.1", chunks=2)},
        "committed_target": "g2",
        "accepted_at": 1.0,
        "updated_at": 1.0,
    }
    return DocumentRecord.model_validate({**fields, **changes})


def chunk(ordinal: int, *, work: int = 1, edition: int = 2, write_set: str = "g2.1") -> SeenChunk:
    text, start = WORKS.text(work, edition), 40 * ordinal
    return SeenChunk(work, write_set, ordinal, edition, text[start : start + 40], start, start + 40)


def whole() -> Observed:
    return Observed({1: record(1)}, [chunk(0), chunk(1)], {1: {"g2"}}, {"asked": ("done", "a")})


def account(editions: set[int]) -> Account:
    found = Account(asked=["asked"], ended={"asked": ("done", "a")})
    found.editions[1] = editions
    return found


def damaged(**changes: object) -> Damage:
    return lambda seen: replace(seen, **changes)


DAMAGES: dict[str, list[Damage]] = {
    "lost": [
        damaged(records={}, chunks=[], contents={}),
        damaged(chunks=[chunk(0)]),
        damaged(chunks=[chunk(0, edition=1), chunk(1, edition=1)]),
        damaged(records={1: record(1, state="deleted", committed={}, committed_target=None)}, chunks=[], contents={}),
        damaged(contents={}),
        damaged(jobs={}),
    ],
    "duplicated": [damaged(chunks=[chunk(0), chunk(1), chunk(1)])],
    "mixed": [
        damaged(chunks=[chunk(0), chunk(1, edition=1)]),
        damaged(chunks=[chunk(0), replace(chunk(1), text="something else")]),
    ],
    "orphaned": [
        damaged(chunks=[chunk(0), chunk(1), chunk(0, write_set="g1.1")]),
        damaged(chunks=[chunk(0), chunk(1), chunk(0, work=0)]),
        damaged(contents={1: {"g1", "g2"}}),
    ],
    "stuck": [damaged(records={1: record(1, state="received")}), damaged(jobs={"asked": ("queued", "a")})],
    "changed": [damaged(jobs={"asked": ("done", "b")})],
    "failed": [damaged(records={1: record(1, state="failed")})],
}


def test_what_is_whole_is_found_whole() -> None:
    """Nothing is wrong where everything is as callers were told."""
    assert not any(check(account({2}), whole(), WORKS.text).counts().values())


@pytest.mark.parametrize(("kind", "damage"), [(kind, one) for kind, all_of in DAMAGES.items() for one in all_of])
def test_each_damage_is_named(kind: str, damage: Damage) -> None:
    """A damage is found as what it is; a changed answer is not called stuck, nor an orphan lost."""
    counts = check(account({2}), damage(whole()), WORKS.text).counts()
    assert counts[kind] > 0
    assert [name for name, count in counts.items() if count and name != kind] == []


def test_a_deleted_work_that_is_seen_is_resurrected() -> None:
    """A work whose deletion was accepted is neither indexed again nor shown."""
    seen = replace(whole(), records={1: record(1, state="deleted")}, contents={1: {"g2"}})
    assert check(account({GONE}), seen, WORKS.text).counts()["resurrected"] == 1
    assert check(account({GONE}), whole(), WORKS.text).counts()["resurrected"] == 1


def test_what_was_sent_and_never_acknowledged_may_be_there_or_not() -> None:
    """After an intention without an acknowledgement both outcomes are right."""
    assert not check(account({2, 3}), whole(), WORKS.text).wrong()
    assert check(account({1, 3}), whole(), WORKS.text).wrong()
