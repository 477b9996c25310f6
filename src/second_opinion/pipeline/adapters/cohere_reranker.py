"""Cohere Rerank, by the official SDK: a managed second opinion."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pydantic import SecretStr

from second_opinion.pipeline.adapters.provider_answers import (
    from_status,
    readable,
    reason_of,
    scores_in_order,
    usage_of,
)
from second_opinion.pipeline.adapters.provider_calls import CallPolicy, ProviderCalls, admit_at_once, retry_after
from second_opinion.pipeline.adapters.provider_http import HTTP_ERRORS, asking, endpoint, open_client, place
from second_opinion.pipeline.ports import Admission, Guard, Meter, RerankerSpec, no_guard, no_meter
from second_opinion.schemas.errors import ExtraMissing, ModelUnusable, OpinionError, ProviderAnswerInvalid

try:
    from cohere import ClientV2
    from cohere.core.api_error import ApiError
except ImportError as problem:
    raise ExtraMissing.of("cohere", "cohere") from problem

COHERE_URL: Final = "https://api.cohere.com"
MOST_DOCUMENTS: Final = 1_000
"""Cohere takes 10,000 in a request and recommends no more than this."""


@dataclass(frozen=True, slots=True)
class CohereOptions:
    """How to ask Cohere, or a server that the SDK can talk to.

    Attributes:
        model: Name of the model, such as `rerank-v3.5`.
        api_key: The key; a compatible server of one's own may do without.
        base_url: Where `v2/rerank` is.
        max_tokens_per_doc: Tokens of a passage that the model reads; the provider cuts what is longer.
        priority: How early the provider serves us under load, 0 first; None leaves it to the provider.
        batch: Most passages in a request.
        policy: How patient to be.
    """

    model: str
    api_key: SecretStr | None = None
    base_url: str = COHERE_URL
    max_tokens_per_doc: int = 4_096
    priority: int | None = None
    batch: int = MOST_DOCUMENTS
    policy: CallPolicy = field(default_factory=CallPolicy)


class CohereReranker:
    """Implements `MeteredReranker`. Any number of threads may call it.

    Its scores lie in [0, 1] and are declared `probability`, but Cohere says that they depend on the query: without a
    calibration a floor on them is a rule of thumb.

    Args:
        options: How to ask.
        admit: Called before each request.

    Attributes:
        spec: What its calibration is keyed by; the revision is the place that answers.

    Raises:
        ModelUnusable: If the URL cannot be used, or the key is missing.
    """

    def __init__(self, options: CohereOptions, *, admit: Admission = admit_at_once) -> None:
        url = endpoint(options.base_url)
        if options.api_key is None and options.base_url == COHERE_URL:
            raise ModelUnusable("there is no API key for Cohere", hint="Set the key of the Cohere reranker.")
        self._options = options
        self._key = options.api_key.get_secret_value() if options.api_key else ""
        self._calls = ProviderCalls(f"Cohere at {url.host}", options.policy, admit=admit)
        self._http = open_client(options.policy.timeout)
        self._client = ClientV2(
            self._key or "none", base_url=options.base_url, timeout=options.policy.timeout, httpx_client=self._http
        )
        self.spec = RerankerSpec(
            model=options.model,
            revision=f"{place(url)}/v2",
            backend="cohere",
            dtype="remote",
            max_tokens=options.max_tokens_per_doc,
            scale="probability",
            query_dependent=True,
        )

    @classmethod
    def open(cls, options: CohereOptions, *, admit: Admission = admit_at_once) -> "CohereReranker":
        """Open the reranker that the options describe; nothing is sent yet."""
        return cls(options, admit=admit)

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return the provider's score of each passage, in order, each in [0, 1].

        Raises:
            RerankUnavailable: If the provider does not answer, asks to wait or fails, as often as we try.
            ProviderAnswerInvalid: If what it answers is not one usable score for each passage.
            ProviderRefused: If it does not let us in, or refuses the request.
        """
        return self.score_metered(query, passages, meter=no_meter, guard=guard)

    def score_metered(
        self, query: str, passages: Sequence[str], *, meter: Meter, guard: Guard = no_guard
    ) -> list[float]:
        """Return what `score` does; the meter hears the search units of each answer.

        Raises:
            OpinionError: As `score` does.
        """
        guard()
        scores: list[float] = []
        until = self._calls.patience()
        for start in range(0, len(passages), self._options.batch):
            batch = [readable(passage) for passage in passages[start : start + self._options.batch]]
            request = partial(self._request, readable(query), batch, meter)
            scores += self._calls.call(request, until=until, guard=guard)
        return scores

    def close(self) -> None:
        """Close the connections; calls that come later fail as unavailable."""
        self._http.close()

    def _request(self, query: str, batch: list[str], meter: Meter) -> list[float]:
        provider = self._calls.provider
        with asking(self._http, provider):
            try:
                answer = _plain(self._ask(query, batch))
            except ApiError as problem:
                raise self._refusal(problem) from None
            except HTTP_ERRORS:
                raise
            except Exception as problem:  # noqa: BLE001 - whatever the SDK makes of an answer that is not of its form
                raise ProviderAnswerInvalid(f"{provider}'s answer cannot be read ({type(problem).__name__})") from None
        meter(usage_of(answer))
        return scores_in_order(answer, len(batch), scale=self.spec.scale, provider=provider)

    def _ask(self, query: str, batch: list[str]) -> Any:
        options = self._options
        more: dict[str, Any] = {} if options.priority is None else {"priority": options.priority}
        return self._client.rerank(
            model=options.model,
            query=query,
            documents=batch,
            max_tokens_per_doc=options.max_tokens_per_doc,
            # The SDK would try again by itself, without asking the guard.
            request_options={"max_retries": 0},
            **more,
        )

    def _refusal(self, problem: ApiError) -> OpinionError:
        headers = {name.lower(): value for name, value in (getattr(problem, "headers", None) or {}).items()}
        return from_status(
            self._calls.provider,
            problem.status_code or 0,
            reason_of(problem.body, self._key),
            retry_after=retry_after(headers.get("retry-after")),
        )


def _plain(answer: Any) -> dict[str, Any]:
    """Return the SDK's answer as plain data; the SDK checks nothing, so nothing is taken for granted."""
    units = getattr(getattr(answer.meta, "billed_units", None), "search_units", None)
    results = [
        {"index": getattr(item, "index", None), "relevance_score": getattr(item, "relevance_score", None)}
        for item in answer.results
    ]
    return {"results": results, "meta": {"billed_units": {"search_units": units}}}
