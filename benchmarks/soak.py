"""Rolling deploy and soak: workers are replaced under load, and then the load goes on for as long as is asked.

    ./do bench soak --minutes 30

A system of its own. The first minute finds how many queries a second it answers; after that queries come by the clock
at 80 % of it, and a document changes every other second. For five minutes a worker of each role in turn gets SIGTERM
every 20 seconds, once its successor consumes. Then memory, file descriptors and threads of every worker, and Redis's
keys and memory, are sampled every 10 seconds. Results and cached scores live for a minute, so that Redis can be flat.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from own_servers import own_elasticsearch  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from tests.faults.own_system import OwnSystem  # noqa: E402
from tests.faults.slopes import course, slopes  # noqa: E402
from tests.faults.soak import Asked, Soak, ended_late, growing  # noqa: E402

from second_opinion.workers.routing import ROLES  # noqa: E402

TOLD = {"result_ttl": "60", "rerank_cache_ttl": "60", "sweep_grace_seconds": "60"}
SAMPLE_SECONDS = 10.0
COURSE_PARTS = 6
"""Parts of the time of which the mean is kept, so that a step is told from a slope."""


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


def told_of(asked: Asked) -> dict[str, Any]:
    """Return the figures of one phase."""
    cuts = statistics.quantiles(asked.seconds, n=20, method="inclusive")
    spread = {"p50": cuts[9], "p95": cuts[18], "max": max(asked.seconds)}
    return {
        "answered": len(asked.seconds),
        "failed": len(asked.failed),
        "failures": asked.failed[:20],
        "seconds": {name: round(value, 2) for name, value in spread.items()},
    }


def run(soak: Soak, options: argparse.Namespace) -> dict[str, Any]:
    """Find the capacity, replace workers, soak; return what was found."""
    soak.fill()
    capacity = soak.capacity(options.capacity_seconds)
    rate = options.share * capacity
    say(f"capacity {capacity:.2f} queries/s")
    rolled = soak.under_load(rate, lambda: soak.roll(tuple(ROLES), 60.0 * options.roll_minutes, options.every))
    say(f"{len(soak.replaced)} workers replaced, {len(rolled.failed)} queries failed")
    steady = soak.under_load(rate, lambda: soak.watch(60.0 * options.minutes, SAMPLE_SECONDS))
    samples = soak.settled(after=options.settle_seconds)
    found = slopes(samples)
    return {
        "capacity_per_second": round(capacity, 2),
        "share": options.share,
        "deploy": {
            "minutes": options.roll_minutes,
            "workers_replaced": len(soak.replaced),
            "longest_stop_seconds": max(one.seconds for one in soak.replaced),
            "ended_otherwise_than_asked": [asdict(one) for one in ended_late(soak.replaced)],
            "queries": told_of(rolled),
        },
        "soak": {
            "minutes": options.minutes,
            "settling_seconds_left_out": options.settle_seconds,
            "queries": told_of(steady),
            "documents": dict(soak.changes),
            "slopes_per_hour": {
                name: {field: round(value, 3) for field, value in asdict(one).items()} for name, one in found.items()
            },
            "course": {name: [round(mean, 1) for mean in course(samples, name, COURSE_PARTS)] for name in found},
            "growing": growing(samples),
        },
        "holds": not (rolled.failed or steady.failed or ended_late(soak.replaced)),
    }


def main() -> None:
    """Run it on a system of its own, and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="steady load")
    parser.add_argument("--roll-minutes", type=float, default=5.0, help="time in which workers are replaced")
    parser.add_argument("--every", type=float, default=20.0, help="seconds from one replacement to the next")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity")
    parser.add_argument("--capacity-seconds", type=float, default=60.0)
    parser.add_argument("--settle-seconds", type=float, default=120.0, help="beginning of the soak without slopes")
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    options = parser.parse_args()
    taken_on = environment_of(sys.argv)
    with ExitStack() as stack:
        folder, url = stack.enter_context(own_elasticsearch(options.elasticsearch_url, progress=say))
        system = OwnSystem(folder, url, told=TOLD, name="soak")
        client = stack.enter_context(system.running())
        found = run(Soak(system, client), options)
    write_result("soak", {**taken_on, **found})
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
