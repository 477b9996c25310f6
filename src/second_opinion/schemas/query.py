"""Queries: what callers ask, with filters and their own choices."""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from second_opinion.schemas.base import Record, Request
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionName, QueryDefaults, QueryOverrides
from second_opinion.schemas.document import MetadataName
from second_opinion.schemas.errors import EmptyQuery, InvalidQuery, OpinionError, QueryTooLong

MAX_QUERY_CHARACTERS: Final = 4_000
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

FilterNumber = Annotated[float, Field(allow_inf_nan=False)]
FilterScalar = bool | FilterNumber | str


class TermFilter(Request):
    """Keeps documents whose field has this value, or one of these values."""

    error_type: ClassVar[type[OpinionError]] = InvalidQuery

    op: Literal["term"] = "term"
    field: MetadataName
    values: Annotated[list[FilterScalar], Field(min_length=1, max_length=1_000)]


class RangeFilter(Request):
    """Keeps documents whose field lies in a range: numbers by size, strings (and so ISO dates) by order."""

    error_type: ClassVar[type[OpinionError]] = InvalidQuery

    op: Literal["range"] = "range"
    field: MetadataName
    gt: FilterNumber | str | None = None
    gte: FilterNumber | str | None = None
    lt: FilterNumber | str | None = None
    lte: FilterNumber | str | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        bounds = [bound for bound in (self.gt, self.gte, self.lt, self.lte) if bound is not None]
        if not bounds:
            raise InvalidQuery(f"range filter on {self.field!r} has no bound", hint="Give gt, gte, lt or lte.")
        if len({isinstance(bound, str) for bound in bounds}) > 1:
            raise InvalidQuery(f"range filter on {self.field!r} mixes text and numbers", hint="Use bounds of one type.")
        return self


class ExistsFilter(Request):
    """Keeps documents that have (or, with `exists` false, have not) the field."""

    error_type: ClassVar[type[OpinionError]] = InvalidQuery

    op: Literal["exists"] = "exists"
    field: MetadataName
    exists: bool = True


Filter = Annotated[TermFilter | RangeFilter | ExistsFilter, Field(discriminator="op")]


class QueryRequest(QueryOverrides):
    """One question as a caller sends it; what is left open comes from the collection, then from the settings.

    Attributes:
        text: The question.
        filters: All of them have to hold, for both lists.
        timeout_s: Seconds after which the job expires if it has no answer.
        deadline_ms: Milliseconds from now in which the answer is wanted: a local reranker then reads as many candidates
            as it can, in fused order, and the result says how many. None: all of them, however long it takes.
        job_id: The caller's own id for the job, so that sending twice asks once.
    """

    error_type: ClassVar[type[OpinionError]] = InvalidQuery

    text: str
    collection: CollectionName = DEFAULT_COLLECTION
    filters: tuple[Filter, ...] = Field(default=(), max_length=50)
    timeout_s: float = Field(default=60.0, gt=0.0, le=3_600.0)
    deadline_ms: int | None = Field(default=None, ge=1, le=3_600_000)
    job_id: JobId | None = None

    @field_validator("text")
    @classmethod
    def _asks_something(cls, text: str) -> str:
        clean = text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8").strip()
        if not clean:
            raise EmptyQuery("the query is empty")
        if len(clean) > MAX_QUERY_CHARACTERS:
            raise QueryTooLong(f"the query has {len(clean):,} characters; the limit is {MAX_QUERY_CHARACTERS:,}")
        return clean


class Query(Record):
    """A question with every choice made: what the stages work on.

    Attributes:
        answer_by: Unix seconds at which the answer is wanted, complete or not; None when it may take its time.
    """

    job_id: str
    text: str
    collection: str
    filters: tuple[Filter, ...] = ()
    choices: QueryDefaults = QueryDefaults()
    answer_by: float | None = None
