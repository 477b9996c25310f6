"""Errors as answers: `application/problem+json` (RFC 9457), from the one error tree."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from second_opinion.gateway.http.request_id import request_id_of
from second_opinion.schemas import errors
from second_opinion.schemas.base import Request as RequestModel
from second_opinion.schemas.errors import InternalError, OpinionError

log = structlog.get_logger(__name__)

TYPE: Final = "https://second-opinion.invalid/errors/"
MEDIA_TYPE: Final = "application/problem+json"
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
UNPROCESSABLE: Final = 422
INTERNAL: Final = 500

STATUSES: Final[Mapping[type[OpinionError], int]] = {
    errors.Unauthenticated: UNAUTHORIZED,
    errors.AccessDenied: 403,
    errors.NotFound: 404,
    errors.VersionConflict: 409,
    errors.WriteConflict: 409,
    errors.IndexMismatch: 409,
    errors.ReindexRefused: 409,
    errors.JobCancelled: 409,
    errors.NotEnoughJudgements: 409,
    errors.BodyTooSlow: 408,
    errors.DocumentTooLarge: 413,
    errors.BodyTooLarge: 413,
    errors.HostNotAllowed: 421,
    errors.InvalidRequest: UNPROCESSABLE,
    errors.RateLimited: 429,
    errors.DeadlineExceeded: 504,
    errors.TransientError: 503,
    OpinionError: INTERNAL,
}
"""The nearest class counts: a subclass has its parent's status unless it is listed itself."""

TITLES: Final[Mapping[int, str]] = {
    400: "The request cannot be read",
    401: "A key is needed",
    403: "Not allowed with this key",
    404: "Not found",
    405: "Not possible here",
    406: "Not to be had in this form",
    408: "The request did not come to its end",
    409: "In conflict with what is there",
    413: "Too large",
    415: "Not this kind of body",
    421: "Not by this name",
    422: "What was sent cannot be accepted",
    429: "Too many requests",
    500: "A defect of ours",
    503: "Not possible right now",
    504: "Not finished in time",
}
# What the framework itself says no to, before any code of ours runs.
CODES: Final[Mapping[int, str]] = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
}


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(examples=["floor"])
    message: str = Field(examples=["Input should be less than or equal to 1"])


class Problem(BaseModel):
    """An error, for programs by its `code`, for people in a sentence, with a hint that says what to do."""

    type: str = Field(examples=[f"{TYPE}unknown_job"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no job '01JX4', or its result has expired"])
    code: str = Field(examples=["unknown_job"])
    hint: str = Field(examples=["Submit the query again; results are kept for a limited time."])
    transient: bool = Field(description="Whether the same request may succeed later.")
    retry_after: float | None = Field(default=None, description="Seconds to wait, where they are known.")
    request_id: str
    errors: list[FieldProblem] = Field(default_factory=list)


Form = Callable[[OpinionError, int, str], Response]
"""Returns an error in the form of another API, given its status and the request's id."""

FORMS: dict[str, Form] = {}
"""Paths whose errors have a form of their own, because what calls them knows another API."""


def status_of(error: OpinionError | type[OpinionError]) -> int:
    """Return the HTTP status of an error."""
    kind = error if isinstance(error, type) else type(error)
    return next(STATUSES[ancestor] for ancestor in kind.__mro__ if ancestor in STATUSES)


def problem_response(
    error: OpinionError, request: Request, *, status: int | None = None, fields: list[FieldProblem] | None = None
) -> Response:
    """Return the answer that tells an error.

    Args:
        error: What happened.
        request: The request that it happened to.
        status: Where it is not the one of the error's class.
        fields: What is wrong with which field of the body.
    """
    code = status_of(error) if status is None else status
    info, request_id = error.info(), request_id_of(request)
    form = FORMS.get(request.scope["path"])
    if form is not None:
        return _with_headers(form(error, code, request_id), code, info.retry_after)
    problem = Problem(
        type=f"{TYPE}{info.code}",
        title=TITLES.get(code, TITLES[INTERNAL]),
        status=code,
        detail=info.message,
        code=info.code,
        hint=info.hint,
        transient=info.transient,
        retry_after=info.retry_after,
        request_id=request_id,
        errors=fields or [],
    )
    content = problem.model_dump(mode="json", exclude_defaults=True)
    return _with_headers(JSONResponse(content, code, media_type=MEDIA_TYPE), code, info.retry_after)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of error answers, for `responses=` of a route or router."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": TITLES[status], "content": {MEDIA_TYPE: schema}} for status in statuses}


EVERYWHERE: Final = (400, 401, 403, 408, 413, 421, 422, 429, 500, 503)
"""Errors that any route may answer with."""


def install(app: FastAPI) -> None:
    """Let the application tell all its errors this way."""
    app.add_exception_handler(OpinionError, _on_opinion_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_refusal)


async def _on_opinion_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, OpinionError)  # noqa: S101 - the framework's signature is wider than what it calls
    if status_of(problem) == INTERNAL:
        log.error("request_failed", code=problem.code, error=problem.message)
    return problem_response(problem, request)


async def _on_invalid(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)  # noqa: S101 - likewise
    found = problem.errors()
    if any(error["type"] == "json_invalid" for error in found):
        return problem_response(
            _Refused("malformed_request", "the body is no JSON", "Send a JSON object."), request, status=BAD_REQUEST
        )
    model = _body_model(request)
    fields = [FieldProblem(field=_place(error["loc"]), message=_told(error, model)) for error in found]
    sentence = "; ".join(f"{one.field}: {one.message}" for one in fields)
    in_body = all(error["loc"][:1] == ("body",) for error in found)
    kind = model.error_type if model is not None and in_body else errors.InvalidRequest
    return problem_response(kind(sentence, hint="Correct the fields named and send again."), request, fields=fields)


def _body_model(request: Request) -> type[RequestModel] | None:
    """Return what the body of a request has to be, if that is a request of the schemas: it knows its own error."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    return model if isinstance(model, type) and issubclass(model, RequestModel) else None


def _told(error: Mapping[str, Any], model: type[RequestModel] | None) -> str:
    whole = len(error["loc"]) == len(("body", "field"))
    if error["type"] == "extra_forbidden" and whole and model is not None:
        return f"unknown field (known: {', '.join(sorted(model.model_fields))})"
    return str(error["msg"])


async def _on_refusal(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101 - likewise
    status = problem.status_code
    error = _Refused(
        CODES.get(status, "refused"),
        str(problem.detail)[:1].lower() + str(problem.detail)[1:],
        "The resources and their methods: GET /openapi.json",
    )
    response = problem_response(error, request, status=status)
    response.headers.update(problem.headers or {})
    return response


def on_defect(request: Request, problem: Exception) -> Response:
    """Return the answer for an exception that nobody foresaw; its text stays in the log."""
    log.error("request_broke", exc_info=problem)
    return problem_response(InternalError("the gateway failed on this request"), request)


class _Refused(OpinionError):
    """What the framework refuses, as an error of ours."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code  # type: ignore[misc] # one class for the framework's few refusals


def _with_headers(response: Response, status: int, retry_after: float | None) -> Response:
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if status == UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="second-opinion"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _place(location: tuple[int | str, ...]) -> str:
    """Return where in the request something is wrong: a field of the body by its path, others with their place."""
    inside = location[1:] if location and location[0] == "body" else location
    return ".".join(str(part) for part in inside) or "body"
