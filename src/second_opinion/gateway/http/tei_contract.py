"""The rerank contract of Text Embeddings Inference: what is asked, what is answered, and how errors are told."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, Response

from second_opinion.gateway.http.rerank import Ranking, RerankQuestion
from second_opinion.schemas import errors
from second_opinion.schemas.errors import DocumentTooLarge, InvalidQuery, OpinionError

MOST_TEXTS: Final = 10_000
ErrorType = Literal["Validation", "Tokenizer", "Backend", "Overloaded", "Unhealthy", "Unauthorized"]


class TeiRequest(BaseModel):
    """A question, and texts to score by it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "who approves refunds?",
                    "texts": ["A manager approves refunds above 100 euros.", "Dogs may visit on Fridays."],
                    "truncate": True,
                }
            ]
        }
    )

    query: str
    texts: list[str] = Field(description="1 to 10,000 texts.", json_schema_extra={"minItems": 1})
    truncate: bool = Field(default=False, description="Read only the beginning of texts that are too long.")
    truncation_direction: Literal["right", "Right"] = Field(
        default="right", description="The end of a long text is left out; its beginning cannot be."
    )
    raw_scores: bool = Field(default=False, description="Answer with the model's logits instead of relevance.")
    return_text: bool = False

    @model_validator(mode="before")
    @classmethod
    def _is_of_this_form(cls, body: Any) -> Any:
        if isinstance(body, dict) and "documents" in body and "texts" not in body:
            raise InvalidQuery("`texts` are taken here, not `documents`", hint="Send `documents` to /v2/rerank.")
        return body

    def question(self) -> RerankQuestion:
        """Return what is asked.

        Raises:
            InvalidQuery: If there are no texts.
            DocumentTooLarge: If there are too many.
        """
        if not self.texts:
            raise InvalidQuery("`texts` is empty", hint="Send at least one text.")
        if len(self.texts) > MOST_TEXTS:
            raise DocumentTooLarge(
                f"batch size {len(self.texts)} > maximum allowed batch size {MOST_TEXTS}",
                hint="Send the texts in several requests: relevance is comparable between them.",
            )
        return RerankQuestion(self.query, self.texts, must_fit=not self.truncate)


class TeiRank(BaseModel):
    """One text: its number in the request, from 0, and its relevance, or its logit where that was asked for."""

    index: int
    text: str | None = None
    score: float


class TeiProblem(BaseModel):
    """An error, as Text Embeddings Inference tells it."""

    error: str = Field(examples=["`texts` is empty. Send at least one text."])
    error_type: ErrorType


def answer(asked: TeiRequest, ranking: Ranking) -> list[TeiRank]:
    """Return the answer to a request, best first.

    Raises:
        TextUnreadable: If the model could not read a text; the contract has no way to leave one out.
    """
    if ranking.unreadable:
        raise next(iter(ranking.unreadable.values()))
    found = [
        TeiRank(
            index=place.index,
            text=asked.texts[place.index] if asked.return_text else None,
            score=place.raw_score if asked.raw_scores else place.relevance,
        )
        for place in ranking.places
    ]
    return sorted(found, key=lambda one: -one.score) if asked.raw_scores else found


def problem(error: OpinionError, status: int, request_id: str) -> Response:  # noqa: ARG001 - the form's signature
    """Return an error in the form of Text Embeddings Inference.

    Args:
        error: What happened.
        status: What it would be elsewhere in this API.
        request_id: The request that it happened to.
    """
    info = error.info()
    told = f"{info.message}. {info.hint}" if info.hint else info.message
    code, kind = _kind(error, status)
    return JSONResponse(TeiProblem(error=told, error_type=kind).model_dump(), code)


def _kind(error: OpinionError, status: int) -> tuple[int, ErrorType]:
    match error:
        case errors.Overloaded() | errors.RateLimited():
            return 429, "Overloaded"
        case errors.TextUnreadable() | errors.RelevanceMissing() | errors.ModelUnusable() | errors.InternalError():
            return 424, "Backend"
        case errors.DeadlineExceeded():
            return status, "Backend"
        case errors.Unauthenticated() | errors.AccessDenied() | errors.HostNotAllowed():
            return status, "Unauthorized"
        case errors.TransientError():
            return status, "Unhealthy"
        case _:
            return status, "Validation"
