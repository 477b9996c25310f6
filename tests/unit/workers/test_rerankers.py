"""Rerankers by name: defined in the settings, opened for a worker, asked for by a query."""

import json
from pathlib import Path
from typing import Any

import pytest

from second_opinion.models import model_folder
from second_opinion.pipeline.guarded_reranker import GuardedReranker
from second_opinion.pipeline.submission import QueryDesk
from second_opinion.schemas.calibration import CalibrationKey, RerankerRecord
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint, QueryDefaults, QueryOverrides
from second_opinion.schemas.errors import InvalidRequest, ModelUnusable, UnknownReranker
from second_opinion.schemas.query import QueryRequest
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.breakers import MemoryBreaker, MemoryRateLimit
from second_opinion.testing.calibrations import MemoryCalibrations
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.ingest import memory_stores
from second_opinion.testing.jobs import MemoryJobs
from second_opinion.testing.models import WordReranker
from second_opinion.testing.queue import MemoryQueue
from second_opinion.workers.definitions import RerankerDefinition
from second_opinion.workers.rerankers import (
    OpenedReranker,
    SharedLimits,
    open_local_rerankers,
    open_reranker,
    open_rerankers,
)
from second_opinion.workers.settings import Settings

FAR = {"kind": "http", "model": "some/model", "options": {"url": "http://127.0.0.1:9/rerank", "scale": "logit"}}
FINGERPRINT = IndexFingerprint(embedding_model="m", embedding_revision="1", dims=64, chunker="c")


def settings_with(tmp_path: Path, **more: Any) -> Settings:
    return Settings(state_dir=tmp_path, **more)


def opened(definition: dict[str, Any], tmp_path: Path) -> OpenedReranker:
    """Open one reranker without any server."""
    clock = ManualClock()
    return open_reranker(
        "far",
        RerankerDefinition.model_validate(definition),
        settings_with(tmp_path),
        SharedLimits(MemoryBreaker(clock=clock), MemoryRateLimit(clock=clock)),
    )


def test_without_settings_the_bundled_one_is_served(tmp_path: Path) -> None:
    """It has the name `bundled`, and the calibration that came with it."""
    settings = settings_with(tmp_path, model_threads=1)
    assert settings.served_rerankers() == ["bundled"]
    (found,) = open_rerankers(settings)
    assert (found.name, found.is_remote, found.calibration.source) == ("bundled", False, CalibrationSource.SHIPPED)
    record = found.record(at=1.0)
    assert (record.name, record.storage_id) == ("bundled", f"bundled:{record.key.reranker}")
    assert len(record.canaries) > 0


def test_a_gateway_opens_what_runs_beside_it_alone(tmp_path: Path) -> None:
    """Of the rerankers that workers serve, those on ONNX Runtime, in their order; without one the bundled."""
    local = {"kind": "onnx", "model": str(model_folder("bundled", "reranker")), "options": {"threads": 1}}
    rerankers = json.dumps({"far": FAR, "mine": local})

    def names(**choices: str) -> list[str]:
        opened = open_local_rerankers(settings_with(tmp_path, rerankers=rerankers, model_threads=1, **choices))
        for one in opened:
            assert one.calibration.source is CalibrationSource.SHIPPED
            one.close()
        return [one.name for one in opened]

    assert names() == ["bundled"]
    assert names(reranker="far") == ["bundled"]
    assert names(reranker="far", reranker_fallbacks="mine") == ["mine"]
    assert names(reranker="mine", reranker_fallbacks="far,bundled") == ["mine", "bundled"]


@pytest.mark.parametrize("form", ["text", "json", "toml"])
def test_definitions_come_as_text_or_file(tmp_path: Path, form: str) -> None:
    """JSON in the variable itself, or a file of either format."""
    setting = json.dumps({"far": FAR})
    if form == "json":
        (tmp_path / "r.json").write_text(setting)
        setting = str(tmp_path / "r.json")
    if form == "toml":
        text = '[far]\nkind = "http"\nmodel = "some/model"\n[far.options]\nurl = "http://127.0.0.1:9/rerank"\n'
        (tmp_path / "r.toml").write_text(f'{text}scale = "logit"\n')
        setting = str(tmp_path / "r.toml")
    settings = settings_with(tmp_path, rerankers=setting, reranker="far", reranker_fallbacks=" bundled, far ")
    assert settings.reranker_definitions()["far"] == RerankerDefinition.model_validate(FAR)
    assert settings.served_rerankers() == ["far", "bundled"]
    assert settings.query_defaults().reranker is None


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("{", "cannot be read"),
        ("/nowhere/rerankers.toml", "cannot be read"),
        ('{"Far": {"kind": "http", "model": "m"}}', "Far"),
        ('{"far": {"kind": "magic", "model": "m"}}', "far.kind"),
        ('{"far": {"kind": "http", "model": "m", "api_key": "k-123"}}', "far.api_key"),
    ],
)
def test_broken_definitions_are_named(tmp_path: Path, setting: str, told: str) -> None:
    """The sentence names the field, and never what was in it."""
    with pytest.raises(InvalidRequest, match=told) as caught:
        settings_with(tmp_path, rerankers=setting).reranker_definitions()
    assert "k-123" not in caught.value.message


