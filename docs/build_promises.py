"""Writes `docs/promises.md` from the result files of `benchmarks/results`: `python docs/build_promises.py`.

A test compares the page with what is committed, so that no figure in it is typed in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
RESULTS = ROOT / "benchmarks" / "results"
NOT_YET = "no long run is on record"
HEAD = """\
<!-- Made by docs/build_promises.py from benchmarks/results; run the long form again instead of changing it. -->
# Promises

What is accepted will be searchable, or its failure will be visible with a reason. A query that was submitted ends.
Each promise has a fault that tries to break it, a test that does so in a short form with every build, and a long form
by one command.

Where a run of n trials found nothing, the true rate is below 3/n with 95 % confidence: the rule of three. That is the
bound given here, and with few trials it is a wide one. A kill that hits an idle worker proves little, so the last
column says how many pieces of work were hit.

| promise | fault | test | last long run |
| --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Promise:
    """One row.

    Attributes:
        test: The short form, by its path.
        result: Name of the result file of the long form; None where there is only the short one.
    """

    promise: str
    fault: str
    test: str
    result: str | None = None


PROMISES = (
    Promise(
        "A collection moves to another model, chunker or mapping with every document visible at every moment, and back",
        "writers and readers all the while; work that began before the move; a document that cannot be made anew",
        "tests/acceptance/test_reindex.py",
    ),
    Promise(
        "No accepted document is lost, doubled, mixed or orphaned; no document or query is stuck",
        "SIGKILL of every role and of Redis (with its append-only file) while callers write, delete and ask",
        "tests/faults/test_kills.py",
        "kills",
    ),
    Promise(
        "No accepted document is lost with Redis; queries end or are `unknown_job`",
        "Redis killed, and its file removed",
        "tests/faults/test_restarts.py",
        "redis_lost",
    ),
    Promise(
        "No accepted document is lost, doubled, mixed or orphaned when Elasticsearch ends",
        "SIGKILL of Elasticsearch while callers write, delete and ask",
        "tests/integration/ops/test_local_stack.py",
        "elasticsearch_kills",
    ),
    Promise(
        "What comes back from a snapshot is made whole",
        "all of Elasticsearch and Redis lost; records restored from one moment, chunks from a later one",
        "tests/faults/test_snapshot.py",
    ),
    Promise(
        "A worker that is asked to stop ends in time; no query fails for it",
        "SIGTERM to each role in turn",
        "tests/faults/test_restarts.py",
    ),
    Promise(
        "A rolling deploy fails no query; under steady load nothing grows by more than 5 % an hour",
        "SIGTERM every 20 s, once a successor consumes, at 80 % of capacity; then the load alone",
        "tests/faults/test_soak.py",
        "soak",
    ),
    Promise(
        "What a frozen worker does when it wakes changes nothing",
        "SIGSTOP in the middle of work, which another does meanwhile, and SIGCONT",
        "tests/acceptance/test_frozen_workers.py",
        "frozen",
    ),
    Promise(
        "A message that comes again has no second effect",
        "each message five times, shuffled and at once",
        "tests/faults/test_one_effect.py",
        "one_effect",
    ),
    Promise(
        "Readers see a document's old version whole or its new one whole, at every moment, and none that is deleted",
        "documents updated and deleted without a pause while threads search, ask and read statuses",
        "tests/faults/test_readers.py",
        "readers",
    ),
    Promise(
        "What a killed worker held is taken up before what came later",
        "SIGKILL with 2,000 documents, or hundreds of queries, behind; long form: with time to recover in between",
        "tests/acceptance/test_rescued_first.py",
        "rescue",
    ),
    Promise(
        "What was sent by task name is not lost with the worker that had it in its hands",
        "SIGKILL of an intake worker with full hands",
        "tests/acceptance/test_killed_intake.py",
    ),
    Promise(
        "What cannot be read ends no worker and is accounted for",
        "malformed payloads for every task; raw garbage in every queue",
        "tests/acceptance/test_malformed.py",
        "malformed",
    ),
    Promise(
        "A worker that runs out of memory, or hangs in native code, is replaced, and its work is done",
        "all of it in every thread of each role, hangs that hold the interpreter among them",
        "tests/faults/test_broken_workers.py",
        "deaf_workers",
    ),
    Promise(
        "A document that ends its workers is parked after three attempts alone; those beside it are not",
        "a document whose worker ends again and again, in company and alone",
        "tests/integration/ingest/test_crashes.py",
    ),
    Promise(
        "A full system says so, with the seconds to wait, and documents never close the door to queries",
        "queues at their bounds; Redis at its share of memory",
        "tests/integration/query/test_full.py",
    ),
    Promise(
        "A call ends in time, with a right answer or a typed error; no query is refused because a part was down",
        "latency, silence, resets, slow closes, answers that are cut off or trickle in, on the way to either server",
        "tests/faults/test_grey.py",
        "grey",
    ),
    Promise(
        "A flood of documents does not starve queries",
        "ten times as many documents beside a steady stream of queries",
        "tests/faults/test_flood.py",
        "flood",
    ),
    Promise(
        "The same holds for every order of events that a scheduler can make",
        "crashes at every external call, messages lost, doubled and reordered, by seed",
        "tests/simulation/test_simulation.py",
        "simulation",
    ),
    Promise(
        "The same holds for every order of calls",
        "sent, delivered, delivered again, crashed, lost, rescued, swept, cancelled and read, in any order",
        "tests/unit/pipeline/ingest/test_protocol_model.py",
    ),
    Promise(
        "An outage fails no document",
        "Elasticsearch refuses writes more often than a document may fail",
        "tests/integration/ingest/test_bad_input.py",
    ),
    Promise(
        "These checks find damage where there is some",
        "known bugs put back one at a time; damage done to what the checker reads",
        "tests/simulation/test_known_bugs.py",
    ),
)


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(map(_row, PROMISES)) + _how()


