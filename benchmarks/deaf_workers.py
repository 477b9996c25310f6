"""Deaf workers, the long form: every thread of a role runs out of memory, leaves, or hangs; when does it work again?

    ./do bench deaf_workers

All times are those that are set by default. One role after the other does each fault, while a supervisor starts again
whatever ends, as compose and Kubernetes do. Measured from the moment at which the last thread broke to the next piece
of work of that role that was finished, the start of a new worker included.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from own_servers import own_elasticsearch  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from tests.faults.faulty_worker import FAULTS  # noqa: E402
from tests.faults.hospital import hospital  # noqa: E402

from second_opinion.workers.routing import ROLES  # noqa: E402

LONGEST = 30.0


def main() -> None:
    """Break every role in every way, and keep how long each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    options = parser.parse_args()
    taken_on, found = environment_of(sys.argv), []
    with ExitStack() as stack:
        folder, url = stack.enter_context(own_elasticsearch(options.elasticsearch_url))
        made = stack.enter_context(hospital(folder, url, {}))
        for fault in options.faults:
            for role in ROLES:
                (recovery,) = made.break_roles(fault, role)
                found.append(recovery)
                print(recovery, file=sys.stderr, flush=True)
            made.finish()
    longest = max(one.seconds for one in found)
    told = {"longest_seconds": longest, "recoveries": [asdict(one) for one in found], "holds": longest <= LONGEST}
    write_result("deaf_workers", {**taken_on, **told})
    sys.exit(0 if told["holds"] else 1)


if __name__ == "__main__":
    main()
