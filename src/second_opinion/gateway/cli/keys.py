"""`opinion keys`: who may use the HTTP gateway."""

import re
import time
from typing import Any, Final, cast

import click

from second_opinion.gateway.cli.rendering.records import moment
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import as_data
from second_opinion.schemas.access import ALL_COLLECTIONS, SCOPES, ApiKey, NewKey, Scope
from second_opinion.schemas.collection import NAME_PATTERN

UNITS: Final = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


class Period(click.ParamType[float]):
    """A length of time such as 12h or 30d, in seconds."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        found = re.fullmatch(r"([1-9][0-9]{0,5})([mhdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no period; write 90m, 12h, 30d or 8w.", param, ctx)
        return int(found[1]) * UNITS[found[2]]


class Place(click.ParamType[str]):
    """The name of a collection, or * for all."""

    name = "collection"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if value != ALL_COLLECTIONS and re.fullmatch(NAME_PATTERN, str(value)) is None:
            self.fail(f"{value!r} cannot be the name of a collection; '*' stands for all.", param, ctx)
        return str(value)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out summaries, hints and progress; never errors.")
@click.pass_context
def keys(ctx: click.Context, /, **_options: bool) -> Any:
    r"""Make, list and revoke the API keys of the HTTP gateway.

    A key has scopes (ingest, query, admin) and collections, and sees nothing else. A gateway on loopback needs none
    until the first one is made.

    \b
    Examples:
      opinion keys create website --scope query --collection handbook
      opinion keys create crawler --scope ingest --collection handbook --expires 30d
      opinion keys
      opinion keys revoke 5f0c2a1b9d3e4f60
    """
    return ctx.invoke(list_keys) if ctx.invoked_subcommand is None else None


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What it may do; may be repeated.",
)
@click.option(
    "--collection",
    "collections",
    type=Place(),
    multiple=True,
    required=True,
    help="Where it may do it; may be repeated. '*' is everywhere.",
)
@click.option("--expires", type=Period(), metavar="PERIOD", help="How long it is valid, such as 12h or 30d.")
@with_session
def create(
    session: Session, *, name: str, scopes: tuple[str, ...], collections: tuple[str, ...], expires: float | None
) -> int:
    r"""Make a key and print it. It is shown this once: only a hash of it is kept.

    \b
    Example:
      KEY=$(opinion keys create website --scope query --collection handbook)
    """
    now = time.time()
    if not 1 <= len(name) <= 100:  # noqa: PLR2004 - as the schema has it
        raise click.UsageError("A key's name has 1 to 100 characters.")
    made = NewKey.make(
        name,
        scopes=cast("tuple[Scope, ...]", tuple(dict.fromkeys(scopes))),
        collections=tuple(dict.fromkeys(collections)),
        now=now,
        expires_at=None if expires is None else now + expires,
    )
    session.direct.parts.api_keys.create(made.key)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json({**_data(made.key), "token": made.token})
        return 0
    terminal.rows([[made.token]])
    terminal.done(f"Made key {made.key.id} ({name}): {_rights(made.key)}; {_validity(made.key)}")
    terminal.hint("keep it now, it is not shown again; send it as: Authorization: Bearer ...")
    return 0


@keys.command("list")
@with_session
def list_keys(session: Session) -> int:
    """List all keys, without their secrets."""
    found = session.direct.parts.api_keys.listed()
    terminal = session.terminal
    if terminal.as_json:
        terminal.json([_data(key) for key in found])
        return 0
    terminal.rows((key.id, key.name, _rights(key), _validity(key)) for key in found)
    if not found:
        terminal.neutral("No keys yet: a gateway on loopback needs none")
        terminal.hint("make one: opinion keys create NAME --scope query --collection COLLECTION")
    return 0


@keys.command()
@click.argument("key_id", metavar="ID")
@with_session
def revoke(session: Session, *, key_id: str) -> int:
    """Revoke a key by its id: within 5 seconds no gateway lets it in any more."""
    key = session.direct.parts.api_keys.revoke(key_id, at=time.time())
    if session.terminal.as_json:
        session.terminal.json(_data(key))
    else:
        session.terminal.done(f"Revoked key {key.id} ({key.name})")
    return 0


def _data(key: ApiKey) -> dict[str, Any]:
    data: dict[str, Any] = as_data(key)
    return {name: value for name, value in data.items() if name != "secret_hash"}


def _rights(key: ApiKey) -> str:
    return f"{', '.join(key.scopes)} in {', '.join(key.collections)}"


def _validity(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {moment(key.revoked_at)}"
    if key.expires_at is None:
        return "does not expire"
    return f"{'expired' if key.expires_at <= time.time() else 'expires'} {moment(key.expires_at)}"
