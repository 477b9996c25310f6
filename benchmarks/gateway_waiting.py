"""What the gateway adds for callers that wait, and what waiting asks of Redis.

    ./do bench gateway_waiting --rounds 6 --callers 200 [--nice -15]

So many callers wait at once for a query each: over HTTP on one gateway process (`Prefer: wait`), and in the next block
by `AsyncClient` on Redis itself, the order changing from round to round. A stub in a process of its own ends the
queries one after the other, so no model's speed is in it; each result has a hundred passages. Reported is the time from
the moment that a query ends until its caller holds the job, parsed, with a bootstrap interval of the difference over
rounds; what the gateway's process uses of the processor for a wait, its beginning included; and Redis's own count of
commands while all wait and nothing ends.

Redis is the benchmark's own, because its commands are counted; Elasticsearch keeps the API keys that the gateway looks
for, and nothing else of this.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from record import environment_of, write_result

from second_opinion import AsyncClient
from second_opinion.ops.ports import free_port
from second_opinion.ops.redis_server import RedisServer, find_redis_program
from second_opinion.ops.stack import LocalStack
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.floor import judge
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.verdict import Decision, Passage
from second_opinion.testing.builders import a_query, a_result, a_scored
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_jobs

PASSAGES = 100
WORDS = "A manager approves refunds above one hundred euros, and writes down why. " * 12
SETTLE_SECONDS = 3.0


def result_json() -> str:
    """Return a result of a hundred judged passages, ten of them kept with their text."""
    scored = [a_scored(rank, raw_score=-rank, relevance=0.95 - rank / 120) for rank in range(1, PASSAGES + 1)]
    judged = [Passage.of(one) for one in judge(scored, QueryDefaults()).judged]
    kept = [one.model_copy(update={"text": WORDS}) for one in judged if one.decision is Decision.KEPT]
    dropped = [one for one in judged if one.decision is not Decision.KEPT]
    more = {"kept": tuple(kept), "dropped": tuple(dropped), "candidates": PASSAGES}
    return a_result().model_copy(update=more).model_dump_json()


def answer_until_told(settings: Settings) -> None:
    """Be the stub: end the queries that each line names, at its pace, and tell when each ended."""
    jobs = open_jobs(settings)
    result = a_result().model_validate_json(result_json())
    for line in sys.stdin:
        order = json.loads(line)
        ended = {}
        for job_id in order["jobs"]:
            ended[job_id] = time.time()
            assert jobs.finish(job_id, JobState.DONE, at=ended[job_id], result=result)
            time.sleep(order["pause"])
        sys.stdout.write(json.dumps(ended) + "\n")
        sys.stdout.flush()
    jobs.close()


class Bench:
    """The gateway, the stub and the callers."""

    def __init__(
        self, settings: Settings, url: str, gateway: psutil.Process, stub: "subprocess.Popen[str]", pause: float
    ) -> None:
        self.gateway = gateway
        self.jobs: RedisJobs = open_jobs(settings)
        self.redis = connect(settings.jobs_url.get_secret_value(), timeout=5.0)
        self.direct = AsyncClient(settings)
        self.url = url
        self.stub = stub
        self.pause = pause
        self.made = 0

    def submit(self, callers: int) -> list[str]:
        """Make a query for each caller."""
        now = time.time()
        names = [f"job-{self.made + number}" for number in range(callers)]
        self.made += callers
        for name in names:
            self.jobs.create(a_query(job_id=name), submitted_at=now, expires_at=now + 600.0)
        return names

    async def block(self, callers: int, *, over_http: bool, quiet: float = 0.0) -> tuple[list[float], dict[str, int]]:
        """Let all wait; return the seconds of each from the end of its query, and Redis's commands while quiet."""
        names = self.submit(callers)
        limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
        async with httpx.AsyncClient(base_url=self.url, limits=limits, timeout=120.0) as caller:

            async def wait(name: str) -> tuple[str, float]:
                if over_http:
                    answer = await caller.get(f"/v1/queries/{name}", headers={"Prefer": "wait=60"})
                    job = Job.model_validate_json(answer.content)
                else:
                    job = await self.direct.wait(name, timeout=60.0)
                held = time.time()
                assert job.state is JobState.DONE, job.state
                return name, held

            waiting = [asyncio.create_task(wait(name)) for name in names]
            await asyncio.sleep(SETTLE_SECONDS)
            before = self.commands()
            await asyncio.sleep(quiet)
            asked = {name: count - before.get(name, 0) for name, count in self.commands().items()}
            ended = await asyncio.to_thread(self.end, names)
            held = dict(await asyncio.gather(*waiting))
        return [held[name] - ended[name] for name in names], {name: count for name, count in asked.items() if count}

    def end(self, names: list[str]) -> dict[str, float]:
        """Have the stub end queries; return when each ended."""
        assert self.stub.stdin is not None
        assert self.stub.stdout is not None
        self.stub.stdin.write(json.dumps({"jobs": names, "pause": self.pause}) + "\n")
        self.stub.stdin.flush()
        ended: dict[str, float] = json.loads(self.stub.stdout.readline())
        return ended

    def cpu(self) -> float:
        """Return the processor seconds that the gateway has used so far."""
        times = self.gateway.cpu_times()
        return float(times.user + times.system)

    def commands(self) -> dict[str, int]:
        """Return how often each command was called, the question itself and the pings of idle connections left out."""
        stats: Any = self.redis.info("commandstats")
        names = {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()}
        return {name: count for name, count in names.items() if name not in {"info", "ping"}}

    async def measure(self, rounds: int, callers: int, quiet: float) -> dict[str, Any]:
        """Run all rounds."""
        await self.block(callers, over_http=True)
        await self.block(callers, over_http=False)
        seconds: dict[bool, list[list[float]]] = {True: [], False: []}
        used = 0.0
        for number in range(rounds):
            for over_http in (True, False) if number % 2 else (False, True):
                before = self.cpu()
                waits, _ = await self.block(callers, over_http=over_http)
                seconds[over_http].append(waits)
                used += self.cpu() - before if over_http else 0.0
        _, asked = await self.block(callers, over_http=True, quiet=quiet)
        await self.direct.close()
        self.jobs.close()
        self.redis.close()
        http, direct = np.array(seconds[True]) * 1_000, np.array(seconds[False]) * 1_000
        return {
            "waits_a_side": int(http.size),
            "milliseconds": {"gateway": percentiles(http), "direct": percentiles(direct)},
            "added_p50_milliseconds": added(http, direct, 50),
            "added_p95_milliseconds": added(http, direct, 95),
            "gateway_processor_milliseconds_a_wait": round(used / http.size * 1_000, 2),
            "quiet_seconds": quiet,
            "redis_commands_while_quiet": asked,
        }


