"""Accept documents and deletions: recorded in the store before the caller hears "accepted"."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from second_opinion.pipeline.ingest.clean import remove_leftovers
from second_opinion.pipeline.ingest.decisions import Arrival, Decision, arrival, decide_delete, decide_put
from second_opinion.pipeline.ingest.enqueue import enqueue_recorded
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import CollectionStore, Guard, Seen, Swap, no_guard
from second_opinion.schemas.base import RequestT, parse_request
from second_opinion.schemas.document import (
    AcceptOutcome,
    ContentRecord,
    DeletionInput,
    DocumentInput,
    DocumentRecord,
    DocumentState,
    Receipt,
    document_key,
    field_type,
)
from second_opinion.schemas.errors import InvalidDocument, OpinionError, WriteConflict

CONFLICT_ROUNDS: Final = 30
PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE: Final = 0.2

log = structlog.get_logger(__name__)

Payload = Mapping[str, Any]


@dataclass(slots=True)
class _Case:
    """One document or deletion on its way to a receipt."""

    place: int
    collection: str
    document_id: str
    decide: Callable[[DocumentRecord | None], Decision]
    content: ContentRecord | None = None
    content_written: bool = False
    stored: Seen | None = None
    before: DocumentRecord | None = None
    decision: Decision | None = None

    @property
    def key(self) -> str:
        return document_key(self.collection, self.document_id)

    def receipt(self) -> Receipt:
        busy = WriteConflict(f"document {self.document_id!r} is changed by others all the time")
        decision = self.decision or Decision(AcceptOutcome.REJECTED, error=busy)
        return Receipt(
            collection=self.collection,
            document_id=self.document_id,
            outcome=decision.outcome,
            target=decision.target,
            error=None if decision.error is None else decision.error.info(),
        )


class _Fields:
    """The collections and metadata fields of one batch, each made sure of once."""

    def __init__(self, collections: CollectionStore) -> None:
        self._collections = collections
        self._known: dict[str, dict[str, str | None]] = {}

    def register(self, document: DocumentInput) -> None:
        """Make sure that the document's collection and fields are there, or raise why they cannot be."""
        name = document.collection
        if name not in self._known:
            self._collections.ensure(name)
            self._known[name] = {}
        kinds = {field: field_type(field, value) for field, value in document.metadata.items()}
        if kinds.items() - self._known[name].items():
            self._collections.register_fields(name, document.metadata)
            self._known[name].update(kinds)


