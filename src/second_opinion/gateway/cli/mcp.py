"""`opinion mcp`: search and document tools for assistants, by the Model Context Protocol."""

import importlib
import logging
import sys

import click

from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.mcp.reach import Reach

LISTENING_BY_HAND = (
    "This waits for an assistant's messages on stdin, one JSON object a line. Assistants start it themselves: "
    'enter "opinion mcp" as the command of an MCP server. Ctrl-D ends it.'
)


@click.command()
@click.option(
    "-c", "--collection", "collections", multiple=True, help="Only this collection, the first of several by default."
)
@click.option("--allow-ingest", is_flag=True, help="Let assistants add, replace and delete documents too.")
@click.option("--timeout", type=click.FloatRange(0.1, 3_600), default=60.0, show_default=True, help="Seconds a search.")
@click.option("--http", is_flag=True, help="Serve streamable HTTP on 127.0.0.1 instead of stdin and stdout.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8101, show_default=True, help="Port for --http.")
@with_session
def mcp(  # noqa: PLR0913 - one argument an option
    session: Session, *, collections: tuple[str, ...], allow_ingest: bool, timeout: float, http: bool, port: int
) -> None:
    r"""Serve search and document tools to assistants (Model Context Protocol).

    The tools are search, why, document_status, list_documents and list_collections, and with --allow-ingest
    submit_document and delete_document. stdout carries the protocol alone; the log goes to stderr. Whoever starts it
    lends it their own access: with --http that is every program on this machine.

    \b
    Examples:
      opinion mcp
      opinion mcp --collection handbook
      opinion mcp --http --port 8101          then http://127.0.0.1:8101/mcp
    """
    serving = importlib.import_module("second_opinion.gateway.mcp.server")
    client = session.client
    logging.disable(logging.NOTSET)
    server = serving.make_server(client, reach=Reach(collections), allow_ingest=allow_ingest, timeout=timeout)
    if http:
        session.terminal.hint(f"Assistants connect to http://127.0.0.1:{port}/mcp")
        serving.serve_http(server, port)
        return
    if sys.stdin.isatty():
        session.terminal.hint(LISTENING_BY_HAND)
    serving.serve_stdio(server)
