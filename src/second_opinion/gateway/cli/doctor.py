"""`opinion doctor`: checks every part and says what to do."""

from collections import Counter
from contextlib import nullcontext

import click
from rich.text import Text

from second_opinion.gateway.cli.program import EXIT_FAILED
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import one_line, plural
from second_opinion.gateway.doctor import Finding, Level, examine
from second_opinion.workers.settings import load_settings

_ICONS = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.FAILED: ("✗", "red")}


@click.command()
@with_session
def doctor(session: Session) -> int:
    """Check every part and say what to do.

    Looks at settings, Elasticsearch, Redis, queues and their workers, collections, gateway and keys, models, disk and
    clock. The exit code is 0 when nothing has failed, else 4.
    """
    terminal = session.terminal
    found: list[Finding] = []
    with terminal.stderr.status("examining") if not terminal.quiet else nullcontext():
        for finding in examine(load_settings()):
            found.append(finding)
            if not terminal.as_json:
                _show(terminal, finding)
    counts = Counter(finding.level for finding in found)
    if terminal.as_json:
        terminal.json({"ok": not counts[Level.FAILED], "findings": found})
    elif counts[Level.FAILED]:
        terminal.failed(f"{counts[Level.FAILED]} of {plural(len(found), 'check')} failed")
    else:
        warned = f", {plural(counts[Level.WARNING], 'warning')}" if counts[Level.WARNING] else ""
        terminal.done(f"All well{warned}" if not warned else f"Working{warned}")
    return EXIT_FAILED if counts[Level.FAILED] else 0


def _show(terminal: Terminal, finding: Finding) -> None:
    if not terminal.interactive:
        terminal.rows([(finding.part, finding.level.value, finding.told, finding.hint)])
        return
    icon, colour = _ICONS[finding.level]
    lines = [Text.assemble("  ", (icon, colour), f" {finding.part:<22} ", one_line(finding.told))]
    if finding.hint:
        lines.append(Text.assemble(" " * 27, ("hint:", "cyan"), " ", one_line(finding.hint)))
    terminal.lines(lines)
