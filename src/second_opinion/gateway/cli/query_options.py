"""Options by which queries are answered: the same for a query, a collection and an evaluation."""

from typing import Final

import click

top_k: Final = click.option("--top-k", type=click.IntRange(1, 100), help="The most passages to keep.")
candidates: Final = click.option(
    "--candidates", type=click.IntRange(1, 1_000), help="How many candidates the reranker reads."
)
chunks_per_document: Final = click.option(
    "--chunks-per-document", type=click.IntRange(1, 1_000), help="The most passages of one document."
)
reranker: Final = click.option(
    "--reranker", metavar="NAME[,NAME]", help="Which reranker is asked, and which when it is not to be had."
)
on_unavailable: Final = click.option(
    "--on-unavailable",
    type=click.Choice(["fail", "wait", "fused"]),
    help="Without any reranker: fail, wait for one, or show what retrieval found, unjudged.",
)
