"""For LangChain: what this package offers it."""

from second_opinion.gateway.integrations.langchain import SecondOpinionRetriever, submit_documents
from second_opinion.gateway.integrations.sending import DocumentForm

__all__ = ["DocumentForm", "SecondOpinionRetriever", "submit_documents"]
