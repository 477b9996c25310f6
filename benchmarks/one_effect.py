"""One effect, the long form: each message delivered five times, shuffled and at once, through the real code.

    ./do bench one_effect

10,000 messages of the index queue and 2,000 queries on the public doubles, eight threads at a time. The hash of all
that readers see is compared with that of a serial model, which delivers each message once.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import structlog  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from tests.faults.deliveries import ROUNDS, THREADS, TIMES, memory_rig, operations, serially, shuffled  # noqa: E402
from tests.faults.repeated_queries import Answering, once, repeated  # noqa: E402
from tests.faults.test_one_effect import filled, questions_of  # noqa: E402

from second_opinion.testing.jobs import MemoryCandidates, MemoryJobs  # noqa: E402
from second_opinion.workers.clock import SystemClock  # noqa: E402

DOCUMENTS = 2_800
"""In four rounds with a tenth of deletions: more than 10,000 messages."""


def main() -> None:
    """Deliver, compare and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    taken_on = environment_of(sys.argv)
    started = time.monotonic()
    with structlog.testing.capture_logs():
        rounds = operations(options.documents, options.seed)
        effect = shuffled(memory_rig(), rounds, options.seed, progress=lambda line: print(line, file=sys.stderr))
        model = serially(rounds)
        rig, questions = filled(), questions_of(options.queries)
        outcomes = repeated(answering(rig), questions, options.seed)
        answers = once(answering(rig), questions)
    holds = (effect.hash, effect.orphans, outcomes.changed, outcomes.answers) == (model, [], [], answers)
    write_result(
        "one_effect",
        {
            **taken_on,
            "seed": options.seed,
            "times": TIMES,
            "threads": THREADS,
            "rounds": ROUNDS,
            "messages": effect.messages,
            "deliveries": effect.deliveries,
            "commits": effect.committed,
            "hash": effect.hash,
            "hash_of_the_serial_model": model,
            "orphans": len(effect.orphans),
            "problems": dict(effect.problems),
            "queries": len(questions),
            "query_deliveries": outcomes.deliveries,
            "results_changed": len(outcomes.changed),
            "results_other_than_the_models": sum(outcomes.answers[one] != answers[one] for one in questions),
            "seconds": round(time.monotonic() - started, 1),
            "holds": holds and not effect.problems,
        },
    )
    sys.exit(0 if holds and not effect.problems else 1)


def answering(rig: object) -> Answering:
    """Return both halves of a query on doubles of their own."""
    return Answering(rig, MemoryJobs(clock=SystemClock()), MemoryCandidates())  # type: ignore[arg-type] # a rig


if __name__ == "__main__":
    main()
