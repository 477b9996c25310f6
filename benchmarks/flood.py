"""A flood of documents beside a steady stream of queries: how much longer do they take?

    ./do bench flood
    ./do bench flood --compare 0,10,19 --rounds 3 --seconds 15     what the niceness of index workers does; as root

One worker of each role. Queries come by the clock, each timed from when it was due. Phases with documents at a base
rate and phases with ten times as many alternate, in an order that turns round with each round; a phase begins when all
of the one before is searchable.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from own_servers import own_elasticsearch  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from system import elasticsearch_cpu  # noqa: E402
from tests.faults.flood import CALM, FLOOD, Phase, Rates, River, figures  # noqa: E402
from tests.faults.own_system import OwnSystem  # noqa: E402

from second_opinion.workers.bootstrap import open_connection  # noqa: E402

MOST_RATIO = 1.25
WARM_UP_SECONDS = 12.0
USUAL = Rates()


class Flooded:
    """A system and its river."""

    def __init__(self, system: OwnSystem, options: argparse.Namespace, stack: ExitStack) -> None:
        self._system = system
        self._connection = open_connection(system.settings)
        stack.callback(self._connection.close)
        rates = Rates(options.queries, options.calm, options.flood, options.candidates)
        client = stack.enter_context(system.running())
        self._river = River(client, rates, documents=options.documents, cpu=self._cpu)

    def phase(self, kind: str, seconds: float, niceness: int | None = None) -> Phase:
        """Go through a phase, after the index worker was made as nice as is wanted."""
        if niceness is not None:
            self._make_nice(niceness)
        return self._river.phase(kind, seconds)

    def _make_nice(self, niceness: int) -> None:
        process = self._system.workers["index"].process
        assert process is not None
        for thread in psutil.Process(process.pid).threads():
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, thread.id, niceness)
        with suppress(FileNotFoundError):
            Path(f"/proc/{process.pid}/autogroup").write_text(f"{niceness}\n")

    def _cpu(self) -> dict[str, float]:
        used = {
            role: worker.process and psutil.Process(worker.process.pid) for role, worker in self._system.workers.items()
        }
        found = {role: _seconds(process) for role, process in used.items() if process is not None}
        return {**found, "elasticsearch": elasticsearch_cpu(self._connection), "callers": time.process_time()}


def _seconds(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def main() -> None:
    """Let calm and flood alternate and keep what came of it."""
    options = _options()
    taken_on = environment_of(sys.argv)
    compared = [int(one) for one in options.compare.split(",") if one]
    kinds: list[tuple[str, int | None]] = [(f"flood at {one}", one) for one in compared] or [(FLOOD, None)]
    phases = []
    with ExitStack() as stack:
        folder, url = stack.enter_context(own_elasticsearch(options.elasticsearch_url))
        flooded = Flooded(OwnSystem(folder, url, name="flood"), options, stack)
        # The first flood is not counted: Elasticsearch compiles itself meanwhile, beside whatever else runs.
        flooded.phase(FLOOD, WARM_UP_SECONDS)
        for number in range(options.rounds):
            order = [(CALM, None), *kinds]
            for kind, niceness in order[::-1] if number % 2 else order:
                phases.append(flooded.phase(kind, options.seconds, niceness))
                print(f"{number + 1}/{options.rounds} {kind}", file=sys.stderr, flush=True)
    asked = {"queries_a_second": options.queries, "candidates": options.candidates, "seconds": options.seconds}
    if compared:
        told: dict[str, Any] = {str(niceness): figures(phases, kind) for kind, niceness in kinds}
        calm = told[str(compared[0])][CALM]
        by_niceness = {
            niceness: {name: one for name, one in found.items() if name != CALM} for niceness, found in told.items()
        }
        write_result("flood_niceness", {**taken_on, **asked, CALM: calm, "by_niceness": by_niceness})
        return
    found = figures(phases)
    holds = found["p95_ratio"]["value"] <= MOST_RATIO and not (found[CALM]["failed"] or found[FLOOD]["failed"])
    write_result("flood", {**taken_on, **asked, "holds": holds, **found})
    sys.exit(0 if holds else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=25.0, help="of a phase")
    parser.add_argument("--queries", type=float, default=USUAL.queries, help="a second")
    parser.add_argument("--candidates", type=int, default=USUAL.candidates)
    parser.add_argument("--calm", type=float, default=USUAL.calm, help="documents a second")
    parser.add_argument("--flood", type=float, default=USUAL.flood, help="documents a second")
    parser.add_argument("--documents", type=int, default=200, help="searchable before it begins")
    parser.add_argument("--compare", default="", help="nicenesses of the index worker, separated by commas")
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    return parser.parse_args()


if __name__ == "__main__":
    main()
