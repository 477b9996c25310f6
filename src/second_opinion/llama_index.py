"""For LlamaIndex: what this package offers it."""

from second_opinion.gateway.integrations.llama_index import SecondOpinionRetriever

__all__ = ["SecondOpinionRetriever"]
