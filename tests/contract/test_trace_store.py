"""What every store of traces does: the double and Elasticsearch."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchTraces, IndexNames
from second_opinion.pipeline.ports import TraceStore
from second_opinion.schemas.trace import HISTOGRAM_BINS, Trace, TraceScope, query_hash
from second_opinion.schemas.verdict import Outcome
from second_opinion.testing.traces import MemoryTraces, a_trace

NOW = 1_700_000_000.0
DAY = 86_400.0
DAYS_BEGUN = 5
ALL = TraceScope()


@dataclass
class Kept:
    """A store, and a way to make its listings current."""

    traces: TraceStore
    settle: Callable[[], object]

    def write(self, *traces: Trace) -> None:
        """Write traces that are then seen."""
        assert self.traces.write(traces) == [None] * len(traces)
        self.settle()


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def kept(request: pytest.FixtureRequest) -> Kept:
    """A store of either kind."""
    if request.param == "double":
        return Kept(MemoryTraces(), lambda: None)
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return Kept(
        ElasticsearchTraces(connection, names, days=30),
        lambda: connection.writes.indices.refresh(index=f"{names.traces}-*", ignore_unavailable=True),
    )


def some_traces() -> list[Trace]:
    """Return five queries: three answered at 0.4, two refused, one of these without any candidate."""
    return [
        a_trace("j1", 0.95, 0.7, 0.4, 0.1, at=NOW),
        a_trace("j2", 0.5, 0.2, at=NOW + 1),
        a_trace("j3", 1.0, at=NOW + 2),
        a_trace("j4", 0.39, 0.3, at=NOW + 3),
        a_trace("j5", at=NOW + 4),
    ]


def test_a_trace_comes_back_as_it_was_written(kept: Kept) -> None:
    """Nothing of a trace is lost or rounded."""
    trace = a_trace("j1", 0.9, 0.123456789012345, 0.1)
    kept.write(trace)
    assert kept.traces.get("j1") == trace


def test_what_decides_is_replayed_where_the_query_is_below_its_candidates(kept: Kept) -> None:
    """A floor between the query's relevance and the best candidate's refuses, at the trace's own floor too."""
    trace = a_trace("j1", 0.9, 0.7, query_relevance=0.5, floor=0.6)
    kept.write(trace)
    assert kept.traces.get("j1") == trace
    spread = kept.traces.spread(ALL, [0.4, 0.5, 0.6])
    assert [(one.answered, one.kept) for one in spread.floors] == [(1, 2), (1, 2), (0, 0)]
    (changed,) = kept.traces.changed(ALL, 0.45, Outcome.ANSWERED, limit=5)
    assert (changed.best_relevance, changed.kept, changed.kept_then) == (0.5, 0, 2)


def test_a_trace_without_candidates_comes_back(kept: Kept) -> None:
    """A query that found nothing has a trace too."""
    trace = a_trace("j1")
    kept.write(trace)
    assert kept.traces.get("j1") == trace


def test_an_unknown_job_has_no_trace(kept: Kept) -> None:
    """Before anything was written, too."""
    assert kept.traces.get("nobody") is None
    kept.write(a_trace("j1", 0.5))
    assert kept.traces.get("nobody") is None


def test_before_the_first_trace_everything_is_empty(kept: Kept) -> None:
    """No question about traces fails because there are none."""
    spread = kept.traces.spread(ALL, [0.4])
    assert (spread.traces, spread.candidates, spread.histogram) == (0, 0, (0,) * HISTOGRAM_BINS)
    assert [(one.answered, one.kept) for one in spread.floors] == [(0, 0)]
    assert kept.traces.scorers(ALL) == []
    assert kept.traces.newest(ALL, ["h"]) == {}
    assert kept.traces.changed(ALL, 0.5, Outcome.REFUSED, limit=5) == []
    assert kept.traces.drop(before=NOW) == 0


def test_a_second_trace_of_a_job_replaces_the_first(kept: Kept) -> None:
    """A query that was judged twice is counted once."""
    kept.write(a_trace("j1", 0.5))
    kept.write(a_trace("j1", 0.6))
    found = kept.traces.get("j1")
    assert found is not None
    assert found.best_relevance == 0.6
    assert kept.traces.spread(ALL, []).traces == 1


