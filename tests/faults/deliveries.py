"""Messages delivered five times, shuffled, to many threads at once: what comes of it, against a serial model.

The model delivers each message once, in order, in one thread, on the doubles. Whatever runs five times as much has to
end with the same documents, the same chunks and the same results.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from second_opinion.pipeline.ingest import Policy
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentRef, DocumentState, document_key
from second_opinion.testing.chunking import ParagraphChunker
from second_opinion.testing.ingest import IngestRig, memory_stores
from second_opinion.testing.models import WordEmbedder

TIMES = 5
ROUNDS = 4
THREADS = 8
DELETED_SHARE = 0.1
POLICY = Policy(lease_seconds=600.0, commit_documents=16, commit_seconds=0.05)
"""Leases longer than any run: nobody is slow here, and nothing may be done twice for that reason."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of one document; its round is its `source_version`."""

    document: str
    version: int
    text: str | None


def operations(documents: int, seed: int) -> list[list[Operation]]:
    """Return each round's operations: every document is changed, or deleted, once in each."""
    rng = random.Random(seed)  # noqa: S311 - has to be repeatable
    return [
        [Operation(f"d{number}", version, _text(rng, number, version)) for number in range(documents)]
        for version in range(1, ROUNDS + 1)
    ]


def _text(rng: random.Random, number: int, version: int) -> str | None:
    if rng.random() < DELETED_SHARE:
        return None
    parts = rng.choice((1, 1, 2, 3))
    return "\n\n".join(f"Version {version} of note {number}, part {part} of {parts}." for part in range(parts))


def memory_rig() -> IngestRig:
    """Return ingest on the doubles."""
    embedder = WordEmbedder(dims=8)
    spec = embedder.spec
    fingerprint = IndexFingerprint(
        embedding_model=spec.model, embedding_revision=spec.revision, dims=spec.dims, chunker=ParagraphChunker.name
    )
    return IngestRig.on(memory_stores(fingerprint), ParagraphChunker(), embedder, POLICY)


def take_in(rig: IngestRig, round_: Sequence[Operation]) -> list[DocumentRef]:
    """Accept a round, each change by itself; return the messages that it sent."""
    for one in round_:
        if one.text is None:
            rig.delete(one.document, source_version=one.version)
        else:
            rig.put(one.document, one.text, source_version=one.version)
    sent = [ref for message in rig.queue.batches for ref in message]
    rig.queue.batches.clear()
    return sent


def serially(rounds: Sequence[Sequence[Operation]]) -> str:
    """Return the hash of the index after each message was delivered once, in order."""
    rig = memory_rig()
    for round_ in rounds:
        for ref in take_in(rig, round_):
            rig.indexing.index([ref])
    return index_hash(rig, [one.document for one in rounds[0]])


@dataclass(slots=True)
class Effect:
    """What came of a run.

    Attributes:
        hash: Of all that readers see.
        orphans: Sets of chunks that are stored and that no record points to.
        committed: How often something was committed.
        problems: What deliveries raised.
    """

    messages: int = 0
    deliveries: int = 0
    hash: str = ""
    orphans: list[str] = field(default_factory=list)
    committed: int = 0
    problems: Counter[str] = field(default_factory=Counter)


def shuffled(
    rig: IngestRig, rounds: Sequence[Sequence[Operation]], seed: int, *, progress: Callable[[str], None] = str
) -> Effect:
    """Deliver each message `TIMES` times, in its own round and in those after it, by many threads at once."""
    rng, effect = random.Random(f"deliveries {seed}"), Effect()  # noqa: S311 - has to be repeatable
    late: list[list[DocumentRef]] = [[] for _ in rounds]
    for number, round_ in enumerate(rounds):
        sent = take_in(rig, round_)
        effect.messages += len(sent)
        for ref in sent:
            for _ in range(TIMES):
                late[rng.randrange(number, len(rounds))].append(ref)
        rng.shuffle(late[number])
        _deliver(rig, late[number], effect)
        progress(f"round {number + 1} of {len(rounds)}: {effect.deliveries:,} deliveries")
    names = [one.document for one in rounds[0]]
    effect.hash = index_hash(rig, names)
    effect.orphans = sorted(set(rig.stored_sets()) - set(rig.committed_sets(names)))
    return effect


def _deliver(rig: IngestRig, deliveries: Sequence[DocumentRef], effect: Effect) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for ended in pool.map(partial(_delivered, rig), deliveries):
            effect.deliveries += 1
            if isinstance(ended, int):
                effect.committed += ended
            else:
                effect.problems[ended] += 1


def _delivered(rig: IngestRig, ref: DocumentRef) -> int | str:
    try:
        return rig.indexing.index([ref]).committed
    except Exception as problem:  # noqa: BLE001 - told with the outcome
        return f"{type(problem).__name__}: {problem}"


def index_hash(rig: IngestRig, documents: Sequence[str]) -> str:
    """Return a hash of what readers see of each document, and of what its record says; never of who wrote it."""
    digest = hashlib.sha256()
    for name in documents:
        digest.update(json.dumps([name, *_seen(rig, name)], sort_keys=True).encode())
    return digest.hexdigest()


def _seen(rig: IngestRig, name: str) -> Iterator[object]:
    key = document_key(DEFAULT_COLLECTION, name)
    seen = rig.stores.documents.get([key]).get(key)
    if seen is None:
        return
    record = seen.record
    yield [record.state, record.source_version, record.content_hash, record.failures, record.losses]
    yield record.state is DocumentState.DELETED and bool(record.committed)
    with suppress(KeyError):
        for hit in rig.seen_by_readers(name):
            yield [hit.ordinal, hit.count, hit.start, hit.end, hit.text, hit.title]