def test_a_name_that_is_not_defined_cannot_be_served(tmp_path: Path) -> None:
    """The worker does not start, and says which are known."""
    with pytest.raises(InvalidRequest, match=r"no reranker is called near \(known: bundled\)"):
        settings_with(tmp_path, reranker_fallbacks="near").served_rerankers()


def test_a_provider_is_guarded_and_not_asked_at_the_start(tmp_path: Path) -> None:
    """Opening sends nothing; without a file it is uncalibrated; its record has no known pairs, which would cost."""
    found = opened(FAR, tmp_path)
    assert isinstance(found.reranker, GuardedReranker)
    assert (found.is_remote, found.calibration.source) == (True, CalibrationSource.NONE)
    record = found.record(at=1.0)
    assert (record.name, record.key.model, record.canaries) == ("far", "some/model", ())


def test_the_key_is_read_from_the_variable_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in no settings and in no sentence; a variable that is missing is an error that names none."""
    monkeypatch.setenv("FAR_KEY", "k-123")
    found = opened({**FAR, "secret": "FAR_KEY"}, tmp_path)
    assert "k-123" not in repr(found)
    with pytest.raises(InvalidRequest, match="names an environment variable that is not set") as caught:
        opened({**FAR, "secret": "k-456"}, tmp_path)
    assert "k-456" not in str(caught.value.info())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "http://127.0.0.1:9/rerank", "scale": "stars"}, "scale"),
        ({"url": "http://127.0.0.1:9/rerank", "scale": "logit", "retry": 3}, "no option retry"),
        ({"url": "http://127.0.0.1:9/rerank", "scale": "logit", "policy": {"timeout": "soon"}}, "policy.timeout"),
        ({"scale": "logit"}, "url"),
    ],
)
def test_options_that_a_kind_does_not_take(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    """A misspelt option is not silently lost."""
    with pytest.raises(InvalidRequest, match=told):
        opened({**FAR, "options": options}, tmp_path)


def test_a_calibration_of_another_model_is_refused(tmp_path: Path) -> None:
    """Nobody's curve is borrowed: the file has to belong to the very reranker that names it."""
    other = model_folder("bundled", "reranker") / "calibration.json"
    with pytest.raises(ModelUnusable):
        opened({**FAR, "calibration": str(other)}, tmp_path)


def a_desk(store: MemoryCalibrations) -> tuple[QueryDesk, MemoryCollections]:
    clock = ManualClock()
    stores = memory_stores(FINGERPRINT, clock=clock)
    stores.collections.ensure(DEFAULT_COLLECTION)
    desk = QueryDesk(
        collections=stores.collections,
        jobs=MemoryJobs(clock=clock),
        queue=MemoryQueue(),
        ids=stores.ids,
        clock=clock,
        defaults=QueryDefaults(),
        rerankers=store,
    )
    assert isinstance(stores.collections, MemoryCollections)
    return desk, stores.collections


def test_a_name_that_nobody_serves_is_told_at_once() -> None:
    """The query is not accepted, and the hint names those that are served; a collection's own choice counts too."""
    store = MemoryCalibrations()
    desk, collections = a_desk(store)
    with pytest.raises(UnknownReranker, match="serves far") as caught:
        desk.submit(QueryRequest(text="how many?", reranker="far"))
    assert "opinion worker" in caught.value.hint
    key = CalibrationKey.of(WordReranker().spec)
    for name in ("bundled", "far"):
        store.publish(RerankerRecord(name=name, key=key, canaries=(), published_at=1.0))
    assert desk.submit(QueryRequest(text="how many?", reranker="far,bundled")).query.choices.reranker == "far,bundled"
    with pytest.raises(UnknownReranker, match="serves near") as caught:
        desk.submit(QueryRequest(text="how many?", reranker="far,near"))
    assert caught.value.hint == "Name one of: bundled, far."
    collections.override(DEFAULT_COLLECTION, QueryOverrides(reranker="near"))
    with pytest.raises(UnknownReranker, match="serves near"):
        desk.submit(QueryRequest(text="how many?"))
