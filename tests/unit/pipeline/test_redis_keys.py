"""The reference page names every key that the code names."""

from pathlib import Path

from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.schemas.job import Job, JobState

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "redis-keys.md").read_text(encoding="utf-8")


def test_every_key_is_on_the_page() -> None:
    """Each key has a row."""
    keys = Keys()
    for key in (
        *(keys.job("ID"), keys.candidates("ID"), keys.submitted, keys.deadline, keys.finished, keys.waiting),
        keys.leased,
        keys.holders,
        *(keys.breaker("NAME"), keys.rate("NAME"), keys.usage("DAY"), keys.requests("KEY")),
        *(keys.scores("MODEL", "QUERY"), keys.recent_scores, keys.score_sizes),
    ):
        assert f"\n| `{key}` |" in PAGE


def test_every_field_and_state_of_a_job_is_on_the_page() -> None:
    """Each has its name there, except the id, which is in the key."""
    for name in (*Job.model_fields.keys() - {"job_id"}, *JobState):
        assert f"`{name}`" in PAGE
