"""What to do with a document or a deletion that arrives, as pure functions of what is stored."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from second_opinion.schemas.document import (
    AcceptOutcome,
    DeletionInput,
    DocumentInput,
    DocumentRecord,
    DocumentState,
    document_key,
)
from second_opinion.schemas.errors import OpinionError, UnknownDocument, VersionConflict

SETTLING_SECONDS: Final = 5.0
"""An operation that was recorded less than this ago is left alone: its message may be about to be sent."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document that arrived, and the operation it would become."""

    document: DocumentInput
    key: str
    target: str
    content_hash: str
    size: int
    at: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an arrival.

    Attributes:
        record: What to store by compare-and-set; None when nothing changes.
        target: The operation that leads (or led) to what was sent being searchable.
        begins: A new operation begins, and what it reads is to be written.
        enqueues: A message is to lead to the operation.
    """

    outcome: AcceptOutcome
    record: DocumentRecord | None = None
    target: str | None = None
    error: OpinionError | None = None
    begins: bool = False
    enqueues: bool = False


def content_hash(document: DocumentInput) -> str:
    """Return the hash of all that was sent and is indexed.

    What it is indexed with is the index's affair: a reindex changes it for documents that nobody sent again.
    """
    body = document.content if document.content is not None else (document.text or "").encode()
    described = {
        "title": document.title,
        "uri": document.uri,
        "media_type": document.media_type,
        "metadata": document.metadata,
    }
    digest = hashlib.blake2b(digest_size=20)
    digest.update(json.dumps(described, sort_keys=True, ensure_ascii=True).encode())
    digest.update(b"\x00text\x00" if document.content is None else b"\x00bytes\x00")
    digest.update(body)
    return digest.hexdigest()


def arrival(document: DocumentInput, *, target: str, at: float) -> Arrival:
    """Return a document as an arrival under the operation `target`."""
    size = len(document.content) if document.content is not None else len((document.text or "").encode())
    key = document_key(document.collection, document.id)
    return Arrival(document, key, target, content_hash(document), size, at)


def decide_put(stored: DocumentRecord | None, arrived: Arrival) -> Decision:
    """Decide about a document.

    Versions are compared where both sides have one. Without one, the last to arrive wins and the known version stays,
    so that a late message of an older version still finds itself superseded.
    """
    if stored is None:
        return _begin(None, arrived)
    refusal = _version_refusal(stored, arrived)
    if refusal is not None:
        return refusal
    if stored.state is DocumentState.RECEIVED and stored.content_hash == arrived.content_hash:
        return _again(stored, arrived)
    settled = stored.state in {DocumentState.INDEXED, DocumentState.FAILED}
    if settled and stored.committed and stored.committed_hash == arrived.content_hash:
        return _unchanged(stored, arrived)
    return _begin(stored, arrived)


def decide_delete(stored: DocumentRecord | None, deletion: DeletionInput, *, target: str, at: float) -> Decision:
    """Decide about a deletion. One with a version leaves a tombstone even where nothing was known of the document."""
    if stored is None:
        if deletion.source_version is None:
            unknown = UnknownDocument.named(deletion.id, deletion.collection)
            return Decision(AcceptOutcome.REJECTED, error=unknown)
        return Decision(AcceptOutcome.DELETED, _tombstone(None, deletion, target, at), target)
    known, sent = stored.source_version, deletion.source_version
    if known is not None and sent is not None and sent < known:
        return Decision(AcceptOutcome.SUPERSEDED, target=stored.target)
    if stored.state is DocumentState.DELETED and (sent is None or sent == known):
        return Decision(AcceptOutcome.DELETED, target=stored.target)
    return Decision(AcceptOutcome.DELETED, _tombstone(stored, deletion, target, at), target)


def _version_refusal(stored: DocumentRecord, arrived: Arrival) -> Decision | None:
    known, sent = stored.source_version, arrived.document.source_version
    if known is None or sent is None or sent > known:
        return None
    if sent < known or stored.state is DocumentState.DELETED:
        return Decision(AcceptOutcome.SUPERSEDED, target=stored.target)
    if stored.content_hash != arrived.content_hash:
        problem = VersionConflict(
            f"source_version {sent} of document {arrived.document.id!r} was sent before with other content"
        )
        return Decision(AcceptOutcome.REJECTED, error=problem)
    return None


def _unchanged(stored: DocumentRecord, arrived: Arrival) -> Decision:
    target = stored.committed_target or stored.target
    restored = stored.model_copy(
        update={
            "state": DocumentState.INDEXED,
            "target": target,
            "content_hash": arrived.content_hash,
            "title": arrived.document.title,
            "media_type": arrived.document.media_type,
            "size": arrived.size,
            "source_version": _newest(stored, arrived),
            "needs_extraction": False,
            "enqueued_at": 0.0,
            "error": None,
        }
    )
    same = restored.model_copy(update={"enqueued_at": stored.enqueued_at}) == stored
    return Decision(AcceptOutcome.UNCHANGED, None if same else restored, target)


def _again(stored: DocumentRecord, arrived: Arrival) -> Decision:
    """Let what is on its way go on.

    If nobody has begun on it in a while, a message is sent again: whoever recorded it may have ended before sending
    one, and that is why the same comes again.
    """
    untouched = stored.attempts == 0 and stored.lease_owner is None
    enqueues = untouched and arrived.at - stored.enqueued_at >= SETTLING_SECONDS
    changes = {
        "source_version": _newest(stored, arrived),
        "enqueued_at": arrived.at if enqueues else stored.enqueued_at,
    }
    record = stored.model_copy(update=changes)
    return Decision(AcceptOutcome.ACCEPTED, None if record == stored else record, stored.target, enqueues=enqueues)


def _begin(stored: DocumentRecord | None, arrived: Arrival) -> Decision:
    document = arrived.document
    record = DocumentRecord(
        key=arrived.key,
        collection=document.collection,
        document_id=document.id,
        title=document.title,
        media_type=document.media_type,
        source_version=document.source_version if stored is None else _newest(stored, arrived),
        content_hash=arrived.content_hash,
        target=arrived.target,
        state=DocumentState.RECEIVED,
        committed={} if stored is None else stored.committed,
        committed_target=None if stored is None else stored.committed_target,
        committed_hash=None if stored is None else stored.committed_hash,
        needs_extraction=document.content is not None,
        size=arrived.size,
        enqueued_at=arrived.at,
        accepted_at=arrived.at,
        updated_at=arrived.at,
    )
    return Decision(AcceptOutcome.ACCEPTED, record, arrived.target, begins=True, enqueues=True)


def _tombstone(stored: DocumentRecord | None, deletion: DeletionInput, target: str, at: float) -> DocumentRecord:
    known = None if stored is None else stored.source_version
    return DocumentRecord(
        key=document_key(deletion.collection, deletion.id),
        collection=deletion.collection,
        document_id=deletion.id,
        title="" if stored is None else stored.title,
        source_version=known if deletion.source_version is None else deletion.source_version,
        content_hash="",
        target=target,
        state=DocumentState.DELETED,
        accepted_at=at,
        updated_at=at,
    )


def _newest(stored: DocumentRecord, arrived: Arrival) -> int | None:
    versions = [one for one in (stored.source_version, arrived.document.source_version) if one is not None]
    return max(versions, default=None)
