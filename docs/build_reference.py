"""Writes the pages of `docs/reference` that are made from the code: `python docs/build_reference.py`.

A test compares them with what is committed, so that they cannot fall behind.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, SecretStr

from second_opinion.gateway.cli.program import program
from second_opinion.gateway.http.problems import status_of
from second_opinion.schemas.document import DeletionInput, DocumentInput
from second_opinion.schemas.errors import ErrorInfo, OpinionError
from second_opinion.schemas.messages import (
    AcceptDocuments,
    ExtractDocument,
    IndexDocuments,
    RemakeDocuments,
    RerankCandidates,
    RunQuery,
    SubmitQuery,
)
from second_opinion.schemas.query import QueryRequest
from second_opinion.workers import routing
from second_opinion.workers.settings import Settings

REFERENCE = Path(__file__).parent / "reference"
MADE = "<!-- Made by docs/build_reference.py; change the code it is made from instead. -->\n"
MESSAGES: dict[str, type[BaseModel] | None] = {
    routing.ACCEPT: AcceptDocuments,
    routing.SUBMIT_QUERY: SubmitQuery,
    routing.EXTRACT: ExtractDocument,
    routing.INDEX: IndexDocuments,
    routing.REMAKE: RemakeDocuments,
    routing.RETRIEVE: RunQuery,
    routing.RERANK: RerankCandidates,
    routing.RECONCILE: None,
    routing.SWEEP: None,
}


def settings_page() -> str:
    """Return the table of settings."""
    lines = [
        MADE,
        "# Settings\n",
        "Every setting is an environment variable. Where no server is named, those of the local stack are used.\n",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = "by the user" if field.default_factory else _shown(field.default)
        lines.append(f"| `OPINION_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if default is None:
        return "unset"
    return f"`{default.get_secret_value() if isinstance(default, SecretStr) else default}`"


def tasks_page() -> str:
    """Return queues, task names and payloads."""
    lines = [
        MADE,
        "# Tasks\n",
        "Each task takes one argument, a JSON object. Callers send the first two; the system sends the others.\n",
        "| task | queue | argument |",
        "| --- | --- | --- |",
    ]
    for task, queue in routing.QUEUE_OF_TASK.items():
        model = MESSAGES[task]
        lines.append(f"| `{task}` | `{queue}` | {model.__name__ if model else 'none'} |")
    models = [model for model in MESSAGES.values() if model]
    for model in (*models, DocumentInput, DeletionInput, QueryRequest):
        schema = json.dumps(_compact(model.model_json_schema()), indent=1)
        lines.append(f"\n## {model.__name__}\n\n{_first_line(model)}\n\n```json\n{schema}\n```")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Return every error code."""
    lines = [
        MADE,
        "# Errors\n",
        "An error is a code for programs, a sentence for people, and a hint. As data it has these fields: "
        + ", ".join(f"`{name}`" for name in ErrorInfo.model_fields)
        + ". After a transient one the same call may succeed. HTTP is the status with which the gateway answers.\n",
        "| code | HTTP | transient | meaning | hint |",
        "| --- | --- | --- | --- | --- |",
    ]
    public = [error for error in _family(OpinionError) if not error.__name__.startswith("_")]
    for error in sorted(public, key=lambda kind: (not kind.transient, kind.code)):
        transient = "yes" if error.transient else ""
        lines.append(
            f"| `{error.code}` | {status_of(error)} | {transient} | {_first_line(error)} | {error.default_hint} |"
        )
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the help of every command."""
    codes = "Exit codes: 0 done or answered, 3 refused, 4 failed, 5 unjudged, 2 wrong usage, 130 interrupted."
    lines = [MADE, "# Commands\n", f"What `opinion COMMAND --help` prints. {codes}\n"]
    lines += [
        f"{'#' * depth} {path}\n\n```text\n{text}\n```\n" for depth, path, text in _helps(program, "opinion", None, 2)
    ]
    return "\n".join(lines)


def _helps(
    command: click.Command, path: str, parent: click.Context | None, depth: int
) -> Iterator[tuple[int, str, str]]:
    ctx = command.context_class(
        command, **command.context_settings, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=100
    )
    text = "\n".join(line.rstrip() for line in command.get_help(ctx).splitlines())
    yield depth, path, text
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            if found is not None:
                yield from _helps(found, f"{path} {name}", ctx, 3 if parent is not None else 2)


def _family(root: type[OpinionError]) -> set[type[OpinionError]]:
    return {member for child in root.__subclasses__() for member in {child, *_family(child)}}


def _first_line(described: type) -> str:
    return (described.__doc__ or "").strip().splitlines()[0]


def _compact(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _compact(value) for key, value in schema.items() if key not in {"title", "description"}}
    return [_compact(item) for item in schema] if isinstance(schema, list) else schema


PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "tasks.md": tasks_page,
    "errors.md": errors_page,
}

if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
