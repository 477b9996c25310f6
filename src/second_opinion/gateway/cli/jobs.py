"""`opinion job`: query jobs after they were submitted."""

import click

from second_opinion.gateway.cli.program import EXIT_FAILED
from second_opinion.gateway.cli.query import show_result
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.schemas.job import Job, JobState


@click.group()
def job() -> None:
    r"""Look at, wait for or cancel a query job.

    JOB is the id that a query prints after `trace`.

    \b
    Examples:
      opinion job show 01JX4M2Q8Z --explain
      opinion job wait 01JX4M2Q8Z --timeout 10
      opinion job cancel 01JX4M2Q8Z
    """


explain_option = click.option("--explain", is_flag=True, help="Show every stage's numbers, and what was dropped.")
all_option = click.option("--all", "everything", is_flag=True, help="Show whole passages, and all that was dropped.")


@job.command()
@click.argument("job_id", metavar="JOB")
@explain_option
@all_option
@with_session
def show(session: Session, *, job_id: str, explain: bool, everything: bool) -> int:
    """Show a job as it is now, with its result if it has one.

    The exit code is 0 when it was answered or is not ended, 3 when it was refused, 4 when it failed.
    """
    found = session.client.result(job_id)
    return _show(session, found, explain=explain, everything=everything)


@job.command()
@click.argument("job_id", metavar="JOB")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait.")
@explain_option
@all_option
@with_session
def wait(session: Session, *, job_id: str, timeout: float, explain: bool, everything: bool) -> int:
    """Wait for a job to end and show its result.

    The exit code is 4 when it has not ended in time.
    """
    found = session.client.wait(job_id, timeout=timeout)
    code = _show(session, found, explain=explain, everything=everything)
    return code if found.is_terminal else EXIT_FAILED


@job.command()
@click.argument("job_id", metavar="JOB")
@with_session
def cancel(session: Session, *, job_id: str) -> int:
    """Cancel a job.

    One that has ended stays as it is, and the exit code is then 4.
    """
    found = session.client.cancel(job_id)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
    elif found.state is JobState.CANCELLED:
        terminal.done(f"Cancelled {job_id}")
    else:
        terminal.neutral(f"Not cancelled: {job_id} had ended before, {found.state.value}")
    return 0 if found.state is JobState.CANCELLED else EXIT_FAILED


def _show(session: Session, found: Job, *, explain: bool, everything: bool) -> int:
    if found.is_terminal:
        return show_result(session, found, explain=explain, everything=everything)
    if session.terminal.as_json:
        session.terminal.json(found)
    else:
        session.terminal.rows([(found.job_id, found.state.value, found.query.text)])
    return 0