def _row(one: Promise) -> str:
    return f"| {one.promise} | {one.fault} | `{one.test}` | {_last(one.result)} |\n"


def _last(name: str | None) -> str:
    if name is None:
        return "short form only"
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return NOT_YET
    return _TELLERS.get(name, _told)(json.loads(path.read_text(encoding="utf-8")))


def _told(result: Mapping[str, Any]) -> str:
    kills, found, rescued = sum(result["kills"].values()), result["found"], result["rescued"]
    wrong = {name: count for name, count in found.items() if count and name != "failed"}
    queries = {name.removeprefix("query "): count for name, count in result["queries"].items()}
    sent = f"{result['acknowledged']:,} acknowledgements on {result.get('written', result['documents']):,} documents"
    parts = [
        f"{result['date']}, seed {result['seed']}: {kills} kills ({_counts(result['kills'])}), {sent}",
        f"found: {_counts(wrong) if wrong else 'nothing'}; failed visibly: {found['failed']}",
        f"queries: {_counts(queries)}",
    ]
    if problems := result.get("problems"):
        parts.append(f"callers saw what must not be: {'; '.join(problems)}")
    if bounds := result["bounds_95"]:
        lost, faulty = bounds["loss_per_acknowledgement"], bounds["faulty_kills"]
        parts.append(f"bounds: loss below {lost:.2g} an acknowledgement, damage below {faulty:.2g} a kill")
    if rescued["count"]:
        sent = result.get("sent_again", {})
        told = f"sent again p95 {sent['p95']} s, max {sent['max']} s; " if sent.get("count") else ""
        parts.append(
            f"{rescued['count']} pieces of work abandoned: {told}taken up again p50 {rescued['p50']} s, "
            f"p95 {rescued['p95']} s, max {rescued['max']} s"
        )
    parts.append(f"load of the machine when the result was written: {result['load_before'][0]}")
    return "; ".join(parts)


def _told_simulation(result: Mapping[str, Any]) -> str:
    seeds, crashes = result["seeds"], result["crash_points"]
    return (
        f"{result['environment']['date']}: {seeds['seeds']:,} seeds with {seeds['faults']:,} faults in "
        f"{seeds['calls']:,} calls: broken promises {seeds['broken_promises']}; a crash at each of "
        f"{crashes['calls']:,} calls, before and after it, and at {crashes['pairs']:,} pairs: broken promises "
        f"{crashes['broken_promises']}; bound: broken seeds below {seeds['bound_on_broken_seeds']:.2g}"
    )


def _told_one_effect(result: Mapping[str, Any]) -> str:
    same = "equal to" if result["hash"] == result["hash_of_the_serial_model"] else "NOT equal to"
    return (
        f"{result['date']}, seed {result['seed']}: {result['messages']:,} messages, {result['deliveries']:,} "
        f"deliveries by {result['threads']} threads on the doubles: index {same} the serial model's, "
        f"orphans {result['orphans']}; "
        f"{result['queries']:,} queries, {result['query_deliveries']:,} deliveries: results changed "
        f"{result['results_changed']}, other than the model's {result['results_other_than_the_models']}"
    )


def _told_frozen(result: Mapping[str, Any]) -> str:
    thaws = result["thaws"]
    still = ", ".join(f"{one['role']} {one['stood_still']:.0f} s with {one['held']} in its hands" for one in thaws)
    changed = sum(len(one["changed"]) for one in thaws)
    return f"{result['date']}: {still}; records and jobs changed after the thaw: {changed}"


