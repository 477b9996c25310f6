"""Elasticsearch as the system of record: documents, contents, chunks, collections, traces, judgements, calibrations."""

from second_opinion.pipeline.adapters.elasticsearch.api_keys import ElasticsearchApiKeys
from second_opinion.pipeline.adapters.elasticsearch.calibrations import ElasticsearchCalibrations
from second_opinion.pipeline.adapters.elasticsearch.chunks import ElasticsearchChunks
from second_opinion.pipeline.adapters.elasticsearch.collections import ElasticsearchCollections
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection, ConnectionOptions
from second_opinion.pipeline.adapters.elasticsearch.contents import ElasticsearchContents
from second_opinion.pipeline.adapters.elasticsearch.documents import ElasticsearchDocuments
from second_opinion.pipeline.adapters.elasticsearch.indices import IndexNames
from second_opinion.pipeline.adapters.elasticsearch.judgements import ElasticsearchJudgements
from second_opinion.pipeline.adapters.elasticsearch.traces import ElasticsearchTraces
from second_opinion.pipeline.adapters.elasticsearch.webhooks import ElasticsearchWebhooks

__all__ = [
    "Connection",
    "ConnectionOptions",
    "ElasticsearchApiKeys",
    "ElasticsearchCalibrations",
    "ElasticsearchChunks",
    "ElasticsearchCollections",
    "ElasticsearchContents",
    "ElasticsearchDocuments",
    "ElasticsearchJudgements",
    "ElasticsearchTraces",
    "ElasticsearchWebhooks",
    "IndexNames",
]