@pytest.mark.parametrize("floors", [[0.0, 0.2, 0.4, 0.400001, 0.7, 1.0], [0.7, 0.0], [0.4, 0.4]])
def test_the_spread_counts_what_each_floor_would_do(kept: Kept, floors: Sequence[float]) -> None:
    """The counts are those of judging every trace anew at that floor, equality included, in the order asked for."""
    traces = some_traces()
    kept.write(*traces)
    spread = kept.traces.spread(ALL, floors)
    expected = [
        (
            floor,
            sum(trace.best_relevance is not None and trace.best_relevance >= floor for trace in traces),
            sum(candidate.relevance >= floor for trace in traces for candidate in trace.candidates),
        )
        for floor in floors
    ]
    assert [(one.floor, one.answered, one.kept) for one in spread.floors] == expected


def test_the_spread_tells_how_queries_ended(kept: Kept) -> None:
    """Traces, candidates, answered and kept as they were; best relevances in bins of 0.05, 1.0 in the last."""
    kept.write(*some_traces())
    spread = kept.traces.spread(ALL, [])
    assert (spread.traces, spread.candidates, spread.answered, spread.kept) == (5, 9, 3, 5)
    assert {place: count for place, count in enumerate(spread.histogram) if count} == {7: 1, 10: 1, 19: 2}


def test_top_k_and_the_document_cap_bound_the_spread(kept: Kept) -> None:
    """A floor shows no more than the query's own choices let through."""
    kept.write(a_trace("j1", 0.9, 0.8, 0.7, top_k=2))
    assert [one.kept for one in kept.traces.spread(ALL, [0.0, 0.75, 0.85]).floors] == [2, 2, 1]


def test_a_scope_leaves_out_other_traces(kept: Kept) -> None:
    """Collection, scorer and time each narrow what is counted."""
    old = a_trace("j1", 0.9, at=NOW - 100)
    other_model = a_trace("j2", 0.9, at=NOW, reranker="another@2")
    elsewhere = a_trace("j3", 0.9, at=NOW, collection="elsewhere")
    kept.write(old, other_model, elsewhere)
    scopes = [TraceScope(since=NOW), TraceScope(scorer=old.scorer), TraceScope(collection="default")]
    assert [kept.traces.spread(scope, []).traces for scope in scopes] == [2, 2, 2]
    assert kept.traces.spread(TraceScope(collection="default", scorer=old.scorer), []).traces == 1


def test_scorers_are_told_newest_first(kept: Kept) -> None:
    """Which model and calibration made the traces, how many, and when last."""
    kept.write(a_trace("j1", 0.9, at=NOW), a_trace("j2", 0.9, at=NOW + 5))
    kept.write(a_trace("j3", 0.9, at=NOW + 9, calibration_id=None))
    found = [(one.scorer, one.traces, one.newest_at) for one in kept.traces.scorers(ALL)]
    assert found == [("word-reranker@1 uncalibrated", 1, NOW + 9), ("word-reranker@1 c1", 2, NOW + 5)]


def test_the_newest_trace_of_each_question_is_found(kept: Kept) -> None:
    """A question is the same in other case and spacing."""
    kept.write(a_trace("j1", 0.9, text="How many?", at=NOW), a_trace("j2", 0.8, text="how  MANY?", at=NOW + 1))
    kept.write(a_trace("j3", 0.7, text="how few?", at=NOW))
    many, few, none = query_hash("how many?"), query_hash("how few?"), query_hash("how much?")
    found = kept.traces.newest(ALL, [many, few, none, many])
    assert {name: trace.job_id for name, trace in found.items()} == {many: "j2", few: "j3"}


def test_more_questions_than_one_read_takes(kept: Kept) -> None:
    """The newest traces are found for any number of questions."""
    traces = [a_trace(f"j{number}", 0.5) for number in range(230)]
    kept.write(*traces)
    assert set(kept.traces.newest(ALL, [trace.query_hash for trace in traces])) == {one.query_hash for one in traces}


def test_queries_that_another_floor_would_refuse(kept: Kept) -> None:
    """Newest first, with what they showed and would show."""
    kept.write(*some_traces())
    found = kept.traces.changed(ALL, 0.96, Outcome.REFUSED, limit=5)
    assert [(one.job_id, one.best_relevance, one.floor, one.kept, one.kept_then) for one in found] == [
        ("j2", 0.5, 0.4, 1, 0),
        ("j1", 0.95, 0.4, 3, 0),
    ]
    assert kept.traces.count_changed(ALL, 0.96, Outcome.REFUSED) == 2
    assert [one.job_id for one in kept.traces.changed(ALL, 0.96, Outcome.REFUSED, limit=1)] == ["j2"]


