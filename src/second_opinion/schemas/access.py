"""API keys: who may come in, to do what, in which collections."""

import hashlib
import hmac
import secrets
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from second_opinion.schemas.base import Versioned
from second_opinion.schemas.collection import CollectionName

Scope = Literal["ingest", "query", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("ingest", "query", "admin")
ALL_COLLECTIONS: Final = "*"
PREFIX: Final = "so"
SECRET_BYTES: Final = 32
KeyName = Annotated[str, Field(min_length=1, max_length=100)]


class ApiKey(Versioned):
    """A key as it is stored: what it may do, and only a hash of its secret.

    Attributes:
        id: The part of the key that is no secret; log lines and `opinion keys` name it.
        name: What people call it.
        secret_hash: SHA-256 of the secret, in hexadecimal. The secret has 256 random bits, so no slow hash is needed.
        scopes: What it may do; `admin` includes the others.
        collections: Where; `*` is everywhere.
        created_at: Unix seconds.
        expires_at: Unix seconds from which it is no longer valid; None is never.
        revoked_at: Unix seconds at which somebody revoked it; None if nobody has.
    """

    id: str
    name: KeyName
    secret_hash: str
    scopes: tuple[Scope, ...] = Field(min_length=1)
    collections: tuple[CollectionName | Literal["*"], ...] = Field(min_length=1)
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_valid(self, *, now: float) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def opens_with(self, secret: str) -> bool:
        """Return whether this is its secret; takes the same time whatever the answer."""
        return hmac.compare_digest(self.secret_hash, hash_of(secret))


class NewKey(Versioned):
    """A key that was just made, and the only time that its secret is seen.

    Attributes:
        key: As it is stored.
        token: What callers send: `so_<id>_<secret>`.
    """

    key: ApiKey
    token: str

    @classmethod
    def make(
        cls,
        name: str,
        *,
        scopes: tuple[Scope, ...],
        collections: tuple[str, ...],
        now: float,
        expires_at: float | None = None,
    ) -> Self:
        """Return a new key with a secret of 32 random bytes."""
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(
            id=key_id,
            name=name,
            secret_hash=hash_of(secret),
            scopes=scopes,
            collections=collections,
            created_at=now,
            expires_at=expires_at,
        )
        return cls(key=key, token=f"{PREFIX}_{key_id}_{secret}")


def hash_of(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split_token(token: str) -> tuple[str, str] | None:
    """Return id and secret of a key as callers send it; None when it has not that form."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == PREFIX and key_id and secret else None
