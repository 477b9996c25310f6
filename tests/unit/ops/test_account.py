"""Whether the account that Elasticsearch runs as can get where it has to."""

import os
from pathlib import Path

import pytest

from second_opinion.ops.account import Account, check_reachable, server_account
from second_opinion.schemas.errors import StateUnusable

STRANGER = Account(name="stranger", user=54_321, group=54_321)


def test_a_closed_folder_on_the_way_is_named(tmp_path: Path) -> None:
    """A state folder inside a private home is refused with the first folder that closes the way."""
    inside = tmp_path / "private" / "state"
    inside.mkdir(parents=True)
    inside.parent.chmod(0o700)
    first_closed = next(folder for folder in reversed(inside.parents) if not STRANGER.may_enter(folder))
    with pytest.raises(StateUnusable) as caught:
        check_reachable(inside, STRANGER)
    assert f"'stranger' cannot enter {first_closed}, which leads to {inside}." in caught.value.message


def test_permissions_of_others_count_for_a_stranger(tmp_path: Path) -> None:
    """Passing through takes the execute bit of the class that the account falls into."""
    tmp_path.chmod(0o701)
    assert STRANGER.may_enter(tmp_path)
    tmp_path.chmod(0o770)
    assert not STRANGER.may_enter(tmp_path)


def test_only_root_lends_an_account() -> None:
    """An ordinary user starts Elasticsearch as itself; root never starts it as root."""
    account = server_account()
    assert (account is not None and account.user != 0) == (os.geteuid() == 0)
