"""What a worker refuses to start with."""

from pathlib import Path

import pytest

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_model import read_manifest
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.workers.bootstrap import index_parts
from second_opinion.workers.settings import Settings


def test_chunks_beyond_the_bi_encoders_window_are_refused(tmp_path: Path) -> None:
    """The largest chunk that is read whole is taken; one token more is refused with the number that is possible."""
    most = read_manifest(model_folder("bundled", "embedder"), "embedder").max_tokens - 2
    index_parts(Settings(state_dir=tmp_path, chunk_tokens=most, model_threads=1))
    with pytest.raises(InvalidRequest, match=f"reads {most} tokens") as caught:
        index_parts(Settings(state_dir=tmp_path, chunk_tokens=most + 1, model_threads=1))
    assert f"OPINION_CHUNK_TOKENS to {most} or less" in caught.value.hint
