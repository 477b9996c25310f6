"""A group of commands whose modules are imported only when one of them runs, so that `--help` answers at once."""

import difflib
import gc
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is and its line in the list.

    Attributes:
        target: `module:attribute` of the click command.
        summary: What the list of commands says; the command's own help begins with the same sentence.
        section: Heading it is listed under.
    """

    target: str
    summary: str
    section: str

    def load(self) -> click.Command:
        """Import the command."""
        module, attribute = self.target.split(":")
        with _importing():
            command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no click command")
        _keep_examples(command)
        return command


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads each when it is called.

    Args:
        lazy: The commands by name, in the order of the list.
        name: Name of the group.
        attrs: What click takes for a group.
    """

    def __init__(self, *, lazy: Mapping[str, LazyCommand], name: str | None = None, **attrs: object) -> None:
        super().__init__(name=name, **attrs)  # type: ignore[arg-type]
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's form
        """Return the names in the order of the list."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now if it was not."""
        if cmd_name in self.lazy:
            return self.lazy[cmd_name].load()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest names."""
        name = args[0]
        if name not in self.lazy and name not in self.commands and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=2)
            meant = f"Did you mean: {' or '.join(near)}?" if near else f"List the commands: {ctx.command_path} --help"
            raise click.UsageError(f"There is no command {name!r}.\n{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands by section, without importing any."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.lazy.items():
            sections.setdefault(command.section, []).append((name, command.summary))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


@contextmanager
def _importing() -> Iterator[None]:
    """Look for no garbage meanwhile: what imports make stays, and looking through it costs a tenth of a start."""
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looked:
            gc.enable()


def _keep_examples(command: click.Command) -> None:
    """Mark paragraphs that must not be wrapped: a backspace to click, two letters in a raw docstring."""
    command.help = (command.help or "").replace(r"\b", "\b")
    for member in command.commands.values() if isinstance(command, click.Group) else ():
        _keep_examples(member)
