"""A flood of documents beside a steady stream of queries: how much longer do they take?

    ./do bench flood

One worker of each role. Queries come by the clock, each timed from when it was due. Phases with documents at a base
rate and phases with ten times as many alternate, in an order that turns round with each round.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from record import environment_of, write_result  # noqa: E402
from tests.faults.flood import CALM, FLOOD, Rates, River, figures  # noqa: E402
from tests.faults.own_system import OwnSystem  # noqa: E402

from second_opinion.ops.stack import LocalStack  # noqa: E402

MOST_RATIO = 1.25
USUAL = Rates()


def main() -> None:
    """Let calm and flood alternate and keep what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of a phase")
    parser.add_argument("--queries", type=float, default=USUAL.queries, help="a second")
    parser.add_argument("--candidates", type=int, default=USUAL.candidates)
    parser.add_argument("--calm", type=float, default=USUAL.calm, help="documents a second")
    parser.add_argument("--flood", type=float, default=USUAL.flood, help="documents a second")
    parser.add_argument("--documents", type=int, default=400, help="searchable before it begins")
    parser.add_argument("--nice", type=int, default=10, help="niceness of workers that nobody waits for")
    parser.add_argument("--name", default="flood", help="of the result")
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    options = parser.parse_args()
    taken_on = environment_of(sys.argv)
    rates = Rates(options.queries, options.calm, options.flood, options.candidates)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="second-opinion-")))
        folder.chmod(0o755)
        url = options.elasticsearch_url
        if url is None:
            servers = LocalStack(folder / "servers", elasticsearch_port=0, redis_port=0)
            stack.callback(servers.down)
            url = servers.up({}).elasticsearch_url
        system = OwnSystem(folder, url, told={"index_nice": str(options.nice)}, name="flood")
        river = River(stack.enter_context(system.running()), rates, documents=options.documents)
        phases = []
        for number in range(options.rounds):
            for kind in (CALM, FLOOD) if number % 2 == 0 else (FLOOD, CALM):
                phases.append(river.phase(kind, options.seconds))
                print(f"{number + 1}/{options.rounds} {kind}", file=sys.stderr, flush=True)
    found = figures(phases)
    holds = found["p95_ratio"]["value"] <= MOST_RATIO and not (found[CALM]["failed"] or found[FLOOD]["failed"])
    result = {**taken_on, "nice": options.nice, "queries_a_second": options.queries, "candidates": options.candidates}
    write_result(options.name, {**result, "holds": holds, **found})
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
