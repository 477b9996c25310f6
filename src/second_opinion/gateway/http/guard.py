"""ASGI middleware that turns what is raised outside of routes into an answer."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from second_opinion.gateway.http.problems import on_defect, problem_response
from second_opinion.schemas.errors import OpinionError


class Answering:
    """Answers for whatever is raised behind it, unless an answer has begun: then the connection is broken off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noticing(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noticing)
        except Exception as problem:
            if begun:
                raise
            request = Request(scope, receive)
            if isinstance(problem, OpinionError):
                response = problem_response(problem, request)
            else:
                response = on_defect(request, problem)
            await response(scope, receive, send)