def test_queries_that_another_floor_would_answer(kept: Kept) -> None:
    """A query without candidates is refused at every floor."""
    kept.write(*some_traces())
    found = kept.traces.changed(ALL, 0.3, Outcome.ANSWERED, limit=5)
    assert [(one.job_id, one.query, one.kept, one.kept_then) for one in found] == [("j4", "question of j4", 0, 2)]
    assert kept.traces.count_changed(ALL, 0.0, Outcome.ANSWERED) == 1


def test_old_traces_are_dropped_by_whole_days(kept: Kept) -> None:
    """What is younger than asked for stays; what is kept beside it on its last day may stay too."""
    kept.write(*(a_trace(f"j{age}", 0.5, at=NOW - age * DAY) for age in (0, 1, 40, 41)))
    assert kept.traces.drop(before=NOW - 30 * DAY) == 2
    kept.settle()
    assert [kept.traces.get(f"j{age}") is not None for age in (0, 1, 40, 41)] == [True, True, False, False]
    assert kept.traces.drop(before=NOW - 30 * DAY) == 0


def test_writing_goes_on_after_a_day_was_dropped(kept: Kept) -> None:
    """A late trace of a dropped day makes its index anew, with its mapping."""
    kept.write(a_trace("j1", 0.5, at=NOW))
    kept.traces.drop(before=NOW + 2 * DAY)
    kept.write(a_trace("j2", 0.5, at=NOW))
    assert kept.traces.spread(ALL, [0.5]).floors[0].kept == 1


def test_a_day_that_begins_right_now_is_read(kept: Kept) -> None:
    """While the first trace of a day makes the day's index, whose shard has yet to start, readers wait for it."""
    with ThreadPoolExecutor(1) as pool:
        for day in range(DAYS_BEGUN):
            written = pool.submit(kept.traces.write, [a_trace(f"j{day}", 0.5, at=NOW + day * DAY)])
            while not written.done():
                kept.traces.get(f"j{day}")
            assert written.result() == [None]


def test_the_traces_of_one_collection_are_forgotten(kept: Kept) -> None:
    """Of every day, those written a moment ago included; another collection's stay; without any trace nothing fails."""
    kept.traces.forget("default")
    kept.write(a_trace("j1", 0.9, at=NOW), a_trace("j2", 0.8, at=NOW + 3 * DAY))
    kept.write(a_trace("j3", 0.7, at=NOW, collection="elsewhere"))
    kept.traces.write([a_trace("j4", 0.6, at=NOW)])
    kept.traces.forget("default")
    kept.settle()
    assert [kept.traces.get(job_id) is None for job_id in ("j1", "j2", "j3", "j4")] == [True, True, False, True]
    assert kept.traces.spread(ALL, []).traces == 1


def test_traces_are_listed_the_newest_first(kept: Kept) -> None:
    """Page by page, each once, also those of the same moment; a line tells how the query ended, without candidates."""
    same = [a_trace(f"s{number}", 0.5, at=NOW - 1) for number in range(4)]
    other = a_trace("other", 0.9, at=NOW + 9, collection="secrets")
    kept.write(*some_traces(), *same, other)
    scope = TraceScope(collection="default")
    found = []
    page = kept.traces.listed(scope, limit=2)
    while page:
        found += page
        page = kept.traces.listed(scope, before=page[-1].place, limit=2)
    assert [row.job_id for row in found] == ["j5", "j4", "j3", "j2", "j1", "s0", "s1", "s2", "s3"]
    first = kept.traces.listed(ALL, limit=1)[0]
    assert (first.job_id, first.collection, first.query, first.floor) == ("other", "secrets", "question of other", 0.4)
    refused, answered = found[1], found[4]
    assert (refused.outcome, refused.best_relevance, refused.kept, refused.candidates) == (Outcome.REFUSED, 0.39, 0, 2)
    assert (answered.kept, answered.candidates, answered.milliseconds) == (3, 4, 250.75)
    assert found[0].best_relevance is None


def test_without_traces_there_is_nothing_to_list(kept: Kept) -> None:
    """Neither before the first trace, nor where the question was not kept, does listing fail."""
    assert kept.traces.listed(ALL, limit=5) == []
    kept.write(a_trace("j1", 0.5, with_query=False))
    assert [row.query for row in kept.traces.listed(ALL, limit=5)] == [None]
