"""Rerank servers that are asked by plain HTTP: vLLM, Jina, infinity, Voyage, and Text Embeddings Inference."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from pydantic import SecretStr

from second_opinion.pipeline.adapters.provider_answers import (
    from_status,
    readable,
    reason_of,
    scores_in_order,
    usage_of,
)
from second_opinion.pipeline.adapters.provider_calls import CallPolicy, ProviderCalls, admit_at_once, retry_after
from second_opinion.pipeline.adapters.provider_http import asking, endpoint, open_client, place
from second_opinion.pipeline.ports import Admission, Guard, Meter, RerankerSpec, no_guard, no_meter
from second_opinion.schemas.calibration import Scale
from second_opinion.schemas.errors import OpinionError, ProviderAnswerInvalid

Contract = Literal["cohere", "tei"]
BATCHES: Final[Mapping[Contract, int]] = {"cohere": 1_000, "tei": 32}
_TOO_LARGE: Final[Mapping[Contract, frozenset[int]]] = {"cohere": frozenset({413}), "tei": frozenset({413, 422})}


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How to ask a rerank server.

    Attributes:
        url: The endpoint with its path, such as `http://reranker:8080/v1/rerank`.
        model: Name of the model; also sent, except to Text Embeddings Inference, which serves only one.
        scale: What the server's scores are; nobody can tell from the scores themselves.
        contract: `cohere` (query, documents; vLLM, Jina, infinity, Voyage) or `tei` (query, texts).
        api_key: Sent as a bearer token.
        revision: What tells this model from a later one of the same name; the place that answers when left out.
        max_tokens: Tokens that the model reads, for the record; the server does the cutting.
        batch: Most passages in a request; what the contract allows when left out. Halved when the server says so.
        extra: Further fields of the request, such as `{"raw_scores": true}` for infinity.
        policy: How patient to be.
    """

    url: str
    model: str
    scale: Scale
    contract: Contract = "cohere"
    api_key: SecretStr | None = None
    revision: str = ""
    max_tokens: int = 512
    batch: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    policy: CallPolicy = field(default_factory=CallPolicy)


class HttpReranker:
    """Implements `MeteredReranker`. Any number of threads may call it.

    Args:
        options: How to ask.
        admit: Called before each request.

    Attributes:
        spec: What its calibration is keyed by; the revision is the place that answers unless the options say another.

    Raises:
        ModelUnusable: If the URL cannot be used.
    """

    def __init__(self, options: HttpOptions, *, admit: Admission = admit_at_once) -> None:
        url = endpoint(options.url)
        self._options = options
        self._url = url
        self._key = options.api_key.get_secret_value() if options.api_key else ""
        self._batch = options.batch or BATCHES[options.contract]
        self._calls = ProviderCalls(f"the reranker at {place(url)}", options.policy, admit=admit)
        self._http = open_client(options.policy.timeout, {"authorization": f"Bearer {self._key}"} if self._key else {})
        self.spec = RerankerSpec(
            model=options.model,
            revision=options.revision or place(url),
            backend=f"http-{options.contract}",
            dtype="remote",
            max_tokens=options.max_tokens,
            scale=options.scale,
        )

    @classmethod
    def open(cls, options: HttpOptions, *, admit: Admission = admit_at_once) -> "HttpReranker":
        """Open the reranker that the options describe; nothing is sent yet."""
        return cls(options, admit=admit)

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return the server's score of each passage, in order, on the declared scale.

        Raises:
            RerankUnavailable: If the server does not answer, asks to wait or fails, as often as we try.
            ProviderAnswerInvalid: If what it answers is not one usable score for each passage.
            ProviderRefused: If it does not let us in, or refuses the request.
        """
        return self.score_metered(query, passages, meter=no_meter, guard=guard)

    def score_metered(
        self, query: str, passages: Sequence[str], *, meter: Meter, guard: Guard = no_guard
    ) -> list[float]:
        """Return what `score` does; the meter hears the tokens of each answer.

        A server that finds a request too large gets it in halves, and from then on smaller ones.

        Raises:
            OpinionError: As `score` does.
        """
        guard()
        asked, texts = readable(query), [readable(passage) for passage in passages]
        scores: list[float] = []
        until, size = self._calls.patience(), self._batch
        while len(scores) < len(texts):
            batch = texts[len(scores) : len(scores) + size]
            found = self._calls.call(partial(self._request, asked, batch, meter), until=until, guard=guard)
            if found is None:
                size = (len(batch) + 1) // 2
                continue
            scores += found
        # Only now is it known that it was the number of passages, and not one of them, that was too much.
        self._batch = min(self._batch, size)
        return scores

    def close(self) -> None:
        """Close the connections; calls that come later fail as unavailable."""
        self._http.close()

    def _request(self, query: str, batch: list[str], meter: Meter) -> list[float] | None:
        """Return the scores of one batch; None when the server takes only smaller ones."""
        provider, contract = self._calls.provider, self._options.contract
        with asking(self._http, provider):
            response = self._http.post(self._url, content=_json(self._body(query, batch)), headers=_JSON)
        if response.status_code in _TOO_LARGE[contract] and len(batch) > 1:
            return None
        if not response.is_success:
            raise self._refusal(response.status_code, response.content, response.headers.get("retry-after"))
        answer = self._parsed(response.content)
        meter(usage_of(answer))
        return scores_in_order(answer, len(batch), scale=self.spec.scale, provider=provider)

    def _body(self, query: str, batch: list[str]) -> dict[str, Any]:
        options = self._options
        if options.contract == "tei":
            raw = options.scale == "logit"
            return {"query": query, "texts": batch, "truncate": True, "raw_scores": raw, **options.extra}
        return {"model": options.model, "query": query, "documents": batch, **options.extra}

    def _parsed(self, content: bytes) -> Any:
        provider = self._calls.provider
        if not content.strip():
            raise ProviderAnswerInvalid(f"{provider} sent an empty answer")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            kind = "a web page" if content.lstrip()[:1] == b"<" else "no JSON"
            raise ProviderAnswerInvalid(f"{provider} sent {kind} instead of scores") from None

    def _refusal(self, status: int, content: bytes, wait: str | None) -> OpinionError:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = content.decode("utf-8", "replace")
        reason = reason_of(body, self._key)
        return from_status(self._calls.provider, status, reason, retry_after=retry_after(wait))


_JSON: Final = {"content-type": "application/json"}


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
