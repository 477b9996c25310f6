"""What all models share: frozen, versioned, strict at the edge and tolerant inside."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from second_opinion.schemas.errors import InvalidRequest, OpinionError

SCHEMA_VERSION: Final = 1


class Record(BaseModel):
    """Data inside the system: unknown fields are ignored, so old and new workers can run side by side."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Versioned(Record):
    """A record or message that outlives a process, and so carries the version of its schema."""

    schema_version: int = SCHEMA_VERSION


class Request(BaseModel):
    """Data from a caller: unknown fields are refused, because a misspelt option must not be silently lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION

    error_type: ClassVar[type[OpinionError]] = InvalidRequest


RequestT = TypeVar("RequestT", bound=Request)


def parse_request(model: type[RequestT], payload: Mapping[str, Any]) -> RequestT:
    """Validate what a caller sent.

    Validators may raise an `OpinionError` themselves; it passes through with its own code. Everything else that
    pydantic objects to is gathered into one error of the model's `error_type`, naming each field.

    Raises:
        OpinionError: The typed reason why the payload cannot be accepted.
    """
    try:
        return model.model_validate(payload)
    except ValidationError as problem:
        raise _typed(model, problem) from problem


def _typed(model: type[Request], problem: ValidationError) -> OpinionError:
    sentences = []
    for error in problem.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in error["loc"]) or "body"
        if error["type"] == "extra_forbidden":
            known = ", ".join(sorted(model.model_fields))
            sentences.append(f"{where}: unknown field (known: {known})")
        else:
            sentences.append(f"{where}: {error['msg']}")
    return model.error_type("; ".join(sentences), hint="Correct the fields named and send again.")
