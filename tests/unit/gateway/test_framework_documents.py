"""Documents of LangChain and Haystack on their way into a collection, on a whole system in memory."""

from typing import Any

import pytest
from haystack import Document as HaystackDocument
from haystack import Pipeline
from langchain_core.documents import Document as LangChainDocument

from second_opinion.haystack import SecondOpinionWriter
from second_opinion.langchain import DocumentForm, submit_documents
from second_opinion.schemas.document import AcceptOutcome
from second_opinion.schemas.errors import InvalidDocument, UnknownCollection
from tests.unit.gateway.conftest import MemorySystem


def loaded(source: str | None, text: str = "Keys are at the desk.", **fields: Any) -> LangChainDocument:
    return LangChainDocument(page_content=text, metadata={"source": source, **fields})


def test_langchain_documents_become_searchable(system: MemorySystem) -> None:
    """The source is id and URI, the title is read by the models, the rest can be filtered on; None is left out."""
    sent = [loaded("https://example.org/keys", title="Keys", year=2024, tags=["desk"], author=None)]
    (receipt,) = submit_documents(system.client, sent)
    (chunk,) = system.client.document_chunks("https://example.org/keys")
    assert receipt.outcome is AcceptOutcome.ACCEPTED
    assert (chunk.text, chunk.title, chunk.uri) == ("Keys are at the desk.", "Keys", "https://example.org/keys")
    assert chunk.metadata == {"year": 2024, "tags": ["desk"]}
    (again,) = submit_documents(system.client, sent)
    assert again.outcome is AcceptOutcome.UNCHANGED


def test_a_form_says_which_field_is_what(system: MemorySystem) -> None:
    """Collection, id, title and URI may be elsewhere, and only the fields that are named are kept."""
    form = DocumentForm("desk", id_field="key", title_field="name", uri_field="url", metadata_fields=["year", "absent"])
    fields = {"key": 7, "name": "Keys", "url": "https://example.org", "year": 2024, "nested": {"not": "kept"}}
    submit_documents(system.client, [loaded("ignored", **fields)], form)
    (chunk,) = system.client.document_chunks("7", collection="desk")
    assert (chunk.title, chunk.uri, chunk.metadata) == ("Keys", "https://example.org", {"year": 2024})


def test_pages_of_one_source_do_not_replace_each_other(system: MemorySystem) -> None:
    """Loaders that split by page give each page the same source: that is an error, and nothing is sent."""
    with pytest.raises(InvalidDocument, match=r"a\.pdf") as caught:
        submit_documents(system.client, [loaded("a.pdf", "one"), loaded("a.pdf", "two"), loaded("b.pdf", "three")])
    assert "id_field" in caught.value.hint
    with pytest.raises(InvalidDocument, match="source"):
        submit_documents(system.client, [loaded(None)])
    with pytest.raises(UnknownCollection):
        list(system.client.documents())


def test_a_rejected_document_is_an_error_of_its_kind(system: MemorySystem) -> None:
    """All are sent; the error tells how many were rejected, and why the first of them."""
    sent = [loaded("a", " "), loaded("b"), loaded("c", nested={"a": {"b": 1}})]
    with pytest.raises(InvalidDocument, match="2 of 3 documents were rejected; 'a'"):
        submit_documents(system.client, sent)
    assert system.client.document_status("b").searchable


def test_a_haystack_pipeline_writes_documents(system: MemorySystem) -> None:
    """In a real pipeline the writer says how many it sent; the id may be a field of `meta`."""
    pipeline = Pipeline()
    pipeline.add_component("writer", SecondOpinionWriter(system.client, id_field="file_path"))
    documents = [
        HaystackDocument(content="Keys are at the desk.", meta={"file_path": "keys.md", "year": 2024}),
        HaystackDocument(content="Tea is in the kitchen.", meta={"file_path": "tea.md"}),
    ]
    assert pipeline.run({"writer": {"documents": documents}}) == {"writer": {"documents_written": 2}}
    (chunk,) = system.client.document_chunks("keys.md")
    assert chunk.metadata == {"year": 2024}


def test_a_haystack_writer_is_written_down(system: MemorySystem) -> None:
    """As YAML and back it is the same writer; without an id field the framework's own id is taken."""
    pipeline = Pipeline()
    pipeline.add_component("writer", SecondOpinionWriter(collection="desk", metadata_fields=["year"]))
    text = pipeline.dumps()
    assert Pipeline.loads(text, allowed_modules=["second_opinion.haystack"]).dumps() == text
    document = HaystackDocument(content="Keys are at the desk.")
    SecondOpinionWriter(system.client).run([document])
    assert system.client.document_status(document.id).searchable
