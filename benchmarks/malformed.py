"""Malformed payloads, the long form: does a worker end, and is each message accounted for?

    ./do bench malformed --messages 100000 --redis-url redis://127.0.0.1:6379/5

One real worker of every role, on an Elasticsearch and a Redis that run already, or on a pair of its own. The payloads
come in well-formed envelopes, spread over all tasks; each task has to end with a line in its worker's log.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from faulty_system import faulty_system  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from system import add_server_arguments  # noqa: E402
from tests.acceptance.conftest import System  # noqa: E402
from tests.faults.malformed_traffic import endings, send_malformed  # noqa: E402

from second_opinion.workers.routing import ROLES  # noqa: E402

PORTION = 5_000
SILENCE_SECONDS = 180.0


def main() -> None:
    """Send in portions, so that no bound on queues is met, and count how the tasks ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    add_server_arguments(parser)
    options = parser.parse_args()
    told = environment_of(["malformed.py", "--messages", str(options.messages), "--seed", str(options.seed)])
    with faulty_system(options, "malformed") as system:
        write_result("malformed", {**told, **run(system, options.messages, options.seed)})


def run(system: System, messages: int, seed: int) -> dict[str, Any]:
    """Send and wait; return the figures."""
    system.start_all()
    before, sent = {role: system.of(role)[0].process.pid for role in ROLES}, set[str]()
    started = time.monotonic()
    for first in range(0, messages, PORTION):
        sent |= send_malformed(system.environment["OPINION_BROKER_URL"], min(PORTION, messages - first), seed + first)
        left = settle(system, sent)
        print(f"{len(sent):,} sent, {len(sent) - left:,} ended", file=sys.stderr, flush=True)
    after = {worker.role: worker.process.pid for role in ROLES for worker in system.of(role)}
    ended = endings(system)
    return {
        "seed": seed,
        "messages": len(sent),
        "unaccounted_for": len(sent - ended.keys()),
        "ended_by_code": dict(Counter(code for task_id, code in ended.items() if task_id in sent)),
        "dead_workers": sum(after.get(role) != pid for role, pid in before.items()),
        "seconds": round(time.monotonic() - started, 1),
    }


def settle(system: System, sent: set[str]) -> int:
    """Wait as long as messages end; return how many have not."""
    left, since = len(sent), time.monotonic()
    while left and time.monotonic() - since < SILENCE_SECONDS:
        time.sleep(1.0)
        now = len(sent - endings(system).keys())
        if now < left:
            left, since = now, time.monotonic()
    return left


if __name__ == "__main__":
    main()
