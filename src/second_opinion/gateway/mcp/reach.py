"""How far the tools reach: which collections they may look into."""

from dataclasses import dataclass

from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.errors import UnknownCollection


@dataclass(frozen=True, slots=True)
class Reach:
    """What an operator lets assistants see.

    Args:
        collections: The only collections that exist for them; all of them when empty.
    """

    collections: tuple[str, ...] = ()

    @property
    def default(self) -> str:
        """The collection of a tool that names none."""
        return self.collections[0] if self.collections else DEFAULT_COLLECTION

    def has(self, collection: str) -> bool:
        """Return True when a collection may be looked into."""
        return not self.collections or collection in self.collections

    def allowed(self, collection: str | None) -> str:
        """Return the collection to look into.

        Raises:
            UnknownCollection: If it is none that exists for assistants.
        """
        chosen = collection or self.default
        if not self.has(chosen):
            raise UnknownCollection(
                f"there is no collection {chosen!r}", hint=f"These can be searched: {', '.join(self.collections)}"
            )
        return chosen
