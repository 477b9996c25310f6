"""For LangChain: what this package offers it."""

from second_opinion.gateway.integrations.langchain import SecondOpinionRetriever

__all__ = ["SecondOpinionRetriever"]
