"""`opinion serve`: the HTTP gateway and its page."""

import importlib

import click

from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.schemas.errors import ExtraMissing
from second_opinion.workers.settings import load_settings


@click.command()
@click.option("--host", help="Address to listen on. Default: OPINION_GATEWAY_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="0 picks a free one. Default: OPINION_GATEWAY_PORT.")
@click.option("--require-keys", is_flag=True, help="Ask for a key on loopback too, even before the first one is made.")
@with_session
def serve(session: Session, *, host: str | None, port: int | None, require_keys: bool) -> int:
    r"""Serve the HTTP API and the page until stopped.

    On 127.0.0.1 no key is needed until the first one is made. Anywhere else every request needs one, and there has to
    be one before it starts. Put TLS before it where it leaves the machine.

    \b
    Examples:
      opinion serve
      opinion serve --port 0 --require-keys
      opinion keys create website --scope query --collection handbook; opinion serve --host 0.0.0.0
    """
    chosen = {"gateway_host": host, "gateway_port": port, "gateway_require_keys": require_keys or None}
    settings = load_settings().model_copy(update={name: value for name, value in chosen.items() if value is not None})
    try:
        server = importlib.import_module("second_opinion.gateway.http.server")
    except ModuleNotFoundError as problem:
        raise ExtraMissing.of("server", problem.name or "fastapi") from problem

    def listening(url: str) -> None:
        session.terminal.done(f"Gateway: {url}")
        session.terminal.hint(f"open the page, or: curl {url}/v1/about")

    server.serve(settings, listening=listening)
    return 0
