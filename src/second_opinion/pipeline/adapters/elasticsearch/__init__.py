"""Elasticsearch as the system of record: documents, contents, chunks and collections."""

from second_opinion.pipeline.adapters.elasticsearch.chunks import ElasticsearchChunks
from second_opinion.pipeline.adapters.elasticsearch.collections import ElasticsearchCollections
from second_opinion.pipeline.adapters.elasticsearch.connection import Connection, ConnectionOptions
from second_opinion.pipeline.adapters.elasticsearch.contents import ElasticsearchContents
from second_opinion.pipeline.adapters.elasticsearch.documents import ElasticsearchDocuments
from second_opinion.pipeline.adapters.elasticsearch.indices import IndexNames

__all__ = [
    "Connection",
    "ConnectionOptions",
    "ElasticsearchChunks",
    "ElasticsearchCollections",
    "ElasticsearchContents",
    "ElasticsearchDocuments",
    "IndexNames",
]
