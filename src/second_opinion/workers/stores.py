"""Opening what is outside of this process: Elasticsearch and the databases of Redis, as the settings name them.

Nothing is connected before it is used.
"""

from typing import Final

from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ConnectionOptions,
    ElasticsearchApiKeys,
    ElasticsearchCalibrations,
    ElasticsearchChunks,
    ElasticsearchCollections,
    ElasticsearchContents,
    ElasticsearchDocuments,
    ElasticsearchJudgements,
    ElasticsearchTraces,
    ElasticsearchWebhooks,
    IndexNames,
)
from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.hands import RedisHands
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.adapters.redis.requests import RedisRequestBook
from second_opinion.pipeline.adapters.redis.scores import RedisScores
from second_opinion.pipeline.adapters.redis.workers import RedisWorkers
from second_opinion.workers.clock import SystemClock
from second_opinion.workers.makers import fingerprint, formers
from second_opinion.workers.parts import Stores
from second_opinion.workers.rerankers import OpenedReranker
from second_opinion.workers.settings import Settings

CACHE_TIMEOUT: Final = 0.5
"""Seconds that asking the cache, or sharing a count, may take."""

REGISTER_TIMEOUT: Final = 1.0
"""Seconds that a worker's sign of life may take: its consumer stands still meanwhile."""


def open_connection(settings: Settings) -> Connection:
    """Return a client of Elasticsearch."""
    password, api_key = settings.elasticsearch_password, settings.elasticsearch_api_key
    return Connection(
        ConnectionOptions(
            urls=tuple(url.strip() for url in settings.elasticsearch_url.split(",")),
            username=settings.elasticsearch_username,
            password=password.get_secret_value() if password else None,
            api_key=api_key.get_secret_value() if api_key else None,
            ca_certs=settings.elasticsearch_ca_certs,
            timeout=settings.elasticsearch_timeout,
        )
    )


def open_traces(settings: Settings, connection: Connection) -> ElasticsearchTraces:
    """Return the trace store."""
    return ElasticsearchTraces(connection, IndexNames(settings.index_prefix), days=settings.trace_days)


def open_elasticsearch(settings: Settings) -> Stores:
    """Return the stores in Elasticsearch."""
    connection, names = open_connection(settings), IndexNames(settings.index_prefix)
    return Stores(
        connection=connection,
        documents=ElasticsearchDocuments(connection, names),
        contents=ElasticsearchContents(connection, names),
        chunks=ElasticsearchChunks(connection),
        collections=ElasticsearchCollections(
            connection, names, fingerprint(settings), former=[fingerprint(one) for one in formers(settings)]
        ),
        traces=open_traces(settings, connection),
        judgements=ElasticsearchJudgements(connection, names),
        calibrations=ElasticsearchCalibrations(connection, names),
        api_keys=ElasticsearchApiKeys(connection, names),
        webhooks=ElasticsearchWebhooks(connection, names),
    )


def open_jobs(settings: Settings) -> RedisJobs:
    """Return the job store in Redis."""
    client = connect(settings.jobs_url.get_secret_value(), timeout=settings.redis_timeout)
    return RedisJobs(client, clock=SystemClock(), result_ttl=settings.result_ttl, namespace=settings.index_prefix)


def open_hands(settings: Settings) -> RedisHands:
    """Return what knows the messages that workers hold."""
    client = connect(settings.broker_url.get_secret_value(), timeout=settings.redis_timeout, decode=False)
    return RedisHands(client, namespace=settings.index_prefix)


def open_workers(settings: Settings) -> RedisWorkers:
    """Return the register of workers in Redis."""
    client = connect(settings.jobs_url.get_secret_value(), timeout=min(settings.redis_timeout, REGISTER_TIMEOUT))
    return RedisWorkers(client, clock=SystemClock(), namespace=settings.index_prefix)


def open_request_book(settings: Settings) -> RedisRequestBook:
    """Return the count of callers' requests that all gateways share."""
    client = connect(settings.jobs_url.get_secret_value(), timeout=min(settings.redis_timeout, CACHE_TIMEOUT))
    return RedisRequestBook(client, clock=SystemClock(), namespace=settings.index_prefix)


def open_candidates(settings: Settings) -> RedisCandidates:
    """Return the candidate store in Redis."""
    client = connect(settings.jobs_url.get_secret_value(), timeout=settings.redis_timeout, decode=False)
    return RedisCandidates(client, namespace=settings.index_prefix)


def open_scores(settings: Settings, opened: OpenedReranker) -> RedisScores | None:
    """Return the known scores of a reranker; None when none are kept, or it is a remote one.

    A provider may change its model under the same name, so what it said before is not what it would say.
    """
    if opened.is_remote or settings.rerank_cache_scores == 0:
        return None
    timeout = min(settings.redis_timeout, CACHE_TIMEOUT)
    return RedisScores(
        connect(settings.cache_url.get_secret_value(), timeout=timeout, decode=False),
        opened.reranker.spec,
        clock=SystemClock(),
        ttl=settings.rerank_cache_ttl,
        limit=settings.rerank_cache_scores,
        namespace=settings.index_prefix,
    )
