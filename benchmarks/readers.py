"""Readers under updates, the long form: 5,000 updates and deletes through real workers while readers never pause.

    ./do bench readers

A system of its own. Every read is held against what was sent and seen before it, by the clock: no result mixes two
versions of a document, none shows a deleted one, or an older one after a newer, and no live document is ever missing.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from own_servers import own_elasticsearch  # noqa: E402
from record import environment_of, write_result  # noqa: E402
from tests.faults.own_system import OwnSystem  # noqa: E402
from tests.faults.readers import CHUNK_TOKENS, Library  # noqa: E402

from second_opinion.workers.embedders import open_embedder  # noqa: E402

RESTING_SECONDS = 0.5


def main() -> None:
    """Let writers and readers at it, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=int, default=5_000, help="updates and deletes")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=9.0, help="time over which they are spread")
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    options = parser.parse_args()
    taken_on = environment_of(sys.argv)
    with ExitStack() as stack:
        folder, url = stack.enter_context(own_elasticsearch(options.elasticsearch_url))
        system = OwnSystem(folder, url, told={"chunk_tokens": CHUNK_TOKENS}, name="readers")
        client = stack.enter_context(system.running())
        library = Library(
            client,
            open_embedder(system.settings),
            documents=options.documents,
            acts=options.acts,
            seconds=options.minutes * 60.0,
            seed=options.seed,
            resting=RESTING_SECONDS,
        )
        begun = time.monotonic()
        library.run(readers=options.readers)
        seconds = time.monotonic() - begun
    figures = library.figures()
    holds = not figures["wrong"] and not figures["problems"]
    told = {"seed": options.seed, "seconds": round(seconds, 1), "holds": holds}
    # Where a run of n trials found nothing, the true rate is below 3/n with 95 % confidence.
    bound = {"wrong_reads_95": 3 / figures["reads"]} if holds else {}
    write_result("readers", {**taken_on, **told, **figures, "bounds": bound})
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
