"""Give failed documents up: what was sent for them goes, and what readers see stays."""

from collections.abc import Sequence

from second_opinion.pipeline.ingest.clean import remove_leftovers
from second_opinion.pipeline.ingest.stores import Stores
from second_opinion.pipeline.ports import Swap
from second_opinion.schemas.document import AcceptOutcome, DocumentRecord, DocumentState, Receipt, document_key
from second_opinion.schemas.errors import OpinionError, UnknownDocument


def purge_failed(stores: Stores, collection: str, document_ids: Sequence[str]) -> list[Receipt]:
    """Remove the failed versions of documents; return a receipt for each, in order.

    Where an older version is searchable it becomes the current one again: `unchanged`. Otherwise the document is
    `deleted`. One that is not failed any more, or that others change meanwhile, is `unchanged` too and stays as it is.

    Raises:
        StoreUnavailable: If Elasticsearch cannot be had. Purging again is safe.
    """
    keys = [document_key(collection, name) for name in document_ids]
    seen = stores.documents.get(keys)
    failed = [one for one in seen.values() if one.record.state is DocumentState.FAILED]
    now = stores.clock.now()
    swaps = [Swap(_given_up(one.record, now), one) for one in failed]
    stored = [one for one in stores.documents.swap(swaps) if one is not None]
    before = {one.record.key: one.record for one in failed}
    remove_leftovers(stores, [(before[one.record.key], one.record) for one in stored])
    after = {one.record.key: one.record for one in stored}
    return [
        _receipt(collection, name, after.get(key), known=key in seen)
        for name, key in zip(document_ids, keys, strict=True)
    ]


def _given_up(record: DocumentRecord, now: float) -> DocumentRecord:
    free = {"error": None, "enqueued_at": 0.0, "needs_extraction": False, "updated_at": now}
    if record.committed and record.committed_target and record.committed_hash:
        current = {"target": record.committed_target, "content_hash": record.committed_hash}
        return record.model_copy(update={**free, **current, "state": DocumentState.INDEXED})
    return record.model_copy(update={**free, "content_hash": "", "state": DocumentState.DELETED})


def _receipt(collection: str, document_id: str, purged: DocumentRecord | None, *, known: bool) -> Receipt:
    error: OpinionError | None = None if known else UnknownDocument.named(document_id, collection)
    deleted = purged is not None and purged.state is DocumentState.DELETED
    outcome = AcceptOutcome.DELETED if deleted else AcceptOutcome.UNCHANGED
    return Receipt(
        collection=collection,
        document_id=document_id,
        outcome=AcceptOutcome.REJECTED if error else outcome,
        target=purged.target if purged else None,
        error=error.info() if error else None,
    )
