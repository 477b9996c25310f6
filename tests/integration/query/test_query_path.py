"""The query path on a real Elasticsearch and Redis, most of it with the bundled models."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import pytest
from tokenizers import Tokenizer

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ConnectionOptions,
    ElasticsearchChunks,
    ElasticsearchCollections,
    ElasticsearchContents,
    ElasticsearchDocuments,
    IndexNames,
)
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.answer import JudgementParts, judge_candidates, retrieve_candidates
from second_opinion.pipeline.calibration import NoCalibration, calibration_for
from second_opinion.pipeline.chunking import SectionChunker
from second_opinion.pipeline.filtering import matches
from second_opinion.pipeline.ingest import Policy
from second_opinion.pipeline.job_lease import JobLease
from second_opinion.pipeline.ports import Embedder
from second_opinion.pipeline.retrieval import RetrievalParts, retrieve
from second_opinion.pipeline.why import WhyParts, explain_document
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.schemas.document import AcceptOutcome, Metadata
from second_opinion.schemas.errors import (
    FilterTypeMismatch,
    IndexMismatch,
    StoreUnavailable,
    UnknownCollection,
    UnknownFilterField,
)
from second_opinion.schemas.explanation import Fate
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter
from second_opinion.schemas.verdict import Outcome, QueryResult, RefusalReason
from second_opinion.testing.builders import a_query
from second_opinion.testing.ingest import IngestRig, memory_stores
from second_opinion.testing.models import WordEmbedder, WordReranker
from second_opinion.workers.clock import SystemClock, UlidSource

pytestmark = pytest.mark.stack

CLOCK = SystemClock()
WORD_JUDGEMENT = JudgementParts(reranker=WordReranker(), calibration=NoCalibration("logit"))

SHELF: dict[str, Metadata] = {
    "old": {"year": 1999, "lang": "en", "public": True, "day": "1999-12-31"},
    "new": {"year": 2024, "lang": ["de", "en"], "public": False, "day": "2024-02-29"},
    "odd": {"year": -0.5, "lang": "EN", "day": "2024-02-29T12:00"},
    "bare": {},
    "null": {"lang": [], "public": False},
}
FILTERS: list[Filter] = [
    TermFilter(field="year", values=[1999.0, 3.0]),
    TermFilter(field="lang", values=["en"]),
    TermFilter(field="lang", values=["EN", "de"]),
    TermFilter(field="public", values=[True]),
    TermFilter(field="public", values=[False, True]),
    RangeFilter(field="year", gte=1999.0),
    RangeFilter(field="year", gt=1999.0, lt=3000.0),
    RangeFilter(field="year", lte=-0.5),
    RangeFilter(field="day", gte="2024-01-01"),
    RangeFilter(field="day", gt="2024-02-29", lte="2024-03"),
    RangeFilter(field="lang", gte="de", lt="en"),
    ExistsFilter(field="year"),
    ExistsFilter(field="lang"),
    ExistsFilter(field="public", exists=False),
]


@dataclass(frozen=True)
class Library:
    """Documents in Elasticsearch, and what reads them."""

    rig: IngestRig
    retrieval: RetrievalParts
    judgement: JudgementParts

    def put(self, documents: Sequence[dict[str, Any]]) -> None:
        """Make documents searchable."""
        receipts = self.rig.acceptance.accept(documents)
        assert {receipt.outcome for receipt in receipts} == {AcceptOutcome.ACCEPTED}
        self.rig.drain()

    def ask(self, text: str, filters: Sequence[Filter] = (), **choices: Any) -> QueryResult:
        """Run both halves of a query."""
        job = a_job(text, filters, **choices)
        handover = retrieve_candidates(job, self.retrieval, clock=CLOCK)
        return judge_candidates(job, handover, self.judgement, clock=CLOCK)


def a_job(text: str, filters: Sequence[Filter] = (), **choices: Any) -> Job:
    now = CLOCK.now()
    return Job(
        job_id="job-1",
        state=JobState.QUEUED,
        query=a_query(text, filters=filters, **choices),
        submitted_at=now,
        expires_at=now + 60.0,
    )


def a_library(connection: Connection, names: IndexNames, embedder: Embedder, judgement: JudgementParts) -> Library:
    """Put ingest and retrieval together on empty indices."""
    tokenizer = Tokenizer.from_file(str(model_folder("bundled", "embedder") / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    chunker = SectionChunker(tokenizer, max_tokens=200)
    fingerprint = IndexFingerprint(
        embedding_model=embedder.spec.model,
        embedding_revision=embedder.spec.revision,
        dims=embedder.spec.dims,
        chunker=chunker.name,
    )
    stores = replace(
        memory_stores(fingerprint),
        documents=ElasticsearchDocuments(connection, names),
        contents=ElasticsearchContents(connection, names),
        chunks=ElasticsearchChunks(connection),
        collections=ElasticsearchCollections(connection, names, fingerprint),
        clock=CLOCK,
        ids=UlidSource(),
    )
    stores.collections.ensure("default")
    return Library(
        rig=IngestRig.on(stores, chunker, embedder, Policy(commit_seconds=0.05)),
        retrieval=RetrievalParts(
            collections=stores.collections, documents=stores.documents, chunks=stores.chunks, embedder=embedder
        ),
        judgement=judgement,
    )


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[OnnxEmbedder, JudgementParts]]:
    """The bundled models, loaded once."""
    embedder, reranker = OnnxEmbedder.open(threads=2), OnnxReranker.open(threads=2)
    calibration = calibration_for(reranker, model_folder("bundled", "reranker") / "calibration.json")
    yield embedder, JudgementParts(reranker=reranker, calibration=calibration)
    embedder.close()
    reranker.close()


@pytest.fixture(scope="module")
def own_names(elasticsearch: Connection) -> Iterator[Callable[[], IndexNames]]:
    """Makes index names of this module's own; the indices are removed behind it."""
    made: list[IndexNames] = []

    def make() -> IndexNames:
        made.append(IndexNames(f"test-{uuid.uuid4().hex[:12]}"))
        return made[-1]

    yield make
    for names in made:
        found = elasticsearch.reads.indices.get(index=f"{names.prefix}-*", expand_wildcards="all")
        elasticsearch.writes.indices.delete(index=list(found.body))


