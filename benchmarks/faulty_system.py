"""What the long forms of fault tests run on: servers and workers as the acceptance tests have them."""

import argparse
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.acceptance.conftest import System  # noqa: E402

from second_opinion.ops.stack import LocalStack  # noqa: E402


@contextmanager
def faulty_system(options: argparse.Namespace, name: str) -> Iterator[System]:
    """Give a system of this run's own, on the servers that `options` names or on new ones; nothing stays behind it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="second-opinion-")))
        folder.chmod(0o755)
        elasticsearch, redis = options.elasticsearch_url, options.redis_url
        if not (elasticsearch and redis):
            servers = LocalStack(folder / "servers", elasticsearch_port=0, redis_port=0)
            stack.callback(servers.down)
            plan = servers.up({})
            elasticsearch, redis = plan.elasticsearch_url, plan.broker_url
        environment = {
            "OPINION_STATE_DIR": str(folder / "state"),
            "OPINION_ELASTICSEARCH_URL": elasticsearch,
            **dict.fromkeys(("OPINION_BROKER_URL", "OPINION_JOBS_URL", "OPINION_CACHE_URL"), redis),
            "OPINION_INDEX_PREFIX": f"{name}-{uuid.uuid4().hex[:6]}",
            "OPINION_LOG_FORMAT": "json",
            "OPINION_LOG_LEVEL": "DEBUG",
            "OPINION_DEAF_SECONDS": "120",
        }
        system = System(folder=folder, environment=environment)
        stack.callback(system.remove_indices)
        stack.callback(system.stop_all)
        yield system
