"""What a caller knows: each intention and each acknowledgement, on the disk before anything else happens."""

import json
import os
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GONE = 0
"""The edition of a work that is deleted."""


class Ledger:
    """Lines of JSON, each forced to the disk. For many threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def intend(self, work: int, edition: int) -> None:
        """Note that an edition, or `GONE`, is about to be sent."""
        self._write(kind="intent", work=work, edition=edition)

    def acknowledge(self, work: int, edition: int) -> None:
        """Note that it was accepted."""
        self._write(kind="ack", work=work, edition=edition)

    def asked(self, job_id: str) -> None:
        """Note that a query was taken."""
        self._write(kind="asked", job=job_id)

    def ended(self, job_id: str, state: str, digest: str) -> None:
        """Note how a query ended, as its caller heard it."""
        self._write(kind="ended", job=job_id, state=state, digest=digest)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, **line: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())


@dataclass(slots=True)
class Account:
    """What a ledger says, read back from the disk.

    Attributes:
        editions: By work, the editions that may be its last one: the last that was acknowledged, and any that was
            sent after it and never acknowledged.
        acknowledged: How many editions and deletions were.
        asked: Queries that were taken.
        ended: By query, its terminal state and the digest of its outcome.
    """

    editions: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    acknowledged: int = 0
    asked: list[str] = field(default_factory=list)
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take one line in."""
        if line["kind"] == "intent":
            self.editions[line["work"]].add(line["edition"])
        elif line["kind"] == "ack":
            self.editions[line["work"]] = {line["edition"]}
            self.acknowledged += 1
        elif line["kind"] == "asked":
            self.asked.append(line["job"])
        else:
            self.ended[line["job"]] = (line["state"], line["digest"])


def read(path: Path) -> Account:
    """Return what the ledger at `path` says."""
    account = Account()
    for line in path.read_text(encoding="utf-8").splitlines():
        account.add(json.loads(line))
    return account