@pytest.fixture(scope="module")
def leaflets(
    elasticsearch: Connection,
    own_names: Callable[[], IndexNames],
    models: tuple[OnnxEmbedder, JudgementParts],
) -> Library:
    """The samples, searchable, read by the bundled models."""
    library = a_library(elasticsearch, own_names(), *models)
    documents = []
    for leaflet in sorted(files("second_opinion.samples").iterdir(), key=lambda path: path.name):
        if leaflet.name.endswith(".md"):
            text = leaflet.read_text(encoding="utf-8")
            title = text.split("\n", 1)[0].lstrip("# ")
            document_id = leaflet.name.removesuffix(".md")
            documents.append({"id": document_id, "title": title, "text": text, "media_type": "text/markdown"})
    library.put(documents)
    return library


@pytest.fixture(scope="module")
def shelf(elasticsearch: Connection, own_names: Callable[[], IndexNames]) -> Library:
    """The documents of `SHELF`, read by quick doubles of the models."""
    library = a_library(elasticsearch, own_names(), WordEmbedder(), WORD_JUDGEMENT)
    library.put([{"id": name, "text": f"red fox {name}", "metadata": metadata} for name, metadata in SHELF.items()])
    return library


@pytest.fixture
def words(elasticsearch: Connection, names: IndexNames) -> Library:
    """An empty library, read by quick doubles of the models."""
    return a_library(elasticsearch, names, WordEmbedder(), WORD_JUDGEMENT)


def test_the_founding_example(leaflets: Library) -> None:
    """Dosage for children is first and kept; adults and acetaminophen stand below it; how it works is dropped."""
    result = leaflets.ask("ibuprofen dosage for children")
    assert result.outcome is Outcome.ANSWERED
    assert result.kept[0].document_id == "ibuprofen-dosage-children"
    best: dict[str, float] = {}
    for passage in (*result.kept, *result.dropped):
        best[passage.document_id] = max(passage.relevance, best.get(passage.document_id, 0.0))
    assert best["ibuprofen-dosage-children"] > best["ibuprofen-dosage-adults"]
    assert best["ibuprofen-dosage-children"] > best["acetaminophen-dosage-children"]
    assert best["how-ibuprofen-works"] < result.floor
    assert all(passage.relevance >= result.floor for passage in result.kept)