def _told_readers(result: Mapping[str, Any]) -> str:
    wrong = {name: count for name, count in result["found"].items() if count}
    acts = f"{result['updates_and_deletes']:,} updates and deletes of {result['documents']} documents"
    return (
        f"{result['date']}, seed {result['seed']}: {result['reads']:,} reads ({_counts(result['reads_by_kind'])}) "
        f"during {acts} in {result['seconds']:.0f} s: found {_counts(wrong) if wrong else 'nothing'}; "
        f"hits left unresolved: {result['stale_dropped']}"
    )


def _told_deaf_workers(result: Mapping[str, Any]) -> str:
    longest: dict[str, float] = {}
    for one in result["recoveries"]:
        longest[one["fault"]] = max(longest.get(one["fault"], 0.0), one["seconds"])
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in longest.items())
    return (
        f"{result['date']}: {len(result['recoveries'])} faults; longest time until the role had finished work again: "
        f"{told}; load of the machine before: {result['load_before'][0]}"
    )


def _told_soak(result: Mapping[str, Any]) -> str:
    deploy, soak = result["deploy"], result["soak"]
    slopes = soak["slopes_per_hour"]
    grows = ", ".join(soak["growing"]) or "nothing by more than 5 % an hour"
    name = max((one for one in slopes if one.endswith("resident MB")), key=lambda one: float(slopes[one]["per_hour"]))
    fastest = f"{name} {slopes[name]['per_hour']:+.1f} ± {slopes[name]['standard_error']:.1f} an hour"
    return (
        f"{result['date']}: {deploy['workers_replaced']} workers replaced in {deploy['minutes']:g} min, failed queries "
        f"{deploy['queries']['failed']} of {deploy['queries']['answered'] + deploy['queries']['failed']:,}; "
        f"{soak['minutes']:g} min at {result['share']:.0%} of {result['capacity_per_second']} queries/s: failed "
        f"{soak['queries']['failed']} of {soak['queries']['answered'] + soak['queries']['failed']:,}; "
        f"growing: {grows}; fastest: {fastest}"
    )


def _told_malformed(result: Mapping[str, Any]) -> str:
    codes = _counts(result["ended_by_code"])
    return (
        f"{result['date']}, seed {result['seed']}: {result['messages']:,} payloads; dead workers "
        f"{result['dead_workers']}; unaccounted for {result['unaccounted_for']:,} ({codes})"
    )


def _told_grey(result: Mapping[str, Any]) -> str:
    faults = result["faults"]
    calls, latest = sum(one["calls_made"] for one in faults), max(one["latest_of_all"] for one in faults)
    late, wrong, refused = (sum(len(one[name]) for one in faults) for name in ("late", "wrong", "refused"))
    again = max(one["works_again"] for one in faults)
    return (
        f"{result['date']}: {len(faults)} faults of {result['seconds']:g} s, {calls:,} calls: at the latest "
        f"{latest:+.2f} s from the deadline, too late {late}, wrong or untyped {wrong}; queries refused {refused}; "
        f"everything worked again within {again:.1f} s"
    )


def _told_flood(result: Mapping[str, Any]) -> str:
    calm, flood = result["calm"], result["flood"]
    ratios = "; ".join(
        f"p{percent} {calm['seconds'][f'p{percent}']:.2f} s without, {flood['seconds'][f'p{percent}']:.2f} s with: "
        f"{one['value']:.2f} times (95 %: {one['low']:.2f} to {one['high']:.2f})"
        for percent in (50, 95)
        for one in [result[f"p{percent}_ratio"]]
    )
    return (
        f"{result['date']}: {calm['queries']} and {flood['queries']} queries, {len(calm['failed'] + flood['failed'])} "
        f"failed; {calm['documents_sent_a_second']} and {flood['documents_sent_a_second']} documents/s; {ratios}; "
        f"load of the machine before: {result['load_before'][0]}"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _how() -> str:
    return """
The long forms: `./do bench kills --kills 1000 --documents 20000`, `./do bench kills --kills 50 --redis-forgets`,
`./do bench kills --kills 30 --elasticsearch`, `./do bench kills --kills 40 --pause 30 --paced`,
`./do bench simulation`, `./do bench one_effect`, `./do bench frozen`, `./do bench readers`,
`./do bench deaf_workers`, `./do bench soak`, `./do bench grey`, `./do bench flood` and `./do bench malformed`.
Abandoned work is sent again to the front of its queue, before all that waits
(`tests/acceptance/test_rescued_first.py`) and behind what was abandoned earlier.
What a worker has taken and not begun when it is killed has no lease that could run out: its message goes back to the
front as soon as the worker has been silent for 15 seconds (`docs/decisions/0008-known-and-possible-loss.md`).
"""


_TELLERS = {
    "simulation": _told_simulation,
    "one_effect": _told_one_effect,
    "frozen": _told_frozen,
    "readers": _told_readers,
    "soak": _told_soak,
    "deaf_workers": _told_deaf_workers,
    "malformed": _told_malformed,
    "grey": _told_grey,
    "flood": _told_flood,
}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