class Acceptance:
    """Takes in documents and deletions. What is rejected never stops what stands beside it.

    Args:
        admit: Called before documents are taken in; raises `Overloaded` while there is no room. Deletions make room.
    """

    def __init__(self, stores: Stores, policy: Policy | None = None, *, admit: Guard = no_guard) -> None:
        self._admit = admit
        self._stores = stores
        self._policy = policy or Policy()

    def accept(self, payloads: Sequence[DocumentInput | Payload], *, record_rejected: bool = False) -> list[Receipt]:
        """Accept documents; return one receipt for each, in order.

        Two versions of one document in a batch are taken in one after the other.

        Args:
            payloads: `DocumentInput`s or objects of that form.
            record_rejected: Record a rejected document that is not known yet as failed. For callers who cannot hear the
                receipt, because they sent by task name.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had. Sending the same again is safe.
            Overloaded: If there is no room; nothing was taken in.
        """
        self._admit()
        cases: list[_Case] = []
        receipts: dict[int, Receipt] = {}
        fields = _Fields(self._stores.collections)
        for place, payload in enumerate(payloads):
            try:
                document = _parsed(DocumentInput, payload)
                fields.register(document)
                cases.append(self._document_case(place, document))
            except OpinionError as problem:
                if problem.transient:
                    raise
                receipts[place] = Receipt.rejected(payload, problem)
        self._settle(cases)
        receipts.update({case.place: case.receipt() for case in cases})
        if record_rejected:
            self._record_rejected([receipts[place] for place in sorted(receipts)])
        return [receipts[place] for place in range(len(payloads))]

    def delete(self, payloads: Sequence[DeletionInput | Payload]) -> list[Receipt]:
        """Delete documents; return one receipt for each, in order. Readers no longer see them when this returns.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had. Sending the same again is safe.
        """
        cases: list[_Case] = []
        receipts: dict[int, Receipt] = {}
        for place, payload in enumerate(payloads):
            try:
                deletion = _parsed(DeletionInput, payload)
            except OpinionError as problem:
                receipts[place] = Receipt.rejected(payload, problem)
            else:
                cases.append(self._deletion_case(place, deletion))
        self._settle(cases)
        receipts.update({case.place: case.receipt() for case in cases})
        return [receipts[place] for place in range(len(payloads))]

    def _document_case(self, place: int, document: DocumentInput) -> _Case:
        arrived = arrival(document, target=self._stores.ids.new(), at=self._stores.clock.now())
        return _Case(
            place=place,
            collection=document.collection,
            document_id=document.id,
            decide=lambda stored: decide_put(stored, arrived),
            content=_content(arrived),
        )

    def _deletion_case(self, place: int, deletion: DeletionInput) -> _Case:
        target, now = self._stores.ids.new(), self._stores.clock.now()
        return _Case(
            place=place,
            collection=deletion.collection,
            document_id=deletion.id,
            decide=lambda stored: decide_delete(stored, deletion, target=target, at=now),
        )

    def _settle(self, cases: Sequence[_Case]) -> None:
        for once in _without_repeats(cases):
            self._settle_once(once)
        changed = [(case, case.stored) for case in cases if case.stored is not None]
        remove_leftovers(self._stores, [(case.before, seen.record) for case, seen in changed])
        last = {case.key: seen for case, seen in changed}
        due = {case.key for case, _ in changed if case.decision and case.decision.enqueues}
        sent = [seen for key, seen in last.items() if key in due]
        enqueue_recorded(self._stores, self._policy, sent, untold="accepted_but_not_enqueued")

    def _settle_once(self, cases: Sequence[_Case]) -> None:
        """Decide and write, and decide anew where somebody else was first."""
        open_cases = list(cases)
        for attempt in range(CONFLICT_ROUNDS):
            if attempt:
                pause = min(LONGEST_PAUSE, PAUSE_SECONDS * 2**attempt)
                self._stores.clock.sleep(pause * random.random())  # noqa: S311 - spreads writers, guards nothing
            open_cases = self._round(open_cases)
            if not open_cases or any(map(self._is_aging, open_cases)):
                break
        self._remove_unused([case for case in cases if case.content_written and case.stored is None])
        late = [case for case in cases if case.stored is not None and self._is_aging(case)]
        if late:
            self._create(late)

    def _is_aging(self, case: _Case) -> bool:
        """Tell whether what was written for a case is so old that the sweeper may have come before the record did."""
        if case.content is None or not case.content_written:
            return False
        return self._stores.clock.now() - case.content.written_at >= self._policy.grace_seconds / 2

    def _create(self, cases: Sequence[_Case]) -> None:
        self._stores.contents.create([case.content for case in cases if case.content is not None])
        for case in cases:
            case.content_written = True

    def _round(self, cases: Sequence[_Case]) -> list[_Case]:
        seen = self._stores.documents.get([case.key for case in cases])
        decided = [(case, seen.get(case.key), case.decide(_record(seen.get(case.key)))) for case in cases]
        self._create([case for case, _, decision in decided if decision.begins and not case.content_written])
        swaps = [Swap(decision.record, found) for _, found, decision in decided if decision.record is not None]
        results = iter(self._stores.documents.swap(swaps))
        losers: list[_Case] = []
        for case, found, decision in decided:
            case.decision = decision
            if decision.record is None:
                continue
            case.stored, case.before = next(results), _record(found)
            if case.stored is None:
                case.decision = None
                losers.append(case)
        return losers

    def _remove_unused(self, cases: Sequence[_Case]) -> None:
        try:
            self._stores.contents.delete([case.content.ref for case in cases if case.content is not None])
        except OpinionError as problem:
            log.info("contents_left_for_the_sweeper", error=problem.code)

    def _record_rejected(self, receipts: Iterable[Receipt]) -> None:
        now = self._stores.clock.now()
        failed = [
            DocumentRecord(
                key=document_key(receipt.collection, receipt.document_id),
                collection=receipt.collection,
                document_id=receipt.document_id,
                content_hash="",
                target=self._stores.ids.new(),
                state=DocumentState.FAILED,
                error=receipt.error,
                accepted_at=now,
                updated_at=now,
            )
            for receipt in receipts
            if receipt.outcome is AcceptOutcome.REJECTED and receipt.document_id and receipt.collection
        ]
        self._stores.documents.swap([Swap(record, None) for record in failed])


def _without_repeats(cases: Sequence[_Case]) -> list[list[_Case]]:
    rounds: list[list[_Case]] = []
    occurrences: dict[str, int] = {}
    for case in cases:
        place = occurrences.get(case.key, 0)
        occurrences[case.key] = place + 1
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(case)
    return rounds


def _record(seen: Seen | None) -> DocumentRecord | None:
    return None if seen is None else seen.record


def _content(arrived: Arrival) -> ContentRecord:
    document = arrived.document
    # Both models decode base64 on the way in; what is decoded already is passed on as it is.
    record = ContentRecord(
        key=arrived.key,
        target=arrived.target,
        collection=document.collection,
        document_id=document.id,
        title=document.title,
        uri=document.uri,
        media_type=document.media_type,
        text=document.text,
        metadata=document.metadata,
        written_at=arrived.at,
    )
    return record if document.content is None else record.model_copy(update={"content": document.content})


def _parsed(model: type[RequestT], payload: RequestT | Payload) -> RequestT:
    if isinstance(payload, model):
        return payload
    if not isinstance(payload, Mapping):
        raise InvalidDocument(f"a document is an object with an id, not {type(payload).__name__}")
    return parse_request(model, payload)
