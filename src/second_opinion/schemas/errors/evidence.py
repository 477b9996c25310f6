"""Evidence that does not suffice, and what is needed to work on it."""

from typing import Self

from second_opinion.schemas.errors.base import PermanentError


class NotEnoughJudgements(PermanentError):
    """Too little is judged, or all of it alike, to say anything of a floor."""

    code = "not_enough_judgements"
    default_hint = "Judge more candidates, good and bad ones: opinion judge JOB CHUNK relevant (or irrelevant)"


class CalibrationRefused(PermanentError):
    """A calibration cannot be fitted on these scores, or is worse than the present one."""

    code = "calibration_refused"


class ExtraMissing(PermanentError):
    """What was asked for needs an optional part of the package that is not installed."""

    code = "extra_missing"
    default_hint = "Install it: pip install 'second-opinion[evaluation]'"

    @classmethod
    def of(cls, extra: str, package: str) -> Self:
        """Return the error for a package that an extra brings."""
        return cls(
            f"this needs {package}, which is not installed",
            hint=f'Install it: pip install "second-opinion[{extra}]"',
        )
