"""Ingest, by the document protocol: accept, extract, index, commit; reconcile and clean behind them.

Every write of a document's record is a create or a compare-and-set. A crash anywhere leaves only chunks that readers
do not see, and a record that the reconciler finds.
"""

from second_opinion.pipeline.ingest.accept import Acceptance
from second_opinion.pipeline.ingest.commit import GroupCommitter
from second_opinion.pipeline.ingest.extract import Extraction
from second_opinion.pipeline.ingest.leases import Ending
from second_opinion.pipeline.ingest.makers import Maker, Makers
from second_opinion.pipeline.ingest.reconcile import Reconciled, Reconciler
from second_opinion.pipeline.ingest.reindex import Advanced, Reindexer
from second_opinion.pipeline.ingest.remake import Remade, Remaking
from second_opinion.pipeline.ingest.status import document_status, listed_documents, status_of
from second_opinion.pipeline.ingest.stores import Policy, Stores
from second_opinion.pipeline.ingest.sweep import Sweeper, Swept
from second_opinion.pipeline.ingest.work import Indexing, WorkReport

__all__ = [
    "Acceptance",
    "Advanced",
    "Ending",
    "Extraction",
    "GroupCommitter",
    "Indexing",
    "Maker",
    "Makers",
    "Policy",
    "Reconciled",
    "Reconciler",
    "Reindexer",
    "Remade",
    "Remaking",
    "Stores",
    "Sweeper",
    "Swept",
    "WorkReport",
    "document_status",
    "listed_documents",
    "status_of",
]
