"""Extract operations: bytes to text, written once, then on to the index queue."""

import structlog

from second_opinion.pipeline.ingest.enqueue import enqueued
from second_opinion.pipeline.ingest.leases import Ending, Held, Leases
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Extractor, Guard, Seen, no_guard
from second_opinion.schemas.document import DocumentRef, DocumentState, ExtractedText
from second_opinion.schemas.errors import BrokerUnavailable, ContentMissing, OpinionError

log = structlog.get_logger(__name__)


class Extraction:
    """Works off messages of the `extract` queue.

    Args:
        stores: The outside.
        policy: How patient work is.
        extractor: Reads bytes of every media type it knows, such as `extraction.Extractors`.
    """

    def __init__(self, stores: Stores, policy: Policy, extractor: Extractor) -> None:
        self._stores = stores
        self._policy = policy
        self._extractor = extractor
        self._leases = Leases(stores, policy)

    def extract(self, ref: DocumentRef, guard: Guard = no_guard) -> Ending | None:
        """Bring one operation to its text; return how that ended, None if it was not ours to do.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had. Nothing is lost: the lease runs out.
        """
        for held in self._leases.take([ref], extraction=True, alone=True):
            try:
                guard()
                text = self._text(held)
            except MemoryError:
                raise
            except Exception as problem:  # noqa: BLE001 - a parser may raise anything; it is recorded with the document
                self._leases.end_badly([(held, problem)])
            else:
                self._hand_on(held, text)
            return held.ending
        self._hand_on_again(ref)
        return None

    def _text(self, held: Held) -> str:
        content = self._stores.contents.get([held.ref]).get(held.ref)
        if content is None or content.content is None:
            raise ContentMissing(f"what was sent for document {held.record.document_id!r} is missing")
        text = self._extractor.extract(content.content, media_type=content.media_type)
        written_at = self._stores.clock.now()
        extracted = ExtractedText(
            key=content.key, target=content.target, text=text, media_type=content.media_type, written_at=written_at
        )
        self._stores.contents.create_text(extracted)
        return text

    def _hand_on(self, held: Held, text: str) -> None:
        now = self._stores.clock.now()
        change = {
            "needs_extraction": False,
            "size": len(text.encode()),
            "attempts": 0,
            "failures": 0,
            "losses": 0,
            "lone_losses": 0,
            "lease_owner": None,
            "lease_until": 0.0,
            "enqueued_at": now,
            "error": None,
            "updated_at": now,
        }
        self._leases.update([held], lambda record: record.model_copy(update=change))
        if held.ending is not None:
            return
        held.ending = Ending.DONE
        self._send_on(held.seen)

    def _hand_on_again(self, ref: DocumentRef) -> None:
        """Pass an operation on whose message came again: its worker may have ended when it had the text recorded."""
        seen = self._stores.documents.get([ref.key]).get(ref.key)
        if seen is None or seen.record.ref != ref or seen.record.state is not DocumentState.RECEIVED:
            return
        if not seen.record.needs_extraction and seen.record.lease_owner is None:
            self._send_on(seen)

    def _send_on(self, seen: Seen) -> None:
        try:
            self._stores.queue.index([seen.record.ref])
        except BrokerUnavailable as problem:
            log.warning("extracted_but_not_enqueued", key=seen.record.key, error=problem.message)
            self._mark_unqueued(seen)

    def _mark_unqueued(self, seen: Seen) -> None:
        try:
            self._stores.documents.swap(enqueued([seen], at=0.0))
        except OpinionError as problem:
            log.warning("not_marked_as_unqueued", key=seen.record.key, error=problem.message)
