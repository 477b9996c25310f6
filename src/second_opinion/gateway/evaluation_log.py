"""The work folder of an evaluation: what was asked under which circumstances, so that an interrupted run goes on.

run.json              what the answers depend on: data set, collection, choices, models, calibration
asked.jsonl           one answered or failed query a line; of several lines on one query the last counts
asked.previous.jsonl  the answers of the run before, when something in run.json changed
lock                  held while a run writes here
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from pydantic import ValidationError

from second_opinion.pipeline.whole_files import write_whole
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.evaluation import AskedQuery
from second_opinion.schemas.verdict import CalibrationSource

RUN: Final = "run.json"
ASKED: Final = "asked.jsonl"
PREVIOUS: Final = "asked.previous.jsonl"
LOCK: Final = "lock"


class RunKey(Versioned):
    """What answers depend on: with any of it changed, they have to be asked anew."""

    dataset: str
    collection: str
    choices: QueryDefaults
    embedder: str
    reranker: str
    calibration: CalibrationSource
    calibration_id: str | None

    def changes(self, other: "RunKey") -> list[str]:
        """Return the names of what differs."""
        names = {
            "dataset": "data set",
            "collection": "collection",
            "choices": "choices",
            "embedder": "bi-encoder",
            "reranker": "reranker",
            "calibration": "calibration",
            "calibration_id": "calibration",
        }
        changed = [said for name, said in names.items() if getattr(self, name) != getattr(other, name)]
        return list(dict.fromkeys(changed))


class WorkFolder:
    """The folder of one evaluation, held by one run at a time.

    Args:
        path: Made if it is not there.

    Attributes:
        key: What the recorded answers depend on; None when there are none.
        answers: The last record of each query, by query id.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.key: RunKey | None = None
        self.answers: dict[str, AskedQuery] = {}
        self._lock: IO[str] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Take the folder, and read what was recorded; a last line that was torn off is dropped.

        Raises:
            InvalidRequest: If another run holds it, it cannot be written, or a record in it cannot be read.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / LOCK).open("w", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            self._close()
            raise InvalidRequest(
                f"another run is writing to {self.path}", hint="Wait for it, or choose another folder by --into."
            ) from problem
        except OSError as problem:
            self._close()
            raise InvalidRequest(
                f"{self.path} cannot be written: {problem.strerror or problem}", hint="Choose a folder by --into."
            ) from problem
        try:
            self._read()
            self._log = (self.path / ASKED).open("ab")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the folder go."""
        self._close()

    def begin(self, key: RunKey) -> None:
        """Record what the answers from now on depend on; earlier ones are put aside."""
        log, asked = self._opened(), self.path / ASKED
        log.close()
        if asked.exists() and asked.stat().st_size:
            asked.replace(self.path / PREVIOUS)
        self._log = asked.open("ab")
        write_whole(self.path / RUN, key.model_dump_json(indent=1))
        self.key, self.answers = key, {}

    def record(self, asked: AskedQuery) -> None:
        """Append one record; it is on its way to the disk when this returns."""
        log = self._opened()
        log.write(asked.model_dump_json().encode() + b"\n")
        log.flush()
        self.answers[asked.query_id] = asked

    def _read(self) -> None:
        run, asked = self.path / RUN, self.path / ASKED
        if run.exists():
            try:
                self.key = RunKey.model_validate_json(run.read_bytes())
            except ValidationError as problem:
                raise _unreadable(run, "") from problem
        if not asked.exists():
            return
        whole = _without_torn_end(asked)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                one = AskedQuery.model_validate_json(line)
            except ValidationError as problem:
                raise _unreadable(asked, f", line {number}") from problem
            self.answers[one.query_id] = one

    def _opened(self) -> IO[bytes]:
        if self._log is None:
            raise InvalidRequest(f"{self.path} is not open")
        return self._log

    def _close(self) -> None:
        for held in (self._log, self._lock):
            if held is not None:
                held.close()
        self._log = self._lock = None


def _without_torn_end(path: Path) -> bytes:
    """Return the lines of a file that were written whole, and cut off what a killed run left behind them."""
    found = path.read_bytes()
    whole = found[: found.rfind(b"\n") + 1]
    if len(whole) < len(found):
        os.truncate(path, len(whole))
    return whole


def _unreadable(path: Path, where: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path}{where}: this is no record of an evaluation",
        hint="Delete the folder to ask anew, or choose another by --into.",
    )
