"""Begin anew on documents: a new operation on what was sent before."""

from collections.abc import Sequence

from second_opinion.pipeline.ingest.clean import remove_leftovers
from second_opinion.pipeline.ingest.enqueue import enqueue_recorded
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ports import Seen, Swap
from second_opinion.schemas.document import (
    AcceptOutcome,
    ContentRecord,
    DocumentRecord,
    DocumentState,
    Receipt,
    document_key,
)
from second_opinion.schemas.errors import OpinionError, PermanentError, UnknownDocument


def retry_failed(stores: Stores, policy: Policy, collection: str, document_ids: Sequence[str]) -> list[Receipt]:
    """Begin anew on documents that have failed; return a receipt for each, in order.

    One that is not failed any more is `unchanged`. One whose content was never recorded is `rejected`.

    Raises:
        StoreUnavailable: If Elasticsearch cannot be had. Trying again is safe.
    """
    keys = [document_key(collection, name) for name in document_ids]
    seen = stores.documents.get(keys)
    failed = {key: one for key, one in seen.items() if one.record.state is DocumentState.FAILED}
    stored = begin_anew(stores, policy, list(failed.values()))
    won = {key: one for key, one in stored.items() if one is not None}
    return [
        _receipt(collection, name, seen.get(key), key in failed, won.get(key), lost=key in stored and key not in won)
        for name, key in zip(document_ids, keys, strict=True)
    ]


def begin_anew(stores: Stores, policy: Policy, seen: Sequence[Seen]) -> dict[str, Seen | None]:
    """Record a new operation on what was sent for each of these documents, and enqueue it.

    Returns what is now stored under each key, or None where somebody else was first; a document of which nothing is
    kept that was sent is left out.
    """
    contents = stores.contents.get([one.record.ref for one in seen])
    begun: dict[str, Swap] = {}
    copies: list[ContentRecord] = []
    for one in seen:
        content = contents.get(one.record.ref)
        if content is not None:
            record = _begun(one.record, content, target=stores.ids.new(), at=stores.clock.now())
            copies.append(content.model_copy(update={"target": record.target, "written_at": record.accepted_at}))
            begun[record.key] = Swap(record, one)
    stores.contents.create(copies)
    stored = dict(zip(begun, stores.documents.swap(list(begun.values())), strict=True))
    won = [one for one in stored.values() if one is not None]
    before = {one.record.key: one.record for one in seen}
    remove_leftovers(stores, [(before[one.record.key], one.record) for one in won])
    enqueue_recorded(stores, policy, won, untold="begun_but_not_enqueued")
    return stored


def _begun(record: DocumentRecord, content: ContentRecord, *, target: str, at: float) -> DocumentRecord:
    return record.model_copy(
        update={
            "target": target,
            "state": DocumentState.RECEIVED,
            "needs_extraction": content.content is not None,
            "attempts": 0,
            "failures": 0,
            "losses": 0,
            "lone_losses": 0,
            "lease_owner": None,
            "lease_until": 0.0,
            "not_before": 0.0,
            "enqueued_at": at,
            "error": None,
            "accepted_at": at,
            "updated_at": at,
        }
    )


def _receipt(  # noqa: PLR0913 - one fact each
    collection: str, document_id: str, before: Seen | None, failed: bool, begun: Seen | None, *, lost: bool
) -> Receipt:
    error: OpinionError | None = None
    if before is None:
        error = UnknownDocument.named(document_id, collection)
    elif failed and begun is None and not lost:
        error = PermanentError(
            f"what was sent for document {document_id!r} was rejected and not kept",
            hint="Correct it and send it again.",
        )
    outcome = AcceptOutcome.REJECTED if error else AcceptOutcome.ACCEPTED if begun else AcceptOutcome.UNCHANGED
    return Receipt(
        collection=collection,
        document_id=document_id,
        outcome=outcome,
        target=begun.record.target if begun else None,
        error=error.info() if error else None,
    )