def percentiles(milliseconds: np.ndarray) -> dict[str, float]:
    """Return percentiles over single waits."""
    return {f"p{share}": round(float(np.percentile(milliseconds, share)), 2) for share in (50, 95, 99)}


def added(http: np.ndarray, direct: np.ndarray, share: int) -> dict[str, float]:
    """Return the difference of a percentile, rounds resampled."""
    picks = np.random.default_rng(0).integers(0, len(http), (2_000, len(http)))
    resampled = [float(np.percentile(http[pick], share) - np.percentile(direct[pick], share)) for pick in picks]
    value = float(np.percentile(http, share) - np.percentile(direct, share))
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {"value": round(value, 2), "low": round(float(low), 2), "high": round(float(high), 2)}


@contextmanager
def own_redis(folder: Path) -> Iterator[str]:
    """Run a Redis of this benchmark's own."""
    server = RedisServer(folder=folder / "redis", program=find_redis_program(), port=free_port())
    server.prepare()
    process = subprocess.Popen(server.command, stdout=subprocess.DEVNULL)
    try:
        while not server.answers():
            time.sleep(0.05)
        yield server.url(0)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def elasticsearch(folder: Path, given: str | None) -> Iterator[str]:
    """Give an Elasticsearch: one that runs already, or the local stack's."""
    if given:
        yield given
        return
    stack = LocalStack(folder / "stack", elasticsearch_port=0, redis_port=0)
    try:
        yield stack.up({}, progress=lambda line: print(line, file=sys.stderr)).elasticsearch_url
    finally:
        stack.down()


@contextmanager
def process_of(arguments: list[str], told: dict[str, str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Run a process with settings, and end it."""
    environment = {**os.environ, **{f"OPINION_{name.upper()}": value for name, value in told.items()}}
    process = subprocess.Popen([sys.executable, *arguments], env=environment, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def await_gateway(url: str) -> None:
    """Return once it answers."""
    until = time.monotonic() + 120.0
    while True:
        try:
            httpx.get(f"{url}/healthz", timeout=5.0).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--pace", type=float, default=20.0, help="queries that end in a second")
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds over which Redis's commands are counted")
    parser.add_argument("--nice", type=int, default=0, help="below 0, come before other work on the machine (root)")
    parser.add_argument("--elasticsearch-url", help="an Elasticsearch that runs already")
    parser.add_argument("--stub", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stub:
        answer_until_told(Settings())
        return
    os.nice(options.nice)
    about = environment_of(sys.argv)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="second-opinion-")))
        folder.chmod(0o755)
        redis = stack.enter_context(own_redis(folder))
        told = {
            "state_dir": str(folder / "state"),
            "elasticsearch_url": stack.enter_context(elasticsearch(folder, options.elasticsearch_url)),
            "index_prefix": f"bench-{os.getpid()}",
            "log_level": "WARNING",
            **dict.fromkeys(("broker_url", "jobs_url", "cache_url"), redis),
        }
        port = free_port()
        serve = ["-m", "second_opinion.gateway", "serve", "--port", str(port)]
        quietly = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        gateway = stack.enter_context(process_of(serve, told, **quietly))
        stub = stack.enter_context(
            process_of([__file__, "--stub"], told, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        url = f"http://127.0.0.1:{port}"
        await_gateway(url)
        bench = Bench(Settings.model_validate(told), url, psutil.Process(gateway.pid), stub, 1.0 / options.pace)
        figures = asyncio.run(bench.measure(options.rounds, options.callers, options.quiet))
    write_result("gateway_waiting", {**about, "callers": options.callers, "ends_a_second": options.pace, **figures})


if __name__ == "__main__":
    main()
