"""How long does a worker take from the start of its process until it consumes, and how much memory does it hold?

    ./do bench worker_start [--rounds 3] [--python PYTHON]

Roles take turns. Wall time is what an operator sees; CPU time is what a busy machine does not change. What optional
extras bring is imported by their users where it is installed (Elasticsearch's client takes httpx, aiohttp and pyarrow),
so --python may name the interpreter of an environment with the product alone, as the images have it.
"""

import argparse
import statistics
import sys
from typing import Any

from record import environment_of, write_result
from system import add_server_arguments, servers, workers

from second_opinion.workers.routing import ROLES, Role

GOAL = {"seconds": 3.0, "megabytes": 450.0}


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--roles", default=",".join(ROLES))
    parser.add_argument("--python", default=sys.executable)
    add_server_arguments(parser)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    roles: list[Role] = [role for role in ROLES if role in options.roles.split(",")]
    starts: dict[str, list[dict[str, float]]] = {role: [] for role in roles}
    with servers(options) as system:
        for _ in range(options.rounds):
            for role in roles:
                with workers(system, [role], python=options.python) as running:
                    one = running[role]
                    figures = {"seconds": one.seconds, "cpu_seconds": one.cpu_seconds, "megabytes": one.megabytes}
                    starts[role].append(figures)
    write_result("worker_start", {"roles": {role: summary(found) for role, found in starts.items()}, **environment})


def summary(found: list[dict[str, float]]) -> dict[str, Any]:
    """Return medians, and whether the goal is met."""
    medians = {name: round(statistics.median(one[name] for one in found), 2) for name in found[0]}
    return {**medians, "goal_met": all(medians[name] <= most for name, most in GOAL.items()), "measured": len(found)}


if __name__ == "__main__":
    main()
