"""What does every stage do on real questions, through the whole running system?

    ./do bench evaluation --data DATA [--queries 100]

Runs `opinion evaluate` on the development splits against the running local stack and keeps its figures: each set's and
the pooled ones. What is asked already is not asked again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import environment_of, write_result

SETS = ("squad2_dev", "nq_open", "covid_qa", "scifact", "pubmedqa", "medquad", "cranfield", "chunking_eval", "wikiqa")
LEFT_OUT = frozenset({"histogram", "floors", "bins", "failures", "schema_version"})
"""Curves that pictures are drawn from: `opinion evaluate --json` has them."""


def trimmed(value: Any) -> Any:
    """Return a report without its curves, numbers to four digits."""
    if isinstance(value, dict):
        return {key: trimmed(one) for key, one in value.items() if key not in LEFT_OUT and one is not None}
    if isinstance(value, list):
        return [trimmed(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=100, help="of each set, always the same")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--name", default="evaluation", help="of the result file")
    chosen = parser.parse_args()
    folders = [str(chosen.data / name) for name in chosen.sets]
    asked = ["evaluate", *folders, "--split", "dev", "--queries", str(chosen.queries), "--in-flight", "2", "--json"]
    told = subprocess.run([sys.executable, "-m", "second_opinion.gateway", *asked], stdout=subprocess.PIPE, check=True)
    figures = json.loads(told.stdout)
    arguments = ["evaluation.py", "--data", "DATA", "--queries", str(chosen.queries), "--sets", *chosen.sets]
    write_result(chosen.name, {**trimmed(figures), **environment_of(arguments)})


if __name__ == "__main__":
    main()
