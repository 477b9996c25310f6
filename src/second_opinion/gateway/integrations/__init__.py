"""Retrievers for frameworks that answer with language models; each is an extra, imported by its own module alone."""
