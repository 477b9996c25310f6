"""A whole training: from data sets to a model folder that rerank workers load.

Each part leaves its result in the course's folder, and a part whose result is there is not done again:

    order.json    what the course is made of
    prepared/     texts, candidates and targets of every slice
    run/          the full checkpoint, written on the way
    figures.json  the start and the trained network on the `calibrate` slice
    whole/        the trained network
    model/        int8 model, tokenizer, manifest, calibration and model card
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from second_opinion.pipeline.adapters.onnx_model import CALIBRATION_FILE, MANIFEST_FILE
from second_opinion.pipeline.evaluation.slices import Slice
from second_opinion.schemas.base import Versioned
from second_opinion.schemas.errors import InvalidDataset, InvalidRequest
from second_opinion.training.card import model_card
from second_opinion.training.checkpoints import network_from, take_up, write_model
from second_opinion.training.comparison import compare
from second_opinion.training.encoder import from_bi_encoder
from second_opinion.training.measurement import network_scorer
from second_opinion.training.network import Reranker
from second_opinion.training.pool import Pool, Texts
from second_opinion.training.preparation import Plan, Preparation
from second_opinion.training.recipe import Recipe
from second_opinion.training.run import Progress, Run, train
from second_opinion.training.story import read_story, trained_on
from second_opinion.training.tokens import read_tokenizer

FEWEST_QUERIES: Final = 20
"""Training on fewer teaches the questions, not the task."""
CHECKPOINT: Final = "checkpoint.pt"
WHOLE_TOKENIZER: Final = "tokenizer.json"
CARD_FILE: Final = "README.md"
FIGURES_FILE: Final = "figures.json"
Told = Callable[[str, int, int], Any]
"""Hears what is being done, how much of it is done, and how much there is; 0 of 0 where nobody knows."""


class Order(Versioned):
    """What a course is made of; kept in its folder, so that going on with another one is noticed.

    Attributes:
        model: Id that manifests, results and traces will name.
        datasets: Folders in the normalised format.
        distractors: A corpus without queries that joins small corpora, or none.
        train_queries: Most training queries of a data set; a seeded sample.
        calibrate_queries: Most queries of a data set to compare and calibrate on.
        steps: Training steps.
        recipe: How to train.
    """

    model: str
    datasets: tuple[Path, ...]
    distractors: Path | None = None
    train_queries: int = 6_000
    calibrate_queries: int = 100
    steps: int
    recipe: Recipe

    def material(self) -> "Order":
        """Return the order without what may change on the way: how long to train, and how."""
        return self.model_copy(update={"steps": 0, "recipe": Recipe()})


@dataclass(frozen=True)
class Means:
    """What a course works with: the bi-encoder's folder, where to start, and the machine.

    Attributes:
        start: Small checkpoint to start from; None for the bi-encoder's own weights.
        device: `cpu` or `cuda`.
        lanes: CPU threads that share each step.
    """

    bi_encoder: Path
    start: Path | None = None
    device: str = "cpu"
    lanes: int = 1


class Course:
    """One training from beginning to end.

    Args:
        order: What to train on, and how.
        folder: Where everything is left.
        means: What to work with.
        told: Hears about progress.
    """

    def __init__(self, order: Order, folder: Path, means: Means, told: Told) -> None:
        self.folder = folder
        self._order = order
        self._means = means
        self._told = told

    @property
    def model(self) -> Path:
        """The folder that workers load."""
        return self.folder / "model"

    def run(self) -> dict[str, Any]:
        """Do what is left to be done; return the figures by data set.

        Raises:
            InvalidRequest: If the folder holds another course.
            InvalidDataset: If a data set cannot be read, or has too few queries to train on.
        """
        self._claim()
        self._prepare()
        self._train()
        figures = self._compare()
        self._export(figures)
        return figures

    def _claim(self) -> None:
        place, order = self.folder / "order.json", self._order.model_dump_json(indent=2)
        if place.exists():
            kept = Order.model_validate_json(place.read_bytes())
            if kept.material() != self._order.material():
                raise InvalidRequest(
                    f"{self.folder} holds another training than this one",
                    hint=f"Choose another --into, or remove the folder. What it was made of: {place}",
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        place.write_text(order + "\n", encoding="utf-8")

    def _prepare(self) -> None:
        prepared, order = self.folder / "prepared", self._order
        if (prepared / f"{Slice.MEASURE}.npz").exists():
            return
        limits = {Slice.TRAIN: order.train_queries, Slice.CALIBRATE: order.calibrate_queries, Slice.MEASURE: 0}
        preparation = Preparation(
            from_bi_encoder(self._bi_encoder_weights),
            read_tokenizer(self._means.bi_encoder / WHOLE_TOKENIZER),
            Plan(limits, prepared / "cache", order.distractors, self._means.device),
        )
        for number, dataset in enumerate(order.datasets):
            self._told(f"mining candidates in {dataset.name}", number, len(order.datasets))
            preparation.add(dataset)
        preparation.save(prepared)

    def _train(self) -> None:
        pool, texts = self._pool(Slice.TRAIN), self._texts()
        if len(pool) < FEWEST_QUERIES:
            raise InvalidDataset(
                f"only {len(pool)} queries may train; {FEWEST_QUERIES} are needed",
                hint="Queries train when their split is `train`; judge more candidates, or add data sets",
            )
        if self._means.lanes > 1:
            torch.set_num_threads(1)
        checkpoint = self.folder / "run" / CHECKPOINT
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self._order.recipe.seed)
        training = Run(self._start(), pool, texts, self._order.recipe, self._means.device, self._means.lanes)
        steps = self._order.steps
        if checkpoint.exists():
            training.restore(checkpoint)
        elif self._means.start is None:
            self._told("fitting the reading of the evidence", 0, 0)
            training.warm_up(texts)

        def tell(progress: Progress) -> None:
            self._told(f"training, loss {progress.loss:.3f}", progress.step, steps)

        if training.progress.step < steps:
            for outdated in (self.folder / FIGURES_FILE, self.model / CARD_FILE):
                outdated.unlink(missing_ok=True)
        self._told("training", training.progress.step, steps)
        train(training, steps, checkpoint, max(1, min(100, steps // 20)), tell)

    def _compare(self) -> dict[str, Any]:
        """Return nDCG@10 of the fused order, the start and the trained network on queries that training never saw."""
        place = self.folder / FIGURES_FILE
        if place.exists():
            found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
            return found
        self._told("comparing with the start", 0, 0)
        trained, _ = network_from(self.folder / "run" / CHECKPOINT)
        networks = {"start": self._start().eval(), "trained": trained}
        device = self._means.device
        scorers = {name: network_scorer(one.to(device), device) for name, one in networks.items()}
        figures = compare(scorers, self._pool(Slice.CALIBRATE), self._texts(), depth=20)
        place.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        return figures

    def _export(self, figures: dict[str, Any]) -> None:
        from second_opinion.training import export as exporting  # noqa: PLC0415 - it needs onnx, only in the end
        from second_opinion.training.calibrate import CalibrationData, calibrate  # noqa: PLC0415
        from second_opinion.training.measured_pairs import pairs_to_measure  # noqa: PLC0415
        from second_opinion.training.onnx_encoder import Recipe as Quantisation  # noqa: PLC0415
        from second_opinion.training.sources import read_source  # noqa: PLC0415

        if (self.model / CARD_FILE).exists():
            return
        self._told("exporting", 0, 0)
        trained, story = network_from(self.folder / "run" / CHECKPOINT)
        pool = self._pool(Slice.TRAIN)
        story["training_queries"] = {name: len(pool.of_set(name)) for name in pool.names}
        story["trained_on"] = trained_on(story, read_story(self._means.start) if self._means.start else {})
        whole = self.folder / "whole"
        write_model(trained, self._means.bi_encoder / WHOLE_TOKENIZER, whole, story)
        label = exporting.Label(self._order.model, "trained by opinion train", trained_on=story["trained_on"])
        pairs = pairs_to_measure(self._order.datasets)
        exporting.export(read_source(whole), self.model, label, Quantisation(looks_again=True), pairs)
        self._told("calibrating", 0, 0)
        data = CalibrationData(
            self._order.datasets[0].parent,
            tuple(str(one) for one in self._order.datasets),
            limit=self._order.calibrate_queries,
            cache=self.folder / "prepared" / "chunks",
        )
        calibrate(self.model, data)
        card = model_card(self.model / MANIFEST_FILE, self.model / CALIBRATION_FILE, story, figures)
        (self.model / CARD_FILE).write_text(card, encoding="utf-8")

    def _start(self) -> Reranker:
        weights = self._bi_encoder_weights
        return take_up(self._means.start, weights) if self._means.start else from_bi_encoder(weights)

    @property
    def _bi_encoder_weights(self) -> Path:
        return self._means.bi_encoder / "model.safetensors"

    def _texts(self) -> Texts:
        return Texts.load(self.folder / "prepared" / "texts.npz")

    def _pool(self, part: Slice) -> Pool:
        return Pool.load(self.folder / "prepared", part)


def decayed(recipe: Recipe, steps: int) -> Recipe:
    """Return the recipe with rates that fall over the last third of `steps`, where it does not say otherwise."""
    if recipe.decay_from is not None:
        return recipe
    return recipe.model_copy(update={"decay_from": 2 * steps // 3, "decay_to": steps})
