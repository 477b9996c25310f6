"""Frozen workers, the long form: each role that documents and queries pass stands still for 90 seconds, and thaws.

    ./do bench frozen --seconds 90

With the default times of leases and reconciler. Meanwhile another worker does what the first one held; every record and
every job is compared before and after the thaw.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from faulty_system import faulty_system  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from system import add_server_arguments  # noqa: E402
from tests.faults.frozen import FROZEN, Freezer, start_all  # noqa: E402


def main() -> None:
    """Freeze each role in turn and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90.0)
    add_server_arguments(parser)
    options = parser.parse_args()
    told = environment_of(["frozen.py", "--seconds", f"{options.seconds:g}"])
    with faulty_system(options, "frozen") as system:
        start_all(system)
        freezer, thaws = Freezer(system, options.seconds), []
        for role in FROZEN:
            thaws.append(freezer.freeze(role))
            print(f"{role}: {thaws[-1]}", file=sys.stderr, flush=True)
    holds = not any(thaw.changed for thaw in thaws)
    found = [asdict(one) for one in thaws]
    write_result("frozen", {**told, "seconds": options.seconds, "thaws": found, "holds": holds})
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
