"""Second Opinion: retrieval that has to be right."""

__version__ = "0.1.0"
