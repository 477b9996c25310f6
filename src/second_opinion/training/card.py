"""The model card that goes with a trained reranker: what it was trained on, how, and what it does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from second_opinion.pipeline.calibration import load_artefact

CARD: Final = """\
# {model}, revision {revision}

A cross-encoder for reranking, made by `opinion train`. Rerank workers load it by `OPINION_RERANKER_MODEL=FOLDER`.

## Trained on
{sets}

Slices are drawn by document hash: queries and documents of the `calibrate` slice took no part in training, and no query
of a `dev` or `test` split was used at all. {step} steps, {pairs} pairs, seed {seed}, last loss {loss:.3f}. Recipe:

```json
{recipe}
```

## nDCG@10 on the `calibrate` slices, with the 95 % interval of the difference to the fused order

| set | queries | fused | start | trained |
| --- | --- | --- | --- | --- |
{rows}

## Calibration
Fitted on {fitted.pairs} pairs of {fitted.queries} queries, {fitted.relevant_pairs} of them relevant. On other data than
this its relevance is an ordered score until `opinion calibrate` has run there.
"""


def model_card(manifest: Path, calibration: Path, story: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        manifest: Of the exported model.
        calibration: Its calibration.
        story: Recipe, progress and training queries of the run.
        figures: What `compare` measured on the `calibrate` slices.
    """
    about = json.loads(manifest.read_text(encoding="utf-8"))
    fitted = load_artefact(calibration).fitted_on
    recipe, progress = story["recipe"], story["progress"]
    counts = story["training_queries"]
    sets = [f"- {name}: {count} queries of its `train` slice" for name, count in counts.items()]
    sets += [f"- {name}: by the checkpoint that it started from" for name in about["trained_on"] if name not in counts]
    return CARD.format(
        model=about["model"],
        revision=about["revision"],
        sets="\n".join(sets),
        recipe=json.dumps(recipe, sort_keys=True),
        rows="\n".join(_row(name, row) for name, row in figures.items()),
        fitted=fitted,
        seed=recipe["seed"],
        **progress,
    )


def _row(name: str, row: Mapping[str, Any]) -> str:
    return f"| {name} | {row['queries']} | {row['fused']:.3f} | {_cell(row['start'])} | {_cell(row['trained'])} |"


def _cell(measured: Mapping[str, Any]) -> str:
    low, high = measured["over_fused_interval"]
    return f"{measured['ndcg10']:.3f} ({low:+.3f} to {high:+.3f})"
