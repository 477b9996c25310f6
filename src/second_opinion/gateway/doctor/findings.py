"""What a check found."""

from enum import StrEnum

from second_opinion.schemas.base import Record
from second_opinion.schemas.errors import OpinionError


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Finding(Record):
    """One thing that was looked at.

    Attributes:
        part: What was looked at.
        told: How it is, in a few words.
        hint: What to do, unless all is well.
    """

    part: str
    level: Level
    told: str
    hint: str = ""


def well(part: str, told: str) -> Finding:
    """Return that all is well."""
    return Finding(part=part, level=Level.OK, told=told)


def warning(part: str, told: str, hint: str) -> Finding:
    """Return that something should be seen to."""
    return Finding(part=part, level=Level.WARNING, told=told, hint=hint)


def failed(part: str, told: str, hint: str) -> Finding:
    """Return that something does not work."""
    return Finding(part=part, level=Level.FAILED, told=told, hint=hint)


def failed_with(part: str, problem: OpinionError) -> Finding:
    """Return that something does not work, and its error says why."""
    return failed(part, problem.message, problem.hint)
