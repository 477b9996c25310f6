"""`opinion reindex`: a collection moves to another index, under load."""

import time
from typing import Final

import click

from second_opinion.gateway.cli.progress import WorkProgress
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.schemas.collection import ReindexAction, ReindexStatus

LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 60.0
FAILED: Final = 1


@click.command()
@click.argument("collection")
@click.option("--status", is_flag=True, help="Only say how it stands.")
@click.option("--switch", is_flag=True, help="Let queries read the new index now.")
@click.option("--rollback", is_flag=True, help="Let them read the former one again; nothing that came since is lost.")
@click.option("--finish", is_flag=True, help="Remove the former index: there is no way back from then on.")
@click.option("--abandon", is_flag=True, help="Give it up before the switch, and remove the new index.")
@click.option("--hold", is_flag=True, help="Begin, and do not switch without --switch.")
@click.option("--leave-behind", is_flag=True, help="With --switch: although some documents could not be made anew.")
@click.option("--no-wait", is_flag=True, help="Begin, and return at once.")
@with_session
def reindex(session: Session, *, collection: str, hold: bool, leave_behind: bool, no_wait: bool, **steps: bool) -> int:
    r"""Move a collection to another model, chunker or mapping, under load.

    \b
    The new index is made by the settings as they are now, from what was sent, beside the old one
    and under load; queries read the old one until the new one holds every document. Both are
    written until --finish, so that --rollback loses nothing. To interrupt the command stops
    nothing; given again it goes on watching.

    \b
    With another model or chunker, name the former one first, for all workers and the gateway:
      OPINION_CHUNK_TOKENS=120  OPINION_FORMER_INDEXING='{"chunk_tokens": 200}'

    \b
    Examples:
      opinion reindex team
      opinion reindex team --rollback
      opinion reindex team --finish
    """
    wanted = [name for name, is_wanted in steps.items() if is_wanted]
    if len(wanted) > 1:
        raise click.UsageError(f"Choose one of --{' and --'.join(wanted)}.")
    if leave_behind and wanted != ["switch"]:
        raise click.UsageError("--leave-behind goes with --switch.")
    if wanted == ["status"]:
        return _tell(session, session.client.reindex_status(collection))
    if wanted:
        action: ReindexAction = wanted[0]  # type: ignore[assignment] # the options have the names of the actions
        return _tell(session, session.client.reindex(collection, action, leave_behind=leave_behind))
    found = session.client.reindex(collection, hold=hold)
    return _tell(session, found if no_wait else _watched(session, found))


def _watched(session: Session, found: ReindexStatus) -> ReindexStatus:
    """Show how it gets on until nothing more happens by itself."""
    moved = time.monotonic()
    with WorkProgress(session.terminal, found.documents, f"reindexing {found.collection}") as progress:
        while not _is_settled(found):
            progress.show(f"reindexing {found.collection}", found.done, found.documents)
            time.sleep(LOOK_SECONDS)
            before, found = found, session.client.reindex_status(found.collection)
            if found != before:
                moved = time.monotonic()
            elif time.monotonic() - moved > PATIENCE_SECONDS:
                session.terminal.warn(f"nothing has moved for {PATIENCE_SECONDS:.0f} seconds")
                session.terminal.hint("opinion doctor says whether maintenance and index workers run")
                moved = float("inf")
    return found


def _is_settled(found: ReindexStatus) -> bool:
    return found.phase in {"switched", "none"} or (found.phase == "filled" and (found.held or found.failed > 0))


def _tell(session: Session, found: ReindexStatus) -> int:
    terminal = session.terminal
    code = FAILED if found.failed and found.phase == "filled" else 0
    if terminal.as_json:
        terminal.json(found)
        return code
    if found.phase == "none":
        terminal.done(f"{found.collection} reads {found.index}; no reindex goes on")
        return 0
    counts = f"{found.done:,} of {found.documents:,} documents are in {found.target}"
    if found.phase == "switched":
        terminal.done(f"{found.collection} reads {found.target} since the switch; both are written")
        terminal.hint(f"opinion reindex {found.collection} --finish, or --rollback")
        return 0
    terminal.rows(list(found.failures.items()))
    if found.failed:
        terminal.failed(f"{counts}; {found.failed:,} could not be made anew, so queries still read {found.source}")
        terminal.hint(f"opinion reindex {found.collection} tries them again; --switch --leave-behind goes without them")
        return code
    terminal.neutral(f"{counts}; queries read {found.source}")
    if found.phase == "filled":
        terminal.hint(f"opinion reindex {found.collection} --switch")
    return code
