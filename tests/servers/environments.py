"""Virtual environments for programs that need versions of their own, so that they cannot live beside the product.

They are kept in the user's cache. Making one takes minutes: it is made where `CI=true` or where its own switch is set,
and used wherever it is there already.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


class EnvironmentMissing(Exception):
    """A program cannot be had here."""


def environment(
    name: str, packages: Sequence[str] = (), *, requirements: str | None = None, switch: str = "OPINION_TEST_INFINITY"
) -> Path:
    """Return a virtual environment, after making it where that is wanted.

    Args:
        name: Of its folder in the cache.
        packages: What is in it.
        requirements: Instead, a file of the repository with hashes; another content makes the environment anew.
        switch: The environment variable that allows making it here.

    Raises:
        EnvironmentMissing: If there is none, and none is wanted or can be made.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "second-opinion" / name
    locked = ["--require-hashes", "-r", str(ROOT / requirements)] if requirements else []
    content = (ROOT / requirements).read_bytes() if requirements else " ".join(packages).encode()
    stamp, made = hashlib.sha256(content).hexdigest(), home / "made"
    if made.exists() and made.read_text() in {stamp, ""}:
        return home
    if os.environ.get("CI") != "true" and os.environ.get(switch) != "1":
        raise EnvironmentMissing(f"no {name} ({switch}=1 installs it)")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise EnvironmentMissing(f"uv, which makes the environment of {name}, is not installed")
    try:
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        _run(uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *packages, *locked)
    except subprocess.SubprocessError as problem:
        shutil.rmtree(home, ignore_errors=True)
        raise EnvironmentMissing(f"{name} cannot be installed: {problem}") from problem
    made.write_text(stamp)
    return home


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=900)
