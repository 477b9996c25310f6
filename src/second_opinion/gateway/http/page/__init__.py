"""The page: static files, served by the gateway itself."""

from second_opinion.gateway.http.page.files import router

__all__ = ["router"]
