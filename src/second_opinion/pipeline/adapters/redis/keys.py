"""The keys of the job database, and of the cache. `opinion` stands for the namespace; `ID` for a job id.

    opinion:job:ID              hash    one query job: state, query, submitted_at, expires_at, attempts, schema_version;
                                        owner, lease_until, alone of whoever works on it; next_step, handed_over_by;
                                        losses, lone_losses: how often a worker ended with it, and with it alone;
                                        progress: a line for each step, state, when and candidates;
                                        once terminal also finished_at, and result or error (both JSON).
                                        Lives until a day after expires_at; once terminal, `result_ttl` from then on.
    opinion:candidates:ID       hash    the handover from retrieve to rerank by who made it: JSON, deflated. Lives two
                                        hours; gone as soon as the job is terminal.
    opinion:jobs:submitted      zset    unfinished jobs by submitted_at, for whoever asks what waits.
    opinion:jobs:deadline       zset    unfinished jobs by expires_at, for whoever expires them.
    opinion:jobs:waiting        zset    unfinished jobs that nobody works on, by when their message was sent.
    opinion:jobs:leased         zset    unfinished jobs that somebody works on, by when the lease runs out.
    opinion:breaker:NAME        hash    failures in a row of a reranker, and retry_at once they opened its breaker.
                                        Or the `refusal` of the last call. Lives an hour from the last failure, a day
                                        from the refusal; gone with the first success.
    opinion:rate:NAME           hash    calls left to a reranker this minute, and at, when they were counted.
    opinion:requests:KEY        hash    tokens: requests that an API key may still make, and at, when they were counted.
    opinion:usage:DAY           hash    what rerankers have cost on a day (in UTC), by NAME:requests, NAME:search_units,
                                        NAME:tokens and NAME:unusable. Lives 400 days.
    opinion:scores:MODEL:QUERY  hash    raw scores that a reranker gave the passages of a query, by hash of the
                                        passage. In the cache database, as the next two. Lives `rerank_cache_ttl`.
    opinion:scores:recent       zset    the hashes of scores by when they were begun, for forgetting the oldest.
    opinion:scores:sizes        hash    how many scores each of them has, and `total`.
    opinion:workers:QUEUE       zset    workers of a queue by when they were last seen. Those of a day; lives as long.
    opinion:jobs:finished       channel the id of each job that becomes terminal.
    opinion:jobs:moved          channel the id of each job that comes to another stage.
    opinion:holders             zset    in the broker's database: workers that hold messages, by when they count as
                                        dead. What each holds is in `unacked.HOLDER`, and what it has
                                        taken and not looked at yet in `taken.HOLDER`, a list.

The scripts touch several keys at once, so the database must not be spread over a cluster.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys under one namespace."""

    namespace: str = "opinion"

    def job(self, job_id: str) -> str:
        """Return the key of a job."""
        return f"{self.namespace}:job:{job_id}"

    def candidates(self, job_id: str) -> str:
        """Return the key of a job's candidates."""
        return f"{self.namespace}:candidates:{job_id}"

    def breaker(self, name: str) -> str:
        """Return the key of a reranker's circuit breaker."""
        return f"{self.namespace}:breaker:{name}"

    def rate(self, name: str) -> str:
        """Return the key of a reranker's rate limit."""
        return f"{self.namespace}:rate:{name}"

    def requests(self, key: str) -> str:
        """Return the key of the requests that an API key, by its id, may still make."""
        return f"{self.namespace}:requests:{key}"

    def usage(self, day: str) -> str:
        """Return the key of what rerankers cost on a day, a date such as `2026-02-03`."""
        return f"{self.namespace}:usage:{day}"

    def scores(self, model: str, query: str) -> str:
        """Return the key of the scores that a reranker gave the passages of a query; both are named by a hash."""
        return f"{self.namespace}:scores:{model}:{query}"

    def workers(self, queue: str) -> str:
        """Return the key of the workers of a queue."""
        return f"{self.namespace}:workers:{queue}"

    @property
    def recent_scores(self) -> str:
        """Return the key of the score hashes by age."""
        return f"{self.namespace}:scores:recent"

    @property
    def score_sizes(self) -> str:
        """Return the key of the numbers of scores."""
        return f"{self.namespace}:scores:sizes"

    @property
    def submitted(self) -> str:
        """Return the key of the unfinished jobs by time of submission."""
        return f"{self.namespace}:jobs:submitted"

    @property
    def deadline(self) -> str:
        """Return the key of the unfinished jobs by deadline."""
        return f"{self.namespace}:jobs:deadline"

    @property
    def waiting(self) -> str:
        """Return the key of the jobs that nobody works on."""
        return f"{self.namespace}:jobs:waiting"

    @property
    def leased(self) -> str:
        """Return the key of the jobs that somebody works on."""
        return f"{self.namespace}:jobs:leased"

    @property
    def finished(self) -> str:
        """Return the name of the channel that tells of finished jobs."""
        return f"{self.namespace}:jobs:finished"

    @property
    def holders(self) -> str:
        """Return the key of the workers that hold messages."""
        return f"{self.namespace}:holders"

    @property
    def moved(self) -> str:
        """Return the name of the channel that tells of jobs that came to another stage."""
        return f"{self.namespace}:jobs:moved"
