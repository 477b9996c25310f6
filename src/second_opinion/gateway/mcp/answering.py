"""How a tool ends: with an answer in words and as data, or with an error that says what to do."""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from second_opinion.gateway.cli.failures import hint_for
from second_opinion.gateway.integrations.extras import extra
from second_opinion.gateway.mcp.wording import error_text
from second_opinion.schemas.base import Record
from second_opinion.schemas.errors import OpinionError

with extra("mcp"):
    from mcp.types import CallToolResult, TextContent

P = ParamSpec("P")


def answered(text: str, data: Record) -> CallToolResult:
    """Return an answer as a tool gives it."""
    content = TextContent(type="text", text=text)
    return CallToolResult(content=[content], structured_content=data.model_dump(mode="json"))


def telling_errors(
    tool: Callable[P, Awaitable[CallToolResult]],
) -> Callable[P, Awaitable[CallToolResult]]:
    """Answer errors of the tree in words and as data; a defect of ours stays an exception, which the SDK logs."""

    @functools.wraps(tool)
    async def told(*args: P.args, **kwargs: P.kwargs) -> CallToolResult:
        try:
            return await tool(*args, **kwargs)
        except OpinionError as problem:
            info = problem.info().model_copy(update={"hint": hint_for(problem)})
            content = TextContent(type="text", text=error_text(info))
            data = {"error": info.model_dump(mode="json")}
            return CallToolResult(content=[content], structured_content=data, is_error=True)

    return told
