"""What is wrong with a model folder is found at start and named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_kernel import kernel_class, runner_count, saturates
from second_opinion.pipeline.adapters.onnx_model import read_manifest, sha256_of
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.schemas.errors import ModelUnusable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled reranker that may be damaged."""
    copy = tmp_path / "copied-model"
    shutil.copytree(model_folder("bundled", "reranker"), copy)
    return copy


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    """Each of the three files is missed by name, with what to do."""
    (folder / name).unlink()
    with pytest.raises(ModelUnusable, match=name) as caught:
        OnnxReranker(folder, threads=1)
    assert "second_opinion.training.export" in caught.value.hint


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_one_wrong_byte_is_refused(folder: Path, name: str) -> None:
    """A model of which one byte differs from its manifest never scores."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelUnusable, match=f"{name} is not the one its manifest describes"):
        OnnxReranker(folder, threads=1)


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "reranker"}', "[1, 2]"])
def test_a_manifest_that_says_too_little_is_refused(folder: Path, text: str) -> None:
    """The error names the manifest and the field."""
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"manifest\.json is no model manifest"):
        OnnxReranker(folder, threads=1)


def test_a_file_of_the_right_hash_that_is_no_model_is_refused(folder: Path) -> None:
    """A manifest that was made for a broken file does not help it."""
    (folder / "model.onnx").write_bytes(b"\x08\x08broken")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["model_sha256"] = sha256_of(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"model\.onnx"):
        OnnxReranker(folder, threads=1)


def test_models_are_not_mistaken_for_each_other() -> None:
    """A bi-encoder's folder makes no reranker, and the other way round."""
    with pytest.raises(ModelUnusable, match="and not reranker"):
        OnnxReranker(model_folder("bundled", "embedder"), threads=1)
    with pytest.raises(ModelUnusable, match="and not embedder"):
        OnnxEmbedder(model_folder("bundled", "reranker"), threads=1)


@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_the_bundled_models_are_whole(kind: str) -> None:
    """What is shipped is what its manifest describes, has a card, and is small enough to be bundled."""
    folder = model_folder("bundled", "reranker" if kind == "reranker" else "embedder")
    manifest = read_manifest(folder, "reranker" if kind == "reranker" else "embedder")
    assert manifest.licence
    assert (folder / "README.md").exists()
    assert (folder / "model.onnx").stat().st_size < 60e6


def test_neither_torch_nor_transformers_is_loaded() -> None:
    """Scoring and embedding need ONNX Runtime and the Rust tokenizers alone."""
    program = """
import sys
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
OnnxReranker.open(threads=1).score("a question", ["a passage"])
OnnxEmbedder.open(threads=1).embed_query("a question")
print(sorted({"torch", "transformers", "sentence_transformers", "onnx"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: avx avx2 avx512bw avx512_vnni avx_vnni", "avx512-vnni"),
        ("flags\t\t: avx avx2 avx512bw avx512_vnni amx_tile amx_int8", "amx-int8"),
        ("flags\t\t: avx avx2 avx_vnni", "avx-vnni"),
        ("flags\t\t: avx avx2 avx512f avx512bw", "avx512"),
        ("flags\t\t: avx avx2 fma", "avx2"),
        ("Features\t: fp asimd asimddp i8mm", "neon-i8mm"),
        ("Features\t: fp asimd asimddp", "neon-dotprod"),
    ],
)
def test_the_kernel_class_is_the_strongest_that_the_processor_has(flags: str, expected: str) -> None:
    """/proc/cpuinfo of x86 and ARM machines names the class of integer kernels."""
    assert kernel_class(f"processor\t: 0\n{flags}\n") == expected


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [("avx512-vnni", False), ("avx-vnni", False), ("avx512", True), ("avx2", True), ("x86_64", True), ("arm64", False)],
)
def test_what_has_no_vnni_saturates(kernel: str, expected: bool) -> None:
    """Processors of the x86 family without VNNI do, and those of which nothing more is known."""
    assert saturates(kernel) is expected


def test_runners_are_as_many_as_asked_or_one_a_core() -> None:
    """A number is taken at its word; 0 is at least one and at most one a core."""
    assert runner_count(3) == 3
    assert runner_count(0) >= 1
