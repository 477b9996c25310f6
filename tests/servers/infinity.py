"""The real `infinity_emb` server, in a virtual environment of its own that takes minutes and gigabytes to make."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.environments import EnvironmentMissing, environment

PACKAGES = ("infinity_emb[server,torch]==0.0.78", "typer<0.16")
MODEL = "served-by-infinity"
START_SECONDS = 240.0


def program() -> Path:
    """Return the server's program, after making its environment where that is wanted.

    Raises:
        EnvironmentMissing: If there is no environment, and none is wanted or can be made.
    """
    return environment("infinity", PACKAGES) / "bin" / "infinity_emb"


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """Serve a cross-encoder on loopback; gives the server's URL.

    Raises:
        EnvironmentMissing: If the server cannot be had, or does not start.
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
    raise EnvironmentMissing(f"infinity_emb did not start:\n{log.read_text(errors='replace')[-2_000:]}")
