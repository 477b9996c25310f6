"""Runs the benchmarks of the engine and of the whole path one after the other, on one pair of servers.

    ./do bench all --source FOLDER --data FOLDER [--only NAME,NAME] [--minutes 20]

--source is a BERT cross-encoder in Hugging Face's layout. Takes about 15 minutes on two quiet cores; what would begin
after --minutes is left out and named. Each benchmark writes its own result; a failure of one does not stop the others.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from system import add_server_arguments, servers

HERE = Path(__file__).parent


def commands(source: str, data: str, urls: list[str]) -> dict[str, list[str]]:
    """Return the arguments of each benchmark, in the order in which they run."""
    return {
        "worker_start": ["--rounds", "3", *urls],
        "embed_engine": ["--data", data, "--chunks", "256", "--rounds", "5"],
        "rerank_engine": ["--source", source, "--data", f"{data}/squad2_dev", "--queries", "3", "--rounds", "3"],
        "rerank_servers": ["--source", source, "--data", f"{data}/squad2_dev", "--queries", "2", "--rounds", "3"],
        "ingest_path": ["--data", data, "--documents", "3000", "--rounds", "3", *urls],
        "query_path": ["--data", data, "--documents", "1500", "--queries", "30", "--rounds", "3", *urls],
        "growth": ["--data", data],
        "quantisation": ["--source", source, "--data", data, "--pairs", "300"],
    }


def main() -> int:
    """Run them and say how each ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--minutes", type=float, default=20.0)
    add_server_arguments(parser)
    options = parser.parse_args()
    begun, ended = time.perf_counter(), {}
    with servers(options) as system:
        urls = ["--elasticsearch-url", system.told["elasticsearch_url"], "--redis-url", system.told["cache_url"]]
        for name, arguments in commands(str(options.source), str(options.data), urls).items():
            if options.only and name not in options.only.split(","):
                continue
            spent = time.perf_counter() - begun
            if spent > options.minutes * 60:
                ended[name] = "left out, no time"
                continue
            print(f"== {name}, after {spent:.0f} s", flush=True)
            done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], check=False)
            seconds = time.perf_counter() - begun - spent
            ended[name] = f"{'done' if done.returncode == 0 else 'FAILED'} in {seconds:.0f} s"
    print("\n".join(f"{name:16} {how}" for name, how in ended.items()))
    return int(any("FAILED" in how for how in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
