"""What every store of API keys does: the double and Elasticsearch."""

import threading

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchApiKeys, IndexNames
from second_opinion.pipeline.ports import ApiKeyStore
from second_opinion.schemas.access import NewKey
from second_opinion.schemas.errors import UnknownKey, WriteConflict
from second_opinion.testing.access import MemoryApiKeys


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def store(request: pytest.FixtureRequest) -> ApiKeyStore:
    """A store of either kind."""
    if request.param == "double":
        return MemoryApiKeys()
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return ElasticsearchApiKeys(connection, names)


def a_key(name: str = "website", *, now: float = 100.0, expires_at: float | None = None) -> NewKey:
    return NewKey.make(name, scopes=("query", "ingest"), collections=("handbook",), now=now, expires_at=expires_at)


def test_keys_come_back_as_they_were_made(store: ApiKeyStore) -> None:
    """The oldest first, seen at once, and before the first write there are none."""
    assert store.listed() == []
    later, earlier = a_key(now=200.0).key, a_key("crawler", now=100.0, expires_at=3_000.5).key
    store.create(later)
    assert store.listed() == [later]
    store.create(earlier)
    assert store.listed() == [earlier, later]


def test_an_id_is_used_once(store: ApiKeyStore) -> None:
    """A second key of the same id is refused, and the first stays."""
    key = a_key().key
    store.create(key)
    with pytest.raises(WriteConflict):
        store.create(key.model_copy(update={"name": "another"}))
    assert store.listed() == [key]


def test_a_revoked_key_stays_listed_with_its_moment(store: ApiKeyStore) -> None:
    """Revoking twice keeps the first moment."""
    key = a_key().key
    store.create(key)
    revoked = store.revoke(key.id, at=150.0)
    assert revoked.revoked_at == 150.0
    assert store.revoke(key.id, at=160.0) == revoked
    assert store.listed() == [revoked]


def test_a_key_that_is_not_there_cannot_be_revoked(store: ApiKeyStore) -> None:
    """Neither before the first write nor after it."""
    with pytest.raises(UnknownKey):
        store.revoke("nobody's", at=1.0)
    store.create(a_key().key)
    with pytest.raises(UnknownKey):
        store.revoke("nobody's", at=1.0)


def test_of_those_who_revoke_at_once_one_moment_stays(store: ApiKeyStore) -> None:
    """Each of them hears the same moment, and it is the stored one."""
    key = a_key().key
    store.create(key)
    heard: list[float | None] = []
    threads = [
        threading.Thread(target=lambda at=at: heard.append(store.revoke(key.id, at=at).revoked_at))  # type: ignore[misc]
        for at in (150.0, 160.0, 170.0, 180.0)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(heard) == {store.listed()[0].revoked_at}
    assert len(heard) == 4


def test_the_secret_is_nowhere_in_what_is_stored(store: ApiKeyStore) -> None:
    """Only its hash is, and that opens with the secret alone."""
    made = a_key()
    store.create(made.key)
    secret = made.token.split("_", 2)[2]
    assert len(secret) >= 43
    (stored,) = store.listed()
    assert secret not in stored.model_dump_json()
    assert stored.opens_with(secret)
    assert not stored.opens_with(secret[:-1])
    assert not stored.opens_with("")
