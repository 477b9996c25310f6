"""Malformed payloads, the long form: does a worker end, and is each message accounted for?

    ./do bench malformed --messages 100000 --redis-url redis://127.0.0.1:6379/5

One real worker of every role, on an Elasticsearch and a Redis that run already, or on a pair of its own. The payloads
come in well-formed envelopes, spread over all tasks; each task has to end with a line in its worker's log.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from faulty_system import faulty_system  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from system import add_server_arguments  # noqa: E402
from tests.acceptance.conftest import System  # noqa: E402
from tests.faults.malformed_traffic import Counted, send_malformed  # noqa: E402

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
    before, counted = {role: system.of(role)[0].process.pid for role in ROLES}, Counted.of(system)
    started, own = time.monotonic(), 0
    for first in range(0, messages, PORTION):
        own += send_malformed(system.environment["OPINION_BROKER_URL"], min(PORTION, messages - first), seed + first)
        ended = settle(system, counted, own)
        print(f"{first + PORTION:,} sent, {ended:,} of {own:,} ended", file=sys.stderr, flush=True)
    after = {worker.role: worker.process.pid for role in ROLES for worker in system.of(role)}
    return {
        "seed": seed,
        "messages": messages,
        "messages_besides_the_beats": own,
        "ended": counted.ended(system),
        "ended_by_code": codes(system),
        "dead_workers": sum(after.get(role) != pid for role, pid in before.items()),
        "seconds": round(time.monotonic() - started, 1),
    }


def settle(system: System, counted: Counted, wanted: int) -> int:
    """Wait until so many have ended, as long as some do."""
    ended, since = counted.ended(system), time.monotonic()
    while ended < wanted and time.monotonic() - since < SILENCE_SECONDS:
        time.sleep(1.0)
        now = counted.ended(system)
        if now > ended:
            ended, since = now, time.monotonic()
    return ended


def codes(system: System) -> dict[str, int]:
    """Return how many tasks ended with each code; those that were done have none."""
    found: dict[str, int] = {}
    for worker in system.workers:
        for line in worker.log.splitlines():
            if '"event": "task_failed"' in line:
                code = json.loads(line)["code"]
                found[code] = found.get(code, 0) + 1
    return found


if __name__ == "__main__":
    main()
