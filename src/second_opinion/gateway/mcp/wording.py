"""What the tools answer in words, for a model to read and for a person to check."""

from collections.abc import Iterator
from typing import Final

from second_opinion.gateway.cli.rendering.answer import relevance_text
from second_opinion.gateway.mcp.answers import (
    CitedPassage,
    CollectionList,
    DocumentAnswer,
    DocumentList,
    ReceiptAnswer,
    SearchAnswer,
    WhyAnswer,
)
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.verdict import Outcome

_REFUSED: Final = (
    "The documents of this collection do not answer the question. This is the answer of the search, not a fault: say"
    " so, rather than answering from memory as if it had been found."
)
_UNJUDGED: Final = "Nobody judged these passages: they are in the order of retrieval, and may well be beside the point."


def search_text(answer: SearchAnswer) -> str:
    """Return the passages with their citations, or the refusal with the best relevance."""
    lines = [f"{answer.outcome.value.capitalize()}: {answer.sentence}"]
    lines += [_REFUSED] if answer.outcome is Outcome.REFUSED else []
    lines += [_UNJUDGED] if answer.outcome is Outcome.UNJUDGED else []
    lines += [f"Note: {note}" for note in answer.notes]
    for number, passage in enumerate(answer.passages, start=1):
        lines += ["", *_passage(number, passage, answer.floor)]
    return "\n".join([*lines, "", f"trace {answer.trace_id} in collection {answer.collection}"])


def _passage(number: int, passage: CitedPassage, floor: float) -> Iterator[str]:
    place = " › ".join(part for part in (passage.title, passage.section) if part)
    relevance = "not judged" if passage.relevance is None else f"relevance {relevance_text(passage.relevance, floor)}"
    yield f"[{number}] {relevance} · {passage.source} · characters {passage.start}-{passage.end}"
    if place and place != passage.source:
        yield f"    {place}"
    yield passage.text.strip()


def why_text(answer: WhyAnswer) -> str:
    """Return what became of a document."""
    lines = [f"{answer.document_id}: {answer.fate.value.replace('_', ' ')}. {answer.sentence}"]
    for one in answer.passages:
        relevance = relevance_text(one.relevance, answer.floor)
        lines.append(f"  rank {one.rank}, relevance {relevance}, {one.decision.value}: {one.chunk_id}")
    lines += ["The document has changed since the question was answered."] if answer.changed_since else []
    lines += [f"Hint: {answer.hint}"] if answer.hint else []
    return "\n".join(lines)


def document_text(answer: DocumentAnswer) -> str:
    """Return what is known of a document, on one line."""
    seen = "the newest version" if answer.current else "an older version" if answer.searchable else "nothing"
    title = f" ({answer.title})" if answer.title and answer.title != answer.document_id else ""
    error = f"; {error_text(answer.error)}" if answer.error else ""
    return f"{answer.document_id}{title}: {answer.state.value}, searches see {seen}, {answer.chunks} passages{error}"


def documents_text(answer: DocumentList) -> str:
    """Return a line for each document."""
    if not answer.documents:
        return f"There are no such documents in collection {answer.collection}."
    more = [f"There are more: after={answer.next!r}"] if answer.next is not None else []
    return "\n".join([*map(document_text, answer.documents), *more])


def collections_text(answer: CollectionList) -> str:
    """Return a line for each collection."""
    if not answer.collections:
        return "There are no collections yet: none has a document."
    lines = []
    for one in answer.collections:
        choices = ", ".join(f"{name} {value}" for name, value in one.choices.items())
        fields = ", ".join(f"{name} ({kind})" for name, kind in one.fields.items())
        lines.append(f"{one.name}: {choices or 'no choices of its own'}; fields to filter on: {fields or 'none'}")
    return "\n".join(lines)


def receipt_text(answer: ReceiptAnswer) -> str:
    """Return what became of what was sent."""
    seen = "; searches see it now" if answer.searchable else ""
    pending = "; it is being worked on, ask document_status" if answer.state and not answer.searchable else ""
    return f"{answer.document_id} in {answer.collection}: {answer.outcome.value}{seen}{pending}"


def error_text(error: ErrorInfo) -> str:
    """Return an error: its code, what happened, what to do, and whether trying again helps."""
    wait = f" in {error.retry_after:g} seconds" if error.retry_after else ""
    again = f" Trying again{wait} may help." if error.transient else ""
    hint = f" Hint: {error.hint}" if error.hint else ""
    return f"{error.code}: {error.message.rstrip('.')}.{again}{hint}"
