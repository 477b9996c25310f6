"""A stack of servers on free ports, in a folder that every account can reach."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from second_opinion.ops.stack import LocalStack
from second_opinion.schemas.errors import StackError

# Java's second compiler costs more than it gains in a test's short life.
QUICK_START: Final = "-XX:TieredStopAtLevel=1"


@pytest.fixture(scope="session")
def installed() -> None:
    """See that the servers are there; where they cannot be had, skip, but fail in CI."""
    try:
        LocalStack(Path(tempfile.gettempdir())).install()
    except StackError as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no servers: {problem.message}")


@pytest.fixture
def reachable_folder(installed: None) -> Iterator[Path]:
    """A folder that Elasticsearch's account can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="opinion-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def running(installed: None) -> Iterator[LocalStack]:
    """A stack of servers alone. Its tests share it, as a start takes seconds, and each leaves it up."""
    folder = Path(tempfile.mkdtemp(prefix="opinion-"))
    folder.chmod(0o755)
    stack = LocalStack(
        folder / "state",
        elasticsearch_port=0,
        redis_port=0,
        gateway_port=0,
        heap="512m",
        java_options=[QUICK_START],
    )
    try:
        stack.up({})
        yield stack
    finally:
        stack.down()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def only_root() -> None:
    """Skip where no account has to be lent."""
    if os.geteuid() != 0:
        pytest.skip("only root lends Elasticsearch another account")
