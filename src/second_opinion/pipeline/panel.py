"""The panel: the rerankers that a worker serves, by name and in order, and what is left when none can be had."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.pipeline.answer import JudgementParts, judge_candidates, query_tokens_read, since
from second_opinion.pipeline.metering import Ledger
from second_opinion.pipeline.ports import Clock, Guard, no_guard
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import OpinionError, ProviderAnswerInvalid, ProviderRefused, RerankUnavailable
from second_opinion.schemas.job import Job
from second_opinion.schemas.verdict import CalibrationSource, Outcome, QueryResult, UnscoredPassage

NOT_TO_BE_HAD: Final = (RerankUnavailable, ProviderRefused)
"""What lets the next reranker have its turn: this one is away, or does not let us in."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Rerankers in the order in which they are asked, each with its own calibration, by their names in the settings."""

    members: Mapping[str, JudgementParts]

    def asked(self, names: str | None) -> list[tuple[str, JudgementParts]]:
        """Return who is to be asked: all, or those named (separated by commas), in that order.

        Raises:
            RerankUnavailable: If one of them is not served here.
        """
        if names is None:
            return list(self.members.items())
        wanted = names.split(",")
        strangers = [name for name in wanted if name not in self.members]
        if strangers:
            raise RerankUnavailable(
                f"this worker does not serve {', '.join(strangers)}; it serves {', '.join(self.members)}",
                hint="Give all rerank workers the same OPINION_RERANKER and OPINION_RERANKER_FALLBACKS.",
            )
        return [(name, self.members[name]) for name in wanted]


def judge_by_panel(  # noqa: PLR0913 - all but three by name
    job: Job, handover: Handover, panel: Panel, *, clock: Clock, guard: Guard = no_guard, ledger: Ledger | None = None
) -> QueryResult:
    """Return the verdict of the first reranker that can be had; the result names it, and those that could not.

    What is spent goes to the ledger, which outlives a failure. One that has answered this query twice with what cannot
    be used is not asked again.

    Raises:
        RerankUnavailable: If none can be had right now.
        ProviderAnswerInvalid: If all that is to be had are answers that cannot be used.
        ProviderRefused: If none can be had, and trying again would not help.
        OpinionError: As `judge_candidates` does.
    """
    account = ledger or Ledger()
    account.begin()
    failed: dict[str, OpinionError] = {}
    for name, parts in panel.asked(job.query.choices.reranker):
        problem: OpinionError | None = account.given_up(name)
        if problem is None:
            meter = account.meter(name, parts.model)
            try:
                result = judge_candidates(job, handover, parts, clock=clock, guard=guard, meter=meter)
            except NOT_TO_BE_HAD as caught:
                problem = caught
            else:
                return result.model_copy(update={"judged_by": name, **_account(account)})
        failed[name] = problem
        account.missed(name, problem)
    raise _none_of(failed)


def _account(ledger: Ledger) -> dict[str, Any]:
    failures = ledger.failures
    return {"unavailable": tuple(failures), "unavailable_because": failures, "usage": ledger.usage}


def _none_of(failed: Mapping[str, OpinionError]) -> OpinionError:
    if len(failed) == 1:
        return next(iter(failed.values()))
    told = "; ".join(f"{name}: {problem.message}" for name, problem in failed.items())
    invalid = [problem for problem in failed.values() if isinstance(problem, ProviderAnswerInvalid)]
    away = [problem for problem in failed.values() if isinstance(problem, RerankUnavailable) and problem not in invalid]
    if away:
        asked = [problem.retry_after for problem in away if problem.retry_after is not None]
        return RerankUnavailable(told, retry_after=min(asked, default=None))
    return ProviderAnswerInvalid(told) if invalid else ProviderRefused(told)


def unjudged(
    job: Job, handover: Handover, problem: OpinionError, *, clock: Clock, ledger: Ledger | None = None
) -> QueryResult:
    """Return what retrieval found, in its own order and judged by nobody: no relevance, and nothing kept.

    The first `top_k` candidates have their text.
    """
    candidates, choices = handover.fusion.candidates, job.query.choices
    waited = since(handover.handed_over_at, clock)
    return QueryResult(
        job_id=job.job_id,
        collection=job.query.collection,
        query=job.query.text,
        outcome=Outcome.UNJUDGED,
        sentence=f"No second opinion could be had, so this is retrieval's own order: {problem.message}",
        floor=choices.floor,
        best_relevance=None,
        kept=(),
        dropped=(),
        unscored=tuple(
            UnscoredPassage.of(fused, with_text=place < choices.top_k) for place, fused in enumerate(candidates)
        ),
        lost_in_fusion=handover.fusion.lost,
        candidates=len(candidates),
        depth=handover.depth,
        stale_dropped=handover.stale_dropped,
        milliseconds={
            **{stage: round(value, 3) for stage, value in handover.milliseconds.items()},
            "queue_rerank": round(waited, 3),
            "total": round(since(job.submitted_at, clock), 3),
        },
        embedder=handover.embedder,
        reranker="",
        query_tokens_read=query_tokens_read(handover),
        calibration=CalibrationSource.NONE,
        **_account(ledger or Ledger()),
    )