def test_an_off_topic_query_is_refused(leaflets: Library) -> None:
    """Candidates there are, but none is relevant, and the result says by how much."""
    result = leaflets.ask("office dog policy?")
    assert (result.outcome, result.reason) == (Outcome.REFUSED, RefusalReason.BELOW_FLOOR)
    assert result.best_relevance is not None
    assert result.best_relevance < 0.4
    assert f"best was {result.best_relevance:.2f}" in result.sentence


def test_a_floor_of_zero_keeps_all_and_one_keeps_none(leaflets: Library) -> None:
    """Both ends mean what they say, on real scores."""
    query = "ibuprofen dosage for children"
    everything = leaflets.ask(query, floor=0.0, top_k=100, chunks_per_document=100)
    assert len(everything.kept) == everything.candidates > 0
    nothing = leaflets.ask(query, floor=1.0)
    assert (nothing.outcome, nothing.kept) == (Outcome.REFUSED, ())


def test_a_job_goes_through_redis_and_back(leaflets: Library, redis_url: str, namespace: str) -> None:
    """Submitted, retrieved, handed over, judged, finished, waited for and explained, each by its own store."""
    client, binary = connect(redis_url, timeout=5.0), connect(redis_url, timeout=5.0, decode=False)
    jobs = RedisJobs(client, clock=CLOCK, result_ttl=60.0, namespace=namespace)
    candidates = RedisCandidates(binary, ttl=60.0, namespace=namespace)
    now = CLOCK.now()
    query = a_query("ibuprofen dosage for children", candidates=6, top_k=2)
    jobs.create(query, submitted_at=now, expires_at=now + 60.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(jobs.wait, "job-1", 30.0)
        job = jobs.begin("job-1", JobState.RETRIEVING, owner="w", seconds=15.0)
        guard = JobLease(job, jobs, CLOCK, seconds=15.0)
        candidates.put("job-1", retrieve_candidates(job, leaflets.retrieval, clock=CLOCK, guard=guard))
        job = jobs.begin("job-1", JobState.RERANKING, owner="w", seconds=15.0)
        handover = candidates.get("job-1")
        assert handover is not None
        result = judge_candidates(job, handover, leaflets.judgement, clock=CLOCK, guard=guard)
        assert jobs.finish("job-1", JobState.DONE, at=CLOCK.now(), result=result)
        finished = waiting.result(10.0)
    assert finished.result == result
    assert (
        sum(result.milliseconds[stage] for stage in ("embed", "search", "verify", "fuse", "rerank", "judge"))
        <= (result.milliseconds["total"])
    )
    parts = WhyParts(leaflets.retrieval.collections, leaflets.retrieval.documents, leaflets.retrieval.chunks)
    fates = {name: explain_document(finished, name, parts).fate for name in ("ibuprofen-dosage-children", "nowhere")}
    assert fates == {"ibuprofen-dosage-children": Fate.KEPT, "nowhere": Fate.NOT_INDEXED}
    jobs.close()
    binary.close()


def test_filters_mean_the_same_in_the_index_and_in_python(shelf: Library) -> None:
    """Each filter, and each pair of filters, finds exactly the documents that `why` says pass it, in both lists."""
    for filters in [(one,) for one in FILTERS] + list(zip(FILTERS, FILTERS[3:], strict=False)):
        found = retrieve(a_query("red fox", filters=filters), shelf.retrieval).candidates
        passing = {document_id for document_id, metadata in SHELF.items() if matches(filters, metadata)}
        assert {one.chunk.document_id for one in found} == passing, filters
        assert all(one.bm25_rank and one.knn_rank for one in found)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (TermFilter(field="langauge", values=["en"]), UnknownFilterField),
        (TermFilter(field="year", values=["new"]), FilterTypeMismatch),
        (RangeFilter(field="lang", gte=3.0), FilterTypeMismatch),
    ],
)
def test_a_filter_that_cannot_match_is_a_typed_error(shelf: Library, one: Filter, expected: type[Exception]) -> None:
    """The fields that a real collection has are those that its documents brought."""
    with pytest.raises(expected):
        retrieve(a_query("red fox", filters=[one]), shelf.retrieval)


