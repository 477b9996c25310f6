"""The roots of the tree, and errors as data."""

from functools import cache
from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict

TEXT_LIMIT: Final = 2_000


class ErrorInfo(BaseModel):
    """An error as data: what is recorded with a document or a job and what callers receive."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str
    hint: str = ""
    transient: bool = False
    retry_after: float | None = None


class OpinionError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: One sentence for people.
        hint: What to do next; the class's own hint when left out.
    """

    code: ClassVar[str] = "internal_error"
    transient: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message[:TEXT_LIMIT]
        self.hint = self.default_hint if hint is None else hint
        super().__init__(self.message)

    def info(self) -> ErrorInfo:
        """Return this error as data."""
        return ErrorInfo(code=self.code, message=self.message, hint=self.hint, transient=self.transient)

    @classmethod
    def from_info(cls, info: ErrorInfo) -> "OpinionError":
        """Rebuild the error that `info` describes; an unknown code becomes the base class of its kind."""
        known = _by_code().get(info.code, TransientError if info.transient else PermanentError)
        return known.rebuild(info)

    @classmethod
    def rebuild(cls, info: ErrorInfo) -> Self:
        """Rebuild an error of this class."""
        return cls(info.message, hint=info.hint)


class TransientError(OpinionError):
    """The same call may succeed later.

    Args:
        message: One sentence for people.
        retry_after: Seconds that whoever refuses asks us to wait; the class's own when left out, None when unknown.
        hint: What to do next.
    """

    code = "transient_error"
    transient = True
    default_hint = "Try again in a moment."
    default_retry_after: ClassVar[float | None] = None

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = self.default_retry_after if retry_after is None else retry_after

    def info(self) -> ErrorInfo:
        """Return this error as data, with the seconds to wait."""
        return super().info().model_copy(update={"retry_after": self.retry_after})

    @classmethod
    def rebuild(cls, info: ErrorInfo) -> Self:
        """Rebuild an error of this class."""
        return cls(info.message, retry_after=info.retry_after, hint=info.hint)


class PermanentError(OpinionError):
    """The same call fails again until something about it changes."""

    code = "permanent_error"


class InternalError(PermanentError):
    """A defect of ours."""

    code = "internal_error"
    default_hint = "Please report this with the lines around it in the log: opinion logs"


@cache
def _by_code() -> dict[str, type[OpinionError]]:
    """Return the errors by code; asked for once the whole tree is there, which the package sees to."""
    return {**_tree(TransientError), **_tree(PermanentError)}


def _tree(root: type[OpinionError]) -> dict[str, type[OpinionError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found
