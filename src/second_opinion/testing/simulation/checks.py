"""What must hold when everything has come to rest."""

from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DocumentRecord, DocumentRef, DocumentState, document_key
from second_opinion.testing.simulation.ledger import Sent
from second_opinion.testing.simulation.world import World


def check_documents(world: World) -> None:
    """Every document is searchable in its newest version, or deleted, as its clients were told."""
    ledger = world.ledger
    for document, sent in sorted(ledger.sent.items()):
        key = document_key(DEFAULT_COLLECTION, document)
        seen = world.stores.documents.get([key]).get(key)
        acknowledged = [one.order for one in sent if one.acknowledged]
        if seen is None:
            if acknowledged:
                ledger.broken(f"{document}: change {max(acknowledged)} was accepted, and there is no record")
            continue
        record = seen.record
        allowed = _allowed(world, document, record, max(acknowledged, default=0))
        if not allowed:
            ledger.broken(
                f"{document}: is at version {record.source_version}, but {max(acknowledged)} was acknowledged"
            )
        elif not any(_is_at(world, record, one) for one in allowed):
            wanted = ", ".join(f"change {one.order}: {one.label}" for one in allowed)
            ledger.broken(f"{document}: wanted {wanted}; is {record.state} with {_shown(world, record)}")


def _allowed(world: World, document: str, record: DocumentRecord, least: int) -> list[Sent]:
    sent = [one for one in world.ledger.sent[document] if one.order >= least]
    if document in world.ledger.unversioned:
        return sent
    return [one for one in sent if one.order == record.source_version]


def _is_at(world: World, record: DocumentRecord, change: Sent) -> bool:
    if change.label is None:
        return record.state is DocumentState.DELETED and not record.committed
    return record.state is DocumentState.INDEXED and _shown(world, record) == {change.label}


def _shown(world: World, record: DocumentRecord) -> set[str | None]:
    written = record.committed.get(world.ledger.index)
    return set() if written is None else world.ledger.labels(record.key, written)


def check_leftovers(world: World) -> None:
    """Nothing is stored but what is committed, or what was sent for it."""
    ledger, stores = world.ledger, world.stores
    keys = sorted(ledger.names)
    records = {key: seen.record for key, seen in stores.documents.get(keys).items()}
    committed = {f"{key}@{one.write_set}" for key, record in records.items() for one in record.committed.values()}
    stored = {f"{one.key}@{one.write_set}" for one in stores.chunks.write_sets(ledger.index, before=1e12, limit=10_000)}
    if stored - committed:
        ledger.broken(f"write sets that nobody sees are left: {sorted(stored - committed)}")
    pointed = {record.ref for record in records.values() if record.state is not DocumentState.DELETED}
    pointed |= {
        DocumentRef(key=record.key, target=record.committed_target)
        for record in records.values()
        if record.committed_target is not None
    }
    contents = {ref for _, ref in stores.contents.older_than(1e12, limit=10_000)}
    if contents - pointed:
        ledger.broken(f"contents that nothing points to are left: {sorted(ref.target for ref in contents - pointed)}")
