"""Imports that need an extra: when it is missing, the error says what to install."""

from collections.abc import Iterator
from contextlib import contextmanager

from second_opinion.schemas.errors import ExtraMissing


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a missing package within the body into a sentence.

    Args:
        name: The extra that brings what is imported in the body.

    Raises:
        ExtraMissing: If a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        raise ExtraMissing.of(name, problem.name or name) from problem
