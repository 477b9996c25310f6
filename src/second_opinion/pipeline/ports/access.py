"""Where API keys are kept."""

from typing import Protocol

from second_opinion.schemas.access import ApiKey


class ApiKeyStore(Protocol):
    """API keys, with hashes of their secrets. A handful to some thousands."""

    def create(self, key: ApiKey) -> None:
        """Keep a new key.

        Raises:
            WriteConflict: If there is one of this id.
        """

    def listed(self) -> list[ApiKey]:
        """Return all keys, revoked ones too, the oldest first; sees every write."""

    def revoke(self, key_id: str, *, at: float) -> ApiKey:
        """Mark a key as revoked and return it; one that was revoked before stays as it was.

        Raises:
            UnknownKey: If there is none of this id.
        """
