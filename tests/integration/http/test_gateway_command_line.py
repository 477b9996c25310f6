"""`opinion --gateway URL`: the command line where neither Elasticsearch nor Redis can be reached."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from second_opinion.schemas.access import NewKey
from tests.conftest import Servers
from tests.integration.http.conftest import Served, serving, system_of

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway with workers behind it, and the samples in it."""
    with system_of(servers, tmp_path_factory.mktemp("system")) as system, serving(system) as made:
        system.start("index", "retrieve", "rerank")
        yield made


class Far:
    """A machine that reaches the gateway and nothing else."""

    def __init__(self, gateway: Served, folder: str) -> None:
        self.url = gateway.url
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OPINION_")} | {
            "OPINION_ELASTICSEARCH_URL": NOWHERE,
            "OPINION_BROKER_URL": "redis://127.0.0.1:9/0",
            "OPINION_JOBS_URL": "redis://127.0.0.1:9/0",
            "OPINION_CACHE_URL": "redis://127.0.0.1:9/0",
            "OPINION_STATE_DIR": folder,
            "OPINION_GATEWAY_URL": gateway.url,
        }

    def opinion(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line."""
        return subprocess.run(
            [sys.executable, "-m", "second_opinion.gateway", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture(scope="module")
def far(gateway: Served, tmp_path_factory: pytest.TempPathFactory) -> Far:
    """Another machine, from which the samples have been sent."""
    made = Far(gateway, str(tmp_path_factory.mktemp("far")))
    done = made.opinion("ingest", "--samples")
    assert done.returncode == 0, done.stderr
    assert "Searchable 12" in done.stderr
    return made


def test_questions_are_asked_and_explained(far: Far) -> None:
    """Answered, refused, looked at again, and asked why."""
    answered = far.opinion("--json", "query", "ibuprofen dosage for children")
    assert answered.returncode == 0, answered.stderr
    job = json.loads(answered.stdout)
    assert job["result"]["kept"][0]["document_id"] == "ibuprofen-dosage-children.md"
    assert far.opinion("query", "how do I reset the password of my router?").returncode == 3
    assert far.opinion("job", "show", job["job_id"]).stdout == far.opinion("job", "wait", job["job_id"]).stdout
    why = far.opinion("why", job["job_id"], "bicycle-chain.md")
    assert why.returncode == 0
    assert "bicycle-chain.md" in why.stdout
    trace = far.opinion("--json", "trace", job["job_id"])
    assert (trace.returncode, json.loads(trace.stdout)["job_id"]) == (0, job["job_id"]), trace.stderr
    judged = far.opinion("judge", job["job_id"], "1", "relevant")
    assert judged.returncode == 0, judged.stderr


def test_documents_and_collections_are_managed(far: Far) -> None:
    """Listed, shown, deleted; made with choices of their own, and removed."""
    listed = far.opinion("document", "list").stdout.splitlines()
    assert len(listed) >= 11
    shown = far.opinion("--json", "document", "show", "refund-policy.md")
    assert json.loads(shown.stdout)["chunks"] != []
    assert far.opinion("document", "delete", "growing-beans.md").returncode == 0
    assert far.opinion("collections", "set", "archive", "--floor", "0.6").returncode == 0
    assert "archive" in far.opinion("collections", "list").stdout
    assert far.opinion("collections", "delete", "archive", "--yes").returncode == 0
    assert "archive" not in far.opinion("collections", "list").stdout
    assert far.opinion("dead-letters", "list").returncode == 0


def test_the_option_is_stronger_than_the_environment(far: Far) -> None:
    """A gateway that is not there is said within seconds, with what to check."""
    began = time.monotonic()
    failed = far.opinion("--gateway", NOWHERE, "document", "list")
    assert (failed.returncode, time.monotonic() - began < 30.0) == (4, True)
    assert "the gateway at http://127.0.0.1:9 cannot be reached" in failed.stderr
    assert "hint: " in failed.stderr
    there = far.opinion("--gateway", far.url, "document", "list", OPINION_GATEWAY_URL=NOWHERE)
    assert there.returncode == 0
    wrong = far.opinion("--gateway", "elsewhere", "document", "list")
    assert (wrong.returncode, "not that of a web server" in wrong.stderr) == (2, True)


def test_what_needs_the_servers_says_so(far: Far) -> None:
    """Keys are made beside the servers, and calibrations fitted there."""
    for arguments in (("keys", "list"), ("calibrate", "fit")):
        failed = far.opinion(*arguments)
        assert failed.returncode in {2, 4}, arguments
    assert "does not work through a gateway" in far.opinion("keys", "list").stderr


def test_a_key_is_sent(far: Far, gateway: Served) -> None:
    """Once there is a key, requests without one are refused, and with one they see what it allows."""
    keys = gateway.app.state.gateway.parts.api_keys
    made = NewKey.make("far", scopes=("query",), collections=("*",), now=time.time(), expires_at=None)
    keys.create(made.key)
    time.sleep(6.0)
    try:
        refused = far.opinion("document", "list")
        assert (refused.returncode, "a valid API key is needed" in refused.stderr) == (4, True)
        assert far.opinion("document", "list", OPINION_GATEWAY_KEY=made.token).returncode == 0
        denied = far.opinion("document", "delete", "refund-policy.md", OPINION_GATEWAY_KEY=made.token)
        assert (denied.returncode, "'ingest'" in denied.stderr) == (4, True)
        assert made.token not in refused.stderr + denied.stderr
    finally:
        keys.revoke(made.key.id, at=time.time())
