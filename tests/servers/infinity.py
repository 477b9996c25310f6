"""The real `infinity_emb` server, in a virtual environment of its own that is kept in the user's cache.

It needs versions of its own of half of what it uses, so it cannot live beside the product. Making the environment takes
minutes and gigabytes: it is made where `CI=true` or `OPINION_TEST_INFINITY=1`, and used wherever it is there already.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("infinity_emb[server,torch]==0.0.78", "typer<0.16")
MODEL = "served-by-infinity"
START_SECONDS = 240.0


class InfinityMissing(Exception):
    """The server cannot be had here."""


def program() -> Path:
    """Return the server's program, after making its environment where that is wanted.

    Raises:
        InfinityMissing: If there is no environment, and none is wanted or can be made.
    """
    return environment("infinity", PACKAGES) / "bin" / "infinity_emb"


def environment(name: str, packages: Sequence[str]) -> Path:
    """Return a virtual environment with these packages, kept in the user's cache; made where that is wanted.

    Raises:
        InfinityMissing: If there is none, and none is wanted or can be made.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "second-opinion" / name
    if (home / "made").exists() or (home / "bin" / "infinity_emb").exists():
        return home
    if os.environ.get("CI") != "true" and os.environ.get("OPINION_TEST_INFINITY") != "1":
        raise InfinityMissing(f"no {name} (OPINION_TEST_INFINITY=1 installs it)")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise InfinityMissing(f"uv, which makes the environment of {name}, is not installed")
    try:
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        _run(uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *packages)
    except subprocess.SubprocessError as problem:
        shutil.rmtree(home, ignore_errors=True)
        raise InfinityMissing(f"{name} cannot be installed: {problem}") from problem
    (home / "made").touch()
    return home


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """Serve a cross-encoder on loopback; gives the server's URL.

    Raises:
        InfinityMissing: If the server cannot be had, or does not start.
    """
    command, url = _command(program(), folder)
    quiet = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **quiet}, cwd=log.parent)
    try:
        _wait_until_healthy(server, url, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _command(infinity: Path, folder: Path) -> tuple[list[str], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "--model-id": str(folder.resolve()),
        "--served-model-name": MODEL,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--engine": "torch",
        "--device": "cpu",
        "--dtype": "float32",
    }
    switches = ["--no-model-warmup", "--no-bettertransformer", "--no-compile", "--no-trust-remote-code"]
    given = [part for pair in options.items() for part in pair]
    return [str(infinity), "v2", *given, *switches], f"http://127.0.0.1:{port}"


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    over = time.monotonic() + START_SECONDS
    while time.monotonic() < over and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - our own loopback URL
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise InfinityMissing(f"infinity_emb did not start:\n{log.read_text(errors='replace')[-2_000:]}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=900)
