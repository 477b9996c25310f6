"""Reading back all that a system keeps, past its own code: raw documents of Elasticsearch, jobs of Redis."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from elasticsearch.exceptions import NotFoundError
from elasticsearch.helpers import scan

from second_opinion import Client
from second_opinion.pipeline.adapters.elasticsearch import Connection, IndexNames
from second_opinion.schemas.document import DocumentRecord
from second_opinion.schemas.errors import UnknownJob
from second_opinion.schemas.job import Job
from tests.faults import shelf
from tests.faults.checker import Observed, SeenChunk


class Observer:
    """Reads what one system keeps in Elasticsearch."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._names = IndexNames(prefix)

    def records(self, query: dict[str, Any] | None = None) -> dict[int, DocumentRecord]:
        """Return the records of works, all or those of a query, by number."""
        found = [DocumentRecord.model_validate(one) for one in self._all(self._names.documents, query)]
        return {shelf.number(one.document_id): one for one in found}

    def leased(self, *, extraction: bool) -> list[DocumentRecord]:
        """Return the records that somebody holds the lease of."""
        found = self.records({"bool": {"filter": [{"range": {"lease_until": {"gt": 0}}}]}})
        return [one for one in found.values() if one.lease_owner and one.needs_extraction is extraction]

    def received(self) -> list[DocumentRecord]:
        """Return the records of works that are accepted and neither searchable nor failed."""
        return [*self.records(_received()).values()]

    def waiting(self) -> int:
        """Return how many works are accepted and neither searchable nor failed."""
        self._refresh(self._names.documents)
        return int(self._connection.reads.count(index=self._names.documents, query=_received())["count"])

    def chunks(self) -> Iterator[SeenChunk]:
        """Yield every chunk of the collection."""
        for one in self._all(f"{self._names.chunks(shelf.COLLECTION)}"):
            yield SeenChunk(
                work=shelf.number(one["document_id"]),
                write_set=one["write_set"],
                ordinal=one["ordinal"],
                edition=one["metadata"][shelf.EDITION],
                text=one["text"],
                start=one["start"],
                end=one["end"],
            )

    def contents(self) -> dict[int, set[str]]:
        """Return the operations of each work whose content is stored."""
        works = {record.key: work for work, record in self.records().items()}
        found: dict[int, set[str]] = defaultdict(set)
        for one in self._all(self._names.contents, fields=["key", "target"]):
            found[works.get(one["key"], -1)].add(one["target"])
        return found

    def loose(self) -> bool:
        """Whether there are chunks of sets that are not committed, or more contents than records point to."""
        records = self.records()
        sets = {(work, one.write_set) for work, record in records.items() for one in record.committed.values()}
        if any((chunk.work, chunk.write_set) not in sets for chunk in self.chunks()):
            return True
        pointed = {work: {record.target, record.committed_target} for work, record in records.items()}
        return any(not targets <= pointed.get(work, set()) for work, targets in self.contents().items())

    def everything(self, client: Client, job_ids: Iterable[str]) -> Observed:
        """Return all that the checker looks at."""
        jobs = {job_id: ending(client, job_id) for job_id in job_ids}
        return Observed(self.records(), list(self.chunks()), self.contents(), jobs)

    def _refresh(self, index: str) -> None:
        try:
            self._connection.writes.indices.refresh(index=index)
        except NotFoundError:
            return

    def _all(
        self, index: str, query: dict[str, Any] | None = None, *, fields: list[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        self._refresh(index)
        body: dict[str, Any] = {"query": query or {"match_all": {}}, "_source": fields or True}
        for item in scan(self._connection.reads, index=index, query=body, size=1_000):
            yield item["_source"]


def ending(client: Client, job_id: str) -> tuple[str, str] | None:
    """Return the state of a query and a digest of its outcome; None when it is unknown."""
    try:
        return digest(client.result(job_id))
    except UnknownJob:
        return None


def digest(job: Job) -> tuple[str, str]:
    """Return the state of a query and a digest of its outcome."""
    outcome = f"{job.result.model_dump_json() if job.result else ''}{job.error.model_dump_json() if job.error else ''}"
    return job.state.value, hashlib.blake2b(outcome.encode(), digest_size=8).hexdigest()


def _received() -> dict[str, Any]:
    return {"term": {"state": "received"}}
