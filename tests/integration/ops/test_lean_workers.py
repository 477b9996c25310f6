"""A worker loads what its role needs and nothing else: neither PyTorch nor anything that comes with training."""

import json
import os
import subprocess
import sys

import pytest

from second_opinion.pipeline.adapters.elasticsearch import IndexNames
from second_opinion.workers.routing import ROLES
from tests.conftest import Servers

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "sklearn",
    "scipy",
    "onnx",
    "matplotlib",
    "pandas",
    "datasets",
)
MODELS = {"index", "retrieve", "rerank"}
MOST_MEGABYTES = 450

PROGRAM = """
import json, sys
from second_opinion.workers import bootstrap
from second_opinion.workers.app import make_app
from second_opinion.workers.runner import TaskRunner
from second_opinion.workers.settings import load_settings
from second_opinion.workers.tasks import register
from second_opinion.workers.watchdog import Limits, Watchdog

role, settings = sys.argv[1], load_settings()
register(make_app(settings), role, settings, TaskRunner(Watchdog(Limits(task=60, shutdown_grace=1)), leave=print))
if role in ("extract", "maintenance"):
    getattr(bootstrap, f"{role}_parts")(settings)
with open("/proc/self/status", encoding="ascii") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"modules": sorted(sys.modules), "megabytes": peak / 1024}))
"""


@pytest.mark.stack
@pytest.mark.parametrize("role", list(ROLES))
def test_a_worker_imports_no_training_library(role: str, servers: Servers, names: IndexNames) -> None:
    """On the ONNX path, in a fresh process with its models open; roles without a model load no runtime either."""
    told = {
        "OPINION_ELASTICSEARCH_URL": servers.elasticsearch_url,
        **dict.fromkeys(("OPINION_BROKER_URL", "OPINION_JOBS_URL", "OPINION_CACHE_URL"), servers.redis_url),
        "OPINION_INDEX_PREFIX": names.prefix,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, role], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert not set(found["modules"]) & set(HEAVY)
    assert role in MODELS or "onnxruntime" not in found["modules"]
    assert found["megabytes"] < MOST_MEGABYTES
