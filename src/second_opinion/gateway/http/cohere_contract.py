"""Cohere's rerank contract, version 2: what is asked, what is answered, and how errors are told.

Relevance is calibrated here and not relative to the query, so `relevance_score` of different questions can be compared,
and a threshold on it means something. What is said beyond the contract stands in `meta`.
"""

import math
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from second_opinion.gateway.http.rerank import Place, Ranking, RerankQuestion
from second_opinion.schemas import errors
from second_opinion.schemas.errors import InvalidQuery, OpinionError

MOST_DOCUMENTS: Final = 10_000
DOCUMENTS_PER_UNIT: Final = 100
NAMED: Final = 10


class TextDocument(BaseModel):
    """A document as an object; only its `text` is read."""

    text: str


class CohereRequest(BaseModel):
    """A question, and documents to put in order by it.

    Fields that are not known here are let through and named in `meta.warnings`: a newer SDK goes on working.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": "rerank-v3.5",
                    "query": "who approves refunds?",
                    "documents": ["A manager approves refunds above 100 euros.", "Dogs may visit on Fridays."],
                    "top_n": 1,
                }
            ]
        },
    )

    model: str = Field(
        default="",
        description="Name of a reranker of this gateway. A name that begins with `rerank`, or none, is the first one.",
    )
    query: str = Field(description="The question.")
    documents: list[str | TextDocument] = Field(
        description="1 to 10,000 texts. An empty one has a relevance of 0.", json_schema_extra={"minItems": 1}
    )
    top_n: int | None = Field(default=None, description="How many of the best to answer with; all when left out.")
    max_tokens_per_doc: int | None = Field(
        default=None, description="Tokens of a document to read; never more than the model reads."
    )
    priority: int | None = Field(default=None, description="Taken, and without effect: requests share the model alike.")
    return_documents: bool = Field(default=False, description="Send each document's text back beside its score.")

    def question(self) -> RerankQuestion:
        """Return what is asked.

        Raises:
            InvalidQuery: If a number is out of range.
        """
        if not self.documents:
            raise InvalidQuery("`documents` is empty", hint="Send at least one document.")
        if len(self.documents) > MOST_DOCUMENTS:
            raise InvalidQuery(
                f"{len(self.documents):,} documents were sent; the limit is {MOST_DOCUMENTS:,}",
                hint="Send them in several requests: relevance is comparable between them.",
            )
        for name, value in (("top_n", self.top_n), ("max_tokens_per_doc", self.max_tokens_per_doc)):
            if value is not None and value < 1:
                raise InvalidQuery(f"{name} is {value}, but has to be at least 1", hint=f"Leave {name} out for all.")
        texts = [one if isinstance(one, str) else one.text for one in self.documents]
        return RerankQuestion(self.query, texts, model=self.model, most_tokens=self.max_tokens_per_doc)


class CohereResult(BaseModel):
    """One document: its number in the request, from 0, and its calibrated relevance."""

    index: int
    relevance_score: float = Field(ge=0.0, le=1.0)
    document: TextDocument | None = None


class ApiVersion(BaseModel):
    """The version of the contract."""

    version: str


class BilledUnits(BaseModel):
    """What the request would be billed: one unit for each 100 documents. Nobody is billed here."""

    search_units: int


class CalibrationName(BaseModel):
    """Where the calibration behind the relevance comes from: `none`, or `shipped` with the model; and its id."""

    source: str
    id: str | None = None


class CohereMeta(BaseModel):
    """What is known of the answer besides the scores.

    Attributes:
        reranker: Its name in this gateway's settings.
        model: Id and revision of the model.
        warnings: What was not read, and what was asked for that is not known here.
    """

    api_version: ApiVersion
    billed_units: BilledUnits
    calibration: CalibrationName
    reranker: str
    model: str
    warnings: list[str] | None = None


class CohereAnswer(BaseModel):
    """The documents, best first; ones that the model cannot read are left out and named in `meta.warnings`."""

    id: str
    results: list[CohereResult]
    meta: CohereMeta


class CohereProblem(BaseModel):
    """An error, as Cohere tells it."""

    message: str = Field(examples=["model 'no-such-model' not found. Name one of: bundled."])
    id: str = Field(description="The request's id, as in its log lines.")


def answer(asked: CohereRequest, ranking: Ranking, *, request_id: str, version: str) -> CohereAnswer:
    """Return the answer to a request.

    Raises:
        TextUnreadable: If the model could not read a single document.
    """
    if not ranking.places:
        raise next(iter(ranking.unreadable.values()))
    return CohereAnswer(
        id=request_id,
        results=[_result(asked, place) for place in ranking.places[: asked.top_n]],
        meta=CohereMeta(
            api_version=ApiVersion(version=version),
            billed_units=BilledUnits(search_units=math.ceil(len(asked.documents) / DOCUMENTS_PER_UNIT)),
            calibration=CalibrationName(source=ranking.calibration.source, id=ranking.calibration.id),
            reranker=ranking.name,
            model=ranking.model,
            warnings=_warnings(asked, ranking) or None,
        ),
    )


def problem(error: OpinionError, status: int, request_id: str) -> Response:
    """Return an error in Cohere's form.

    Args:
        error: What happened.
        status: What it would be elsewhere in this API.
        request_id: The request that it happened to.
    """
    info = error.info()
    message = f"{info.message}. {info.hint}" if info.hint else info.message
    return JSONResponse(CohereProblem(message=message, id=request_id).model_dump(), _status(error, status))


def _status(error: OpinionError, status: int) -> int:
    match error:
        case errors.UnknownReranker():
            return 404
        case errors.InvalidQuery() | errors.DocumentTooLarge():
            return 400
        case errors.TextUnreadable():
            return 422
        case errors.Overloaded():
            return 429
        case _:
            return status


def _result(asked: CohereRequest, place: Place) -> CohereResult:
    document = asked.documents[place.index] if asked.return_documents else None
    return CohereResult(
        index=place.index,
        relevance_score=place.relevance,
        document=TextDocument(text=document) if isinstance(document, str) else document,
    )


def _warnings(asked: CohereRequest, ranking: Ranking) -> list[str]:
    found = []
    if ranking.cut:
        found.append(f"longer than the model reads, so that only their beginning counts: {_named(ranking.cut)}")
    if ranking.query_tokens_read is not None:
        found.append(f"the query is longer than the model reads: its first {ranking.query_tokens_read} tokens count")
    if ranking.unreadable:
        found.append(f"not readable for the model, and without a score: {_named(tuple(ranking.unreadable))}")
    unknown: dict[str, Any] = asked.model_extra or {}
    if asked_for := sorted(name for name, value in unknown.items() if value is not None):
        found.append(f"not known here, and without effect: {', '.join(asked_for)}")
    return found


def _named(numbers: tuple[int, ...]) -> str:
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return f"documents {', '.join(map(str, numbers[:NAMED]))}{more}" if len(numbers) > 1 else f"document {numbers[0]}"
