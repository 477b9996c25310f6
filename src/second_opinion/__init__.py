"""Second Opinion: retrieval that has to be right."""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from second_opinion.gateway.async_client import AsyncClient
    from second_opinion.gateway.client import Client

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "__version__"]

# Imported when they are asked for: workers and the command line start without the clients.
_LAZY: Final = {"Client": "second_opinion.gateway.client", "AsyncClient": "second_opinion.gateway.async_client"}


def __getattr__(name: str) -> Any:
    """Return a client class."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
