"""`opinion collections`: sets of documents with choices of their own."""

from pathlib import Path
from typing import Any

import click

from second_opinion.gateway.calibration import CalibrationDesk
from second_opinion.gateway.cli import query_options
from second_opinion.gateway.cli.rendering.records import choices_text, moment
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import as_data
from second_opinion.pipeline.calibration import load_artefact
from second_opinion.schemas.collection import CollectionRecord


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out summaries, hints and progress; never errors.")
@click.pass_context
def collections(ctx: click.Context, /, **_options: bool) -> Any:
    r"""List, set up or delete collections.

    \b
    Examples:
      opinion collections
      opinion collections show team
      opinion collections set team --floor 0.5 --top-k 5
      opinion collections delete team --yes
    """
    return ctx.invoke(list_collections) if ctx.invoked_subcommand is None else None


@collections.command("list")
@with_session
def list_collections(session: Session) -> int:
    """List all collections and the choices each has of its own."""
    found = session.client.collections()
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
        return 0
    terminal.rows((one.name, choices_text(one)) for one in found)
    if not found:
        terminal.neutral("No collections yet")
        terminal.hint("opinion ingest PATH makes the first one")
    return 0


@collections.command()
@click.argument("name")
@with_session
def show(session: Session, *, name: str) -> int:
    """Show a collection: its index, its own choices, its metadata fields."""
    return _show(session, session.client.collection(name))


@collections.command("set")
@click.argument("name")
@click.option("--floor", type=click.FloatRange(0.0, 1.0), help="Relevance below which nothing is shown.")
@query_options.top_k
@query_options.candidates
@query_options.chunks_per_document
@click.option("--bm25-weight", type=click.FloatRange(0.0, 100.0), help="Weight of the BM25 list in fusion.")
@click.option("--knn-weight", type=click.FloatRange(0.0, 100.0), help="Weight of the kNN list in fusion.")
@query_options.reranker
@query_options.on_unavailable
@click.option("--calibration", metavar="FILE|none", help="A calibration of its own from a file; none goes without.")
@click.option("--reset", is_flag=True, help="Forget the choices made before.")
@with_session
def set_collection(session: Session, *, name: str, calibration: str | None, reset: bool, **choices: Any) -> int:
    """Set how queries to a collection are answered when they do not say; what is not named stays.

    A collection that is not there is made.
    """
    said = {key: value for key, value in choices.items() if value is not None}
    if not said and not reset and calibration is None:
        raise click.UsageError("Name at least one choice, or --reset.")
    artefact = load_artefact(Path(calibration)) if calibration not in {None, "none"} and calibration else None
    if calibration is not None and not said and not reset:
        return _show(session, CalibrationDesk(session.direct).give(name, artefact))
    known = {one.name: one for one in session.client.collections()}
    before = {} if reset or name not in known else _own(known[name])
    found = session.client.set_collection(name, **{**before, **said})
    if calibration is not None:
        found = CalibrationDesk(session.direct).give(name, artefact)
    return _show(session, found)


@collections.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_session
def delete(session: Session, *, name: str, yes: bool) -> int:
    """Delete a collection with all its documents, traces, judgements and calibrations."""
    session.client.collection(name)
    if not yes:
        click.confirm(
            f"Delete the collection {name} with all its documents, traces and judgements?", abort=True, err=True
        )
    session.client.delete_collection(name)
    if session.terminal.as_json:
        session.terminal.json({"deleted": name})
    else:
        session.terminal.done(f"Deleted {name}")
    return 0


def _own(collection: CollectionRecord) -> dict[str, Any]:
    return collection.overrides.model_dump(exclude_none=True, exclude={"schema_version"})


def _show(session: Session, found: CollectionRecord) -> int:
    types = session.client.field_types(found.name)
    if session.terminal.as_json:
        session.terminal.json({**as_data(found), "fields": types})
        return 0
    fields = " ".join(f"{name}:{kind}" for name, kind in types.items())
    facts = [
        ("name", found.name),
        ("index", found.index),
        ("choices", choices_text(found)),
        ("calibration", found.calibration or "the model's"),
        ("fields", fields),
        ("created", moment(found.created_at)),
    ]
    session.terminal.rows(facts)
    return 0
