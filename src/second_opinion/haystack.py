"""For Haystack: what this package offers it."""

from second_opinion.gateway.integrations.haystack import SecondOpinionRetriever, SecondOpinionWriter

__all__ = ["SecondOpinionRetriever", "SecondOpinionWriter"]