@pytest.mark.parametrize(
    "text",
    ["the of and", "?!.,", "a" * 4_000, "מה המינון", "💊", '"quoted" AND (broken OR', "\\", "*:*", "red\u202efox"],
)
def test_no_query_text_breaks_the_search(shelf: Library, text: str) -> None:
    """Only stop words, only signs, one long word, other scripts, and what looks like syntax are all just words."""
    assert shelf.ask(text).candidates == len(SHELF)


def test_an_unknown_collection_is_a_typed_error(shelf: Library) -> None:
    """A collection that does not exist is not an empty one."""
    with pytest.raises(UnknownCollection):
        retrieve(a_query().model_copy(update={"collection": "nowhere"}), shelf.retrieval)


def test_an_index_of_another_model_is_a_typed_error(
    words: Library, names: IndexNames, elasticsearch: Connection
) -> None:
    """Vectors of another model are not compared with this one's."""
    made_by = words.retrieval.collections.fingerprint().model_copy(update={"embedding_model": "another"})
    foreign = replace(words.retrieval, collections=ElasticsearchCollections(elasticsearch, names, made_by))
    with pytest.raises(IndexMismatch):
        retrieve(a_query(), foreign)


def test_a_server_that_is_not_there_is_a_transient_error(shelf: Library) -> None:
    """The search says that the store is unavailable; it does not say that nothing was found."""
    nowhere = Connection(ConnectionOptions(urls=("http://127.0.0.1:1",), timeout=1.0))
    with pytest.raises(StoreUnavailable):
        retrieve(a_query(), replace(shelf.retrieval, chunks=ElasticsearchChunks(nowhere)))
    nowhere.close()


class Reader:
    """Reads again and again, and holds every read against what it saw before."""

    def __init__(self, library: Library, names: Sequence[str]) -> None:
        self.library = library
        self.newest = dict.fromkeys(names, 0)
        self.reads = 0
        self.stale_dropped = 0

    def read_until(self, stop: threading.Event) -> None:
        """Read until somebody says stop."""
        while not stop.is_set():
            found = retrieve(a_query("red fox", candidates=30), self.library.retrieval)
            self.reads += 1
            self.stale_dropped += found.stale_dropped
            seen: dict[str, set[int]] = {name: set() for name in self.newest}
            for candidate in found.candidates:
                seen[candidate.chunk.document_id].add(int(candidate.chunk.text.split("v")[-2]))
            for name, versions in seen.items():
                self.check(name, versions)

    def check(self, name: str, versions: set[int]) -> None:
        """Make sure that a document was seen in one version, and in none older than before."""
        assert len(versions) == 1, f"{name} is missing, or a mixture: {versions}"
        assert max(versions) >= self.newest[name], f"{name} went back"
        self.newest[name] = max(versions)


def test_readers_lose_nothing_while_documents_change(words: Library) -> None:
    """Under constant re-ingest every read has every document, each in one version, and versions never go back."""
    names = [f"document-{number}" for number in range(8)]

    def put(version: int) -> None:
        text = "\n\n".join(f"# Part {part}\n\nred fox, version v{version}v" for part in range(3))
        words.put([{"id": name, "text": text, "media_type": "text/markdown"} for name in names])

    put(0)
    stop = threading.Event()
    readers = [Reader(words, names) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(reader.read_until, stop) for reader in readers]
        try:
            until, version = time.monotonic() + 6.0, 0
            while version < 5 or time.monotonic() < until:
                version += 1
                put(version)
        finally:
            stop.set()
        for future in reading:
            future.result()
    assert min(reader.reads for reader in readers) >= 5
    assert [reader.stale_dropped for reader in readers] == [0, 0]
