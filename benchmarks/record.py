"""What every result file says of where it comes from."""

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("celery", "kombu", "redis", "elasticsearch", "onnxruntime", "tokenizers", "numpy")


def environment_of(arguments: list[str]) -> dict[str, Any]:
    """Return command, commit, machine and versions of this run."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return {
        "command": " ".join(["python", f"benchmarks/{Path(arguments[0]).name}", *map(_portable, arguments[1:])]),
        "commit": commit.strip() + ("+changes" if changed.strip() else ""),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)},
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def write_result(name: str, result: dict[str, Any]) -> None:
    """Print the result and keep it under `results/`."""
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def _portable(argument: str) -> str:
    """Return an argument without the folders of this machine."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
