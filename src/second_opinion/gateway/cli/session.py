"""What every command gets: the terminal, and the client when it needs one."""

import functools
import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.workers.settings import load_settings

if TYPE_CHECKING:
    # The client loads Elasticsearch, Redis and Celery; commands that do not need it start without them.
    from second_opinion.gateway.client import Client
    from second_opinion.gateway.protocol import OpinionClient

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Session:
    """One run of one command.

    Args:
        terminal: Where it writes.
        open_client: Makes the client the first time one is asked for.
    """

    def __init__(self, terminal: Terminal, open_client: "Callable[[], OpinionClient]") -> None:
        self.terminal = terminal
        self._open_client = open_client
        self._client: OpinionClient | None = None

    @property
    def client(self) -> "OpinionClient":
        """The client of this run: beside the servers, or through a gateway."""
        if self._client is None:
            self._client = self._open_client()
        return self._client

    @property
    def direct(self) -> "Client":
        """The client of this run, for what only works beside the servers.

        Raises:
            InvalidRequest: If this run goes through a gateway.
        """
        if not hasattr(self.client, "parts"):
            raise InvalidRequest(
                "this command does not work through a gateway",
                hint="Run it where Elasticsearch and Redis can be reached, without --gateway and OPINION_GATEWAY_URL.",
            )
        return cast("Client", self.client)

    def close(self) -> None:
        """Close the client if one was opened."""
        if self._client is not None:
            self._client.close()


def with_session(callback: CommandT) -> Callable[..., Any]:
    """Give a click callback a `session` and the options `--json` and `--quiet`, which work before and after its name.

    The callback returns its exit code, or None for 0.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")
    @click.option("-q", "--quiet", is_flag=True, help="Leave out summaries, hints and progress; never errors.")
    @click.pass_context
    @functools.wraps(callback)
    def run(ctx: click.Context, /, *, as_json: bool, quiet: bool, **options: Any) -> Any:
        chosen = [before.params for before in _lineage(ctx)]
        terminal = Terminal(
            as_json=as_json or any(params.get("as_json") for params in chosen),
            quiet=quiet or any(params.get("quiet") for params in chosen),
        )
        gateway = next((params["gateway"] for params in chosen if params.get("gateway")), None)
        session = Session(terminal, ctx.obj or functools.partial(_connected, gateway))
        ctx.call_on_close(session.close)
        return callback(session, **options)

    return run


def _lineage(ctx: click.Context) -> list[click.Context]:
    found: list[click.Context] = []
    parent = ctx.parent
    while parent is not None:
        found.append(parent)
        parent = parent.parent
    return found


def _connected(gateway: str | None) -> "OpinionClient":
    settings = load_settings()
    importlib.import_module("second_opinion.workers.logs").configure_logging(settings)
    if settings.log_level != "DEBUG":
        # What libraries log is for operators; a person at a terminal gets errors as sentences.
        logging.disable(logging.CRITICAL)
    url, key = gateway or settings.gateway_url, settings.gateway_key
    if url:
        remote = importlib.import_module("second_opinion.gateway.remote").RemoteClient
        return cast("OpinionClient", remote(url, key=key.get_secret_value() if key else None))
    return cast("OpinionClient", importlib.import_module("second_opinion.gateway.client").Client())
