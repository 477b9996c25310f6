"""Rerankers, their models, and scores that cannot be used."""

from typing import Self

from second_opinion.schemas.errors.base import ErrorInfo, PermanentError, TransientError


class RerankUnavailable(TransientError):
    """The second opinion cannot be had right now. This is never the same as "nothing relevant".

    Args:
        message: One sentence for people.
        retry_after: Seconds that whoever refuses asks us to wait; None when it does not say.
        hint: What to do next.
    """

    code = "rerank_unavailable"
    default_hint = "Check the rerank workers: opinion doctor"

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after

    def info(self) -> ErrorInfo:
        """Return this error as data, with the seconds to wait."""
        return super().info().model_copy(update={"retry_after": self.retry_after})

    @classmethod
    def rebuild(cls, info: ErrorInfo) -> Self:
        """Rebuild an error of this class."""
        return cls(info.message, retry_after=info.retry_after, hint=info.hint)


class RerankRateLimited(RerankUnavailable):
    """The calls a minute that the settings allow for a provider are used up, by all workers together."""

    code = "rerank_rate_limited"
    default_hint = "Ask again later, or raise the reranker's requests_per_minute."


class ProviderAnswerInvalid(RerankUnavailable):
    """A provider of rerank scores answered, but not with one usable score for each passage. Nothing is guessed."""

    code = "provider_answer_invalid"
    default_hint = "Check that the URL is that of a rerank endpoint, and that the declared scale is the provider's."


class ModelUnusable(PermanentError):
    """A model file is missing, corrupt or of the wrong kind."""

    code = "model_unusable"


class CalibrationMismatch(ModelUnusable):
    """The calibration was fitted for another model, backend, precision or input length."""

    code = "calibration_mismatch"


class ProviderRefused(PermanentError):
    """A provider of rerank scores does not let us in, or refuses what was sent."""

    code = "provider_refused"
    default_hint = "Check the key, the model's name and the URL of the reranker."


class TextUnreadable(PermanentError):
    """A model fails on this one text; other texts are not affected."""

    code = "text_unreadable"
    default_hint = "Remove unusual characters from the text, or leave this document out."


class RelevanceMissing(PermanentError):
    """A relevance is missing or not finite, so no floor can be applied to it."""

    code = "relevance_missing"
