"""What providers of rerank scores answer, checked before anything is believed: nothing is guessed, filled in or cut.

Cohere, vLLM, Jina and infinity answer `results` of `index` and `relevance_score`, Voyage has them under `data`, and
Text Embeddings Inference sends a bare list of `index` and `score`. A `document` beside them is of no interest.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from second_opinion.schemas.calibration import Scale
from second_opinion.schemas.errors import OpinionError, ProviderAnswerInvalid, ProviderRefused, RerankUnavailable
from second_opinion.schemas.usage import RerankUsage

# 424 is Text Embeddings Inference's for a model that failed, 498 and 499 are Cohere's own.
WAIT_STATUSES: Final = frozenset({408, 409, 424, 425, 429, 498, 499, *range(500, 600)}) - {501, 505}
_BUSY: Final = frozenset({429, 503})
_SUCCESS: Final = range(200, 300)
_MOVED: Final = range(300, 400)
_REASON_LIMIT: Final = 200
_URL_HINT: Final = "Check the URL of the reranker: it is that of the endpoint, with its path."
_HINTS: Final[dict[int, str]] = {
    401: "Check the reranker's API key: the provider does not know it.",
    402: "Check the account at the provider: it asks for a payment.",
    403: "Check what the reranker's API key may do: the provider knows it and does not allow this.",
    404: "Check the model's name and the URL of the reranker: the provider has no such thing.",
    405: _URL_HINT,
    413: "Send fewer or shorter candidates: the provider takes no request of this size.",
    422: "Check the model's name and the options of the reranker: the provider cannot use this request.",
    501: _URL_HINT,
}


def readable(text: str) -> str:
    """Return a text as it can be sent as JSON: what is no Unicode character becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def scores_in_order(answer: Any, count: int, *, scale: Scale, provider: str) -> list[float]:
    """Return one score for each passage, in the order in which the passages were sent.

    Args:
        answer: What the provider sent, as plain data.
        count: How many passages there were.
        scale: What the scores are declared to be.
        provider: How sentences name it.

    Raises:
        ProviderAnswerInvalid: If an index is missing, doubled or out of range, or a score is no usable number.
    """
    found: dict[int, float] = {}
    for item in _items(answer, provider):
        index, score = _index(item, count, provider), _score(item, scale, provider)
        if index in found:
            raise ProviderAnswerInvalid(f"{provider} returned two scores for passage {index}")
        found[index] = score
    if len(found) != count:
        missing = next(index for index in range(count) if index not in found)
        raise ProviderAnswerInvalid(f"{provider} returned {len(found)} scores for {count} passages: {missing} has none")
    return [found[index] for index in range(count)]


def usage_of(answer: Any) -> RerankUsage:
    """Return what an answer says of its cost; what it does not say, or not as a number, counts as nothing."""
    body = answer if isinstance(answer, Mapping) else {}
    meta, usage = _mapping(body.get("meta")), _mapping(body.get("usage"))
    units = _amount(_mapping(meta.get("billed_units")).get("search_units"))
    return RerankUsage(requests=1, search_units=units, tokens=int(_amount(usage.get("total_tokens"))))


def from_status(provider: str, status: int, reason: str, *, retry_after: float | None = None) -> OpinionError:
    """Return our error for the status of a provider's answer.

    Args:
        provider: How sentences name it.
        status: The HTTP status.
        reason: What the provider says, already without secrets.
        retry_after: Seconds that it asks us to wait.
    """
    said = f": {reason}" if reason else ""
    if status in WAIT_STATUSES:
        asks = "asks to wait" if status in _BUSY else "fails"
        hint = "Wait for the provider, or choose another reranker."
        return RerankUnavailable(f"{provider} {asks} (status {status}){said}", retry_after=retry_after, hint=hint)
    if status in _SUCCESS:
        return ProviderAnswerInvalid(f"{provider} returned no rerank scores (status {status}){said}")
    told = _HINTS.get(status, _URL_HINT if status in _MOVED else None)
    return ProviderRefused(f"{provider} refuses the request (status {status}){said}", hint=told)


def reason_of(body: Any, secret: str | None = None) -> str:
    """Return what an error's body says in one line, shortened, without the key and without what was sent.

    Args:
        body: The body as plain data, or as text when it is no JSON.
        secret: The key, which a careless provider may repeat.
    """
    text = _told(body)
    if secret:
        text = text.replace(secret, "[key]")
    return " ".join(text.split())[:_REASON_LIMIT]


def _told(body: Any) -> str:
    if isinstance(body, str):
        return "it sent a web page" if body.lstrip()[:1] == "<" else body
    if isinstance(body, Sequence):
        return _told(body[0]) if body else ""
    # `msg` is FastAPI's, whose errors repeat the whole input beside it.
    for name in ("message", "error", "detail", "msg"):
        said = body.get(name) if isinstance(body, Mapping) else None
        if isinstance(said, (str, Mapping, list)) and said:
            return _told(said)
    return ""


def _items(answer: Any, provider: str) -> Sequence[Any]:
    items = answer
    if isinstance(answer, Mapping):
        items = answer.get("results") if "results" in answer else answer.get("data")
    if not isinstance(items, list):
        raise ProviderAnswerInvalid(f"{provider} returned no list of scores")
    return items


def _index(item: Any, count: int, provider: str) -> int:
    index = item.get("index") if isinstance(item, Mapping) else None
    if not isinstance(index, int) or isinstance(index, bool):
        raise ProviderAnswerInvalid(f"{provider} returned a score without the number of its passage")
    if not 0 <= index < count:
        raise ProviderAnswerInvalid(f"{provider} returned a score for passage {index} of {count}")
    return index


def _score(item: Mapping[str, Any], scale: Scale, provider: str) -> float:
    score = item.get("relevance_score") if "relevance_score" in item else item.get("score")
    if not isinstance(score, (int, float)) or isinstance(score, bool):
        raise ProviderAnswerInvalid(f"{provider} returned no number as score of passage {item['index']}")
    try:
        value = float(score)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ProviderAnswerInvalid(f"{provider} returned a score that is not finite for passage {item['index']}")
    if scale == "probability" and not 0.0 <= value <= 1.0:
        raise ProviderAnswerInvalid(
            f"{provider} returned {value:.6g} for passage {item['index']}, but its scores are declared to be in [0, 1]"
        )
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _amount(value: Any) -> float:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
    return float(value) if usable else 0.0
