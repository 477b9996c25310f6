"""Checks of every part: each says what it found and what to do."""

from second_opinion.gateway.doctor.examination import CHECKS, examine
from second_opinion.gateway.doctor.findings import Finding, Level

__all__ = ["CHECKS", "Finding", "Level", "examine"]
