"""The long form of the kill test: SIGKILLs of every role and of Redis while callers write, delete and ask.

    ./do bench kills --kills 200 --documents 5000
    ./do bench kills --kills 40 --pause 30 --paced          a role at a time: how soon is abandoned work taken up again?

A system of its own with one worker of each role and the default times of leases and reconciler; Redis keeps an
append-only file. Callers force every acknowledgement to the disk; at the end a checker compares the whole index and all
queries with that ledger. With `--redis-forgets` only Redis is killed, and loses all it kept each time; with
`--elasticsearch` only Elasticsearch is.
"""

import argparse
import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from own_servers import own_elasticsearch  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from tests.faults import shelf  # noqa: E402
from tests.faults.storm import ELASTICSEARCH, REDIS, USUAL, Outcome, Plan, Storm, spread  # noqa: E402
from tests.faults.victims import OwnElasticsearch  # noqa: E402

from second_opinion.ops.stack import LocalStack  # noqa: E402

LONGEST_RESCUE = 60.0
RESTING_SECONDS = 1.0
SWEEPING_SECONDS = 900.0


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


def plan_of(options: argparse.Namespace, victim: str | None) -> Plan:
    """Return what the arguments ask for."""
    real = options.data.is_dir()
    works = shelf.real_texts(options.data, options.documents) if real else shelf.own_words(options.documents)
    return Plan(
        works,
        kills=options.kills,
        seed=options.seed,
        pause=(options.pause / 4, options.pause),
        room=400,
        # Two who never stop asking would have half of a small machine, and queries go first.
        resting=RESTING_SECONDS,
        times=USUAL,
        sweeping=SWEEPING_SECONDS,
        redis_forgets=options.redis_forgets,
        seconds=options.minutes * 60.0,
        **({"victims": (victim,)} if victim else {}),
    )


def name_of(options: argparse.Namespace) -> tuple[str, str | None]:
    """Return the name of the result, and what alone is killed; None is everything but Elasticsearch."""
    if options.redis_forgets:
        return "redis_lost", REDIS
    if options.paced:
        return "rescue", None
    return ("elasticsearch_kills", ELASTICSEARCH) if options.elasticsearch else ("kills", None)


def bounds(kills: dict[str, int], acknowledged: int, lost: int) -> dict[str, Any]:
    """Return the 95 % bounds by the rule of three; none where something was lost."""
    if lost:
        return {}
    return {"loss_per_acknowledgement": 3 / acknowledged, "faulty_kills": 3 / sum(kills.values())}


def main() -> None:
    """Run the storm and write its result."""
    options = _options()
    name, victim = name_of(options)
    plan, taken_on = plan_of(options, victim), environment_of(sys.argv)
    with ExitStack() as stack:
        folder, url = stack.enter_context(own_elasticsearch(options.elasticsearch_url, progress=say))
        server = OwnElasticsearch(LocalStack(folder / "servers")) if victim == ELASTICSEARCH else None
        outcome = Storm(plan, folder, url, say, elasticsearch=server).run()
    told = {"documents": len(plan.works), "seed": plan.seed, "holds": holds(outcome, forgets=plan.redis_forgets)}
    figures = outcome.figures()
    rule = bounds(outcome.killed, outcome.acknowledged, len(outcome.findings.lost))
    write_result(name, {**taken_on, **told, **figures, "bounds_95": rule})
    sys.exit(0 if told["holds"] else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=math.inf, help="no more kills after so many")
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=6.0, help="most seconds between two kills")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data sets; else our own words")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--redis-forgets", action="store_true", help="kill Redis alone, without its file")
    alone.add_argument("--paced", action="store_true", help="keep the result by itself: pauses leave time for rescues")
    alone.add_argument("--elasticsearch", action="store_true", help="kill Elasticsearch alone, one of the run's own")
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already; not to be killed")
    options = parser.parse_args()
    if options.elasticsearch and options.elasticsearch_url:
        parser.error("--elasticsearch kills a server of the run's own: leave --elasticsearch-url out")
    return options


def holds(outcome: Outcome, *, forgets: bool) -> bool:
    """Whether nothing was found that must not be, and abandoned work did not wait too long."""
    if forgets:
        in_time = spread(outcome.rescues).get("p95", math.inf) <= LONGEST_RESCUE
    else:
        in_time = max(outcome.noticed, default=0.0) <= LONGEST_RESCUE
    return not outcome.findings.wrong() and not outcome.problems and not outcome.unrescued and in_time


if __name__ == "__main__":
    main()
