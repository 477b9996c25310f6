"""The set checker: what callers were told against what is there."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from second_opinion.schemas.document import DocumentRecord, DocumentState
from tests.faults import shelf
from tests.faults.ledger import GONE, Account

Text = Callable[[int, int], str]


@dataclass(frozen=True, slots=True)
class SeenChunk:
    """A chunk as it lies in the index, committed or not."""

    work: int
    write_set: str
    ordinal: int
    edition: int
    text: str
    start: int
    end: int


@dataclass(slots=True)
class Observed:
    """All that is there at the end.

    Attributes:
        contents: By work, the operations whose content is stored.
        jobs: By query, its state and the digest of its outcome; None where it is unknown.
    """

    records: Mapping[int, DocumentRecord] = field(default_factory=dict)
    chunks: Sequence[SeenChunk] = ()
    contents: Mapping[int, set[str]] = field(default_factory=dict)
    jobs: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)


@dataclass(slots=True)
class Findings:
    """What is wrong, each with a line that names it. Only `failed` is allowed: it is visible, with a reason."""

    lost: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many of each there are."""
        return {name: len(getattr(self, name)) for name in self.__slots__}

    def wrong(self) -> dict[str, list[str]]:
        """Return all that must not be, by its kind."""
        found = {name: getattr(self, name) for name in self.__slots__ if name != "failed"}
        return {name: lines for name, lines in found.items() if lines}


def check(account: Account, seen: Observed, text: Text, *, jobs_may_vanish: bool = False) -> Findings:
    """Compare; `text` gives the text of a work's edition. Where Redis was lost, queries may be unknown."""
    found = Findings()
    chunks: dict[int, list[SeenChunk]] = defaultdict(list)
    for chunk in seen.chunks:
        chunks[chunk.work].append(chunk)
    for work, allowed in account.editions.items():
        record = seen.records.get(work)
        if record is None:
            if GONE not in allowed:
                found.lost.append(f"work {work} has no record")
        else:
            _check_work(found, record, allowed, chunks.pop(work, []), text)
            _check_contents(found, record, seen.contents.get(work, set()))
    found.orphaned += [f"work {work}: {len(left)} chunks without a record" for work, left in chunks.items()]
    _check_jobs(found, account, seen, jobs_may_vanish=jobs_may_vanish)
    return found


def _check_work(
    found: Findings, record: DocumentRecord, allowed: set[int], chunks: Sequence[SeenChunk], text: Text
) -> None:
    work = shelf.number(record.document_id)
    committed = {one.write_set: one.chunks for one in record.committed.values()}
    orphans = Counter(chunk.write_set for chunk in chunks if chunk.write_set not in committed)
    found.orphaned += [f"work {work}: {count} chunks of {one}, which nobody sees" for one, count in orphans.items()]
    if record.state is DocumentState.RECEIVED:
        found.stuck.append(f"work {work} waits after {record.attempts} attempts, {record.losses} losses")
    elif record.state is DocumentState.FAILED:
        found.failed.append(f"work {work}: {record.error.message if record.error else 'no reason'}")
    elif record.state is DocumentState.DELETED:
        if GONE not in allowed:
            found.lost.append(f"work {work} is deleted instead of edition {allowed}")
        if committed:
            found.resurrected.append(f"work {work} is deleted and seen")
    else:
        _check_edition(found, work, allowed, [one for one in chunks if one.write_set in committed], committed, text)


def _check_edition(  # noqa: PLR0917 - one fact each
    found: Findings,
    work: int,
    allowed: set[int],
    chunks: Sequence[SeenChunk],
    committed: Mapping[str, int],
    text: Text,
) -> None:
    ordinals = Counter(chunk.ordinal for chunk in chunks)
    if len(committed) > 1 or any(count > 1 for count in ordinals.values()):
        found.duplicated.append(f"work {work}: {dict(ordinals)} in {sorted(committed)}")
    if len(ordinals) != sum(committed.values()):
        found.lost.append(f"work {work}: {len(ordinals)} chunks of {sum(committed.values())}")
    editions = {chunk.edition for chunk in chunks}
    if len(editions) != 1:
        found.mixed.append(f"work {work} shows editions {editions}")
    elif not editions <= allowed:
        kind = found.resurrected if allowed == {GONE} else found.lost
        kind.append(f"work {work} shows edition {editions} instead of {allowed}")
    elif any(text(work, chunk.edition)[chunk.start : chunk.end] != chunk.text for chunk in chunks):
        found.mixed.append(f"work {work}: a chunk is not what was sent")


def _check_contents(found: Findings, record: DocumentRecord, contents: set[str]) -> None:
    work = shelf.number(record.document_id)
    wanted = set() if record.state is DocumentState.DELETED else {record.target}
    if record.state is not DocumentState.DELETED and not wanted <= contents:
        found.lost.append(f"work {work}: what was sent is missing")
    wanted |= {record.committed_target} if record.committed_target else set()
    found.orphaned += [f"work {work}: content of {one}" for one in sorted(contents - wanted)]


def _check_jobs(found: Findings, account: Account, seen: Observed, *, jobs_may_vanish: bool) -> None:
    for job_id in account.asked:
        now = seen.jobs.get(job_id)
        if now is None and jobs_may_vanish:
            continue
        if now is None:
            found.lost.append(f"query {job_id} is unknown")
            continue
        if now[0] in {"queued", "retrieving", "reranking"}:
            found.stuck.append(f"query {job_id} is {now[0]}")
        elif job_id in account.ended and account.ended[job_id] != now:
            found.changed.append(f"query {job_id} was {account.ended[job_id]} and is {now}")
