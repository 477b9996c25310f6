"""Grey failure, the long form: each way in which a network fails by halves, for 30 seconds, on either server.

    ./do bench grey

A system of its own behind gates. Every call of the client is made over and over meanwhile, and has to end by its
deadline and a second, with a right answer or a typed error; no query is refused because a part was down; and
afterwards everything works again within 30 seconds.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from own_servers import own_elasticsearch  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from tests.faults.grey import behind_gates  # noqa: E402
from tests.servers.gate import FAULTS  # noqa: E402

AGAIN_SECONDS = 30.0
WAIT_SECONDS = 5.0
CALL_SECONDS = 6.0
SERVERS = ("redis", "elasticsearch")


def main() -> None:
    """Let each fault last on each server and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each fault")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds, in each direction")
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    options = parser.parse_args()
    taken_on = environment_of(sys.argv)
    faults = {**FAULTS, "latency": replace(FAULTS["latency"], delay=options.latency)}
    found = []
    with ExitStack() as stack:
        folder, url = stack.enter_context(own_elasticsearch(options.elasticsearch_url))
        told = {"call_timeout": f"{CALL_SECONDS:g}"}
        patient = stack.enter_context(behind_gates(folder, url, told, wait_seconds=WAIT_SECONDS))
        for server in SERVERS:
            for name, fault in faults.items():
                found.append(patient.suffer(server, name, fault, options.seconds))
                print(found[-1], file=sys.stderr, flush=True)
    holds = all(one.holds and one.works_again <= AGAIN_SECONDS for one in found)
    deadlines = {"call": CALL_SECONDS, "wait": WAIT_SECONDS}
    result = {**taken_on, "seconds": options.seconds, "latency": options.latency, "deadlines": deadlines}
    write_result("grey", {**result, "holds": holds, "faults": [one.figures() for one in found]})
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
