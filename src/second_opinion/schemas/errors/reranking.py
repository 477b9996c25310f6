"""Rerankers, their models, and scores that cannot be used."""

from second_opinion.schemas.errors.base import PermanentError, TransientError


class RerankUnavailable(TransientError):
    """The second opinion cannot be had right now. This is never the same as "nothing relevant"."""

    code = "rerank_unavailable"
    default_hint = "Check the rerank workers: opinion doctor"


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
