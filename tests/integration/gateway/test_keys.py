"""`opinion keys`, as a user types it."""

import json

import pytest

from tests.integration.gateway.conftest import System

pytestmark = pytest.mark.stack


def test_a_key_is_made_shown_once_listed_and_revoked(bare_system: System) -> None:
    """What is printed is the key alone, so that a shell can keep it; afterwards only its id is to be had."""
    made = bare_system.opinion(
        "keys", "create", "website", "--scope", "query", "--collection", "handbook", "--expires", "30d"
    )
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("so_")
    assert "not shown again" in made.stderr
    key_id, secret = token.split("_", 2)[1:]

    listed = bare_system.opinion("keys")
    (own,) = [line for line in listed.stdout.splitlines() if line.startswith(key_id)]
    assert own.split("\t")[:3] == [key_id, "website", "query in handbook"]
    assert "expires 20" in own
    for printed in (listed, bare_system.opinion("keys", "list", "--json")):
        assert secret not in printed.stdout
        assert "secret" not in printed.stdout

    assert bare_system.opinion("keys", "revoke", key_id).returncode == 0
    (found,) = [one for one in json.loads(bare_system.opinion("keys", "--json").stdout) if one["id"] == key_id]
    assert found["revoked_at"] is not None
    unknown = bare_system.opinion("keys", "revoke", "nobodys")
    assert (unknown.returncode, unknown.stderr.splitlines()[1]) == (4, "hint: List the keys: opinion keys list")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--scope", "everything", "--collection", "handbook"],
        ["--scope", "query", "--collection", "Hand book"],
        ["--scope", "query"],
        ["--collection", "handbook"],
        ["--scope", "query", "--collection", "handbook", "--expires", "soon"],
    ],
)
def test_a_key_that_says_too_little_or_the_wrong_thing_is_not_made(bare_system: System, wrong: list[str]) -> None:
    """Scope and place are always said: there is no key for everything by leaving something out."""
    refused = bare_system.opinion("keys", "create", "website", *wrong)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.startswith("error: ")
