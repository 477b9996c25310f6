"""The story of a training, kept as JSON beside its weights: recipe, progress, and what it was trained on."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from second_opinion.schemas.errors import ModelUnusable

STORY_FILE: Final = "progress.json"


def read_story(folder: Path) -> dict[str, Any]:
    """Return the story beside the weights in `folder`; an empty one where nothing was kept.

    Raises:
        ModelUnusable: If what is there is no story.
    """
    path = folder / STORY_FILE
    if not path.exists():
        return {}
    try:
        story = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelUnusable(f"{path} cannot be read: {problem}") from problem
    if not isinstance(story, dict):
        raise ModelUnusable(f"{path} holds no story of a training")
    return story


def trained_on(*stories: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the data sets that any of these trainings drew queries from, in order of name."""
    names: set[str] = set()
    for story in stories:
        names |= _drawn_from(story.get("training_queries", {}).items()) | set(story.get("trained_on", ()))
    return tuple(sorted(names))


def _drawn_from(counts: Iterable[tuple[str, int]]) -> set[str]:
    return {name for name, queries in counts if queries}
