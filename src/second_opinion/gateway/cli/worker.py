"""`opinion worker`: one worker process of a role."""

from typing import cast

import click

from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.workers.main import run
from second_opinion.workers.routing import ROLES, Role


@click.command()
@click.option("--role", type=click.Choice(list(ROLES)), required=True, help="Which queue it serves.")
@click.option("--concurrency", type=click.IntRange(1, 256), help="Threads or processes. Default: by role and settings.")
@with_session
def worker(_session: Session, *, role: str, concurrency: int | None) -> None:
    r"""Run one worker of a role.

    It runs until it is stopped (SIGTERM finishes what is begun). Start a role twice to share its load; `opinion up`
    runs one of each.

    \b
    Examples:
      opinion worker --role rerank
      opinion worker --role index --concurrency 4
    """
    run(cast("Role", role), concurrency=concurrency)
