"""Programs of the system that some tests need."""

import os
import shutil

import pytest


def needed(command: str, *, purpose: str, hint: str) -> str:
    """Return where a program is. Without it the test is skipped, or fails in CI: there, everything is tested."""
    found = shutil.which(command)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{command} is missing, and CI {purpose}")
    if found is None:
        pytest.skip(f"{command} is missing: {hint}")
    return found
