"""Cross-encoders of Sentence Transformers: made here, tiny and untrained, so that every kind is at hand."""

import os
import shutil
from pathlib import Path

import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("sentence_transformers", reason="needs the torch extra")

import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from second_opinion.pipeline.adapters.onnx_model import sha256_of
from second_opinion.pipeline.adapters.torch_embedder import TorchEmbedder, TorchEmbedderOptions
from second_opinion.pipeline.adapters.torch_model import is_out_of_memory
from second_opinion.pipeline.adapters.torch_reranker import TorchReranker, TorchRerankerOptions
from second_opinion.schemas.errors import ModelUnusable, Overloaded, RerankUnavailable, TextUnreadable

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "child",
    "takes",
    "ibuprofen",
    "dose",
    "bicycle",
    "by",
    "weight",
]
PASSAGES = ["a child takes a dose", "bicycle", "dose by weight " * 20, "", "a dose", "child " * 200, "weight", "by"]
QUERY = "ibuprofen dose child"


def config(labels: int = 1) -> BertConfig:
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.4,
    )


def save(
    folder: Path, kind: type[BertModel | BertForSequenceClassification], labels: int = 1, window: int = 64
) -> Path:
    """Save a model with weights drawn once and for all."""
    torch.manual_seed(7)
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    kind(config(labels)).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=window).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder with one label."""
    return save(tmp_path_factory.mktemp("models") / "tiny-reranker", BertForSequenceClassification)


def opened(folder: Path | str, **more: object) -> TorchReranker:
    options = {"device": "cpu", "local_files_only": True, **more}
    return TorchReranker.open(TorchRerankerOptions(model=str(folder), **options))  # type: ignore[arg-type]


def test_scores_are_the_models_logits(folder: Path) -> None:
    """What the network itself computes for the pair, before any activation."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    with torch.inference_mode():
        logits = [
            model(**tokenizer([(QUERY, passage)], truncation=True, return_tensors="pt")).logits.item()
            for passage in PASSAGES
        ]
    assert max(logits) - min(logits) > 0.5
    assert opened(folder).score(QUERY, PASSAGES) == pytest.approx(logits, abs=1e-5)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_a_pair_scores_alike_in_any_batch(folder: Path, size: int) -> None:
    """In fp32, company changes a score by less than a thousandth; in batches of one, by nothing."""
    alone = opened(folder)
    expected = [alone.score(QUERY, [passage])[0] for passage in PASSAGES]
    assert alone.score(QUERY, PASSAGES) == expected
    batched = opened(folder, batch_size=size)
    assert batched.score(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-3)
    assert batched.score(QUERY, PASSAGES[::-1])[::-1] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_is_declared(folder: Path, dtype: str) -> None:
    """The spec says so, because scores differ, and they stay finite and near those of fp32."""
    half = opened(folder, dtype=dtype)
    assert half.spec.dtype == dtype
    assert half.score(QUERY, PASSAGES) == pytest.approx(opened(folder).score(QUERY, PASSAGES), abs=0.3)


def test_the_spec_identifies_the_weights(folder: Path) -> None:
    """Name of the folder, hash of the file, length, versions and kind of device; a length can be set."""
    spec = opened(folder).spec
    digest = sha256_of(folder / "model.safetensors")
    assert (spec.model, spec.revision, spec.file_hash) == ("tiny-reranker", digest[:12], digest)
    assert (spec.backend, spec.dtype, spec.max_tokens, spec.scale) == ("sentence-transformers", "fp32", 64, "logit")
    assert spec.runtime.startswith(f"torch {torch.__version__}")
    assert spec.kernel == "cpu"
    assert opened(folder, max_length=16).spec.max_tokens == 16


def test_a_model_of_the_hub_is_known_by_its_commit(folder: Path, tmp_path: Path) -> None:
    """From the hub's own cache, without asking the hub: id, commit, and hash of the weights."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    kept = tmp_path / "models--acme--tiny"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit, encoding="utf-8")
    shutil.copytree(folder, kept / "snapshots" / commit)
    reranker = opened("acme/tiny", cache_folder=tmp_path)
    assert (reranker.spec.model, reranker.spec.revision) == ("acme/tiny", commit)
    assert reranker.spec.file_hash == sha256_of(folder / "model.safetensors")
    assert reranker.score(QUERY, PASSAGES) == opened(folder).score(QUERY, PASSAGES)


def test_several_labels_are_refused(tmp_path: Path) -> None:
    """A classifier is no reranker, and the error says how many numbers it gives."""
    with pytest.raises(ModelUnusable, match="gives 3 numbers for a pair"):
        opened(save(tmp_path / "classifier", BertForSequenceClassification, labels=3))


def test_a_bi_encoder_is_refused(tmp_path: Path) -> None:
    """It would be given a head of random numbers, and would rank by chance."""
    with pytest.raises(ModelUnusable, match="BertModel has no head"):
        opened(save(tmp_path / "encoder", BertModel))


def test_an_endless_tokenizer_does_not_hide_the_networks_length(tmp_path: Path) -> None:
    """Where the tokenizer names no limit, the network's positions are one."""
    endless = save(tmp_path / "endless", BertForSequenceClassification, window=10**30)
    assert opened(endless).spec.max_tokens == 64
    assert len(opened(endless).score(QUERY, PASSAGES)) == len(PASSAGES)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_broken_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    """What cannot be read is named with what to do."""
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / name).write_bytes(b"{")
    with pytest.raises(ModelUnusable, match="broken"):
        opened(broken)


@pytest.mark.parametrize("model", ["/no/such/folder", "acme/never-fetched"])
def test_a_missing_model_is_refused(model: str, tmp_path: Path) -> None:
    """Neither a folder nor in the cache."""
    with pytest.raises(ModelUnusable, match="cannot be loaded") as caught:
        opened(model, cache_folder=tmp_path)
    assert "hub" in caught.value.hint


@pytest.mark.parametrize("device", ["a toaster", "cuda:99"])
def test_a_missing_device_is_refused(folder: Path, device: str) -> None:
    """A model is never put quietly on another device than the one that was asked for."""
    with pytest.raises(ModelUnusable, match=device):
        opened(folder, device=device)


def test_weights_that_do_not_compute_are_refused(folder: Path, tmp_path: Path) -> None:
    """A model whose scores are not finite is found at start."""
    broken = tmp_path / "not-finite"
    shutil.copytree(folder, broken)
    model = BertForSequenceClassification.from_pretrained(folder)
    torch.nn.init.constant_(model.classifier.weight, float("nan"))
    model.save_pretrained(broken)
    with pytest.raises(ModelUnusable, match="does not compute"):
        opened(broken)


def test_the_time_ends_the_reading(folder: Path) -> None:
    """Passages are read in their order, batch by batch, until the time is over; the rest has no score."""
    reranker = opened(folder, batch_size=2)
    whole = reranker.score(QUERY, PASSAGES)
    looks = iter([False, False, True])
    partly = reranker.score_in_time(QUERY, PASSAGES, is_over=lambda: next(looks))
    assert partly[:4] == pytest.approx(whole[:4], abs=1e-3)
    assert partly[4:] == [None] * 4
    assert reranker.score_in_time(QUERY, PASSAGES, is_over=lambda: True) == [None] * 8
    assert reranker.score_in_time(QUERY, PASSAGES, is_over=lambda: False) == pytest.approx(whole, abs=1e-3)


def test_a_closed_model_is_unavailable(folder: Path, tmp_path: Path) -> None:
    """After closing, a call is told to come back."""
    reranker = opened(folder)
    reranker.close()
    with pytest.raises(RerankUnavailable):
        reranker.score(QUERY, PASSAGES)
    embedder = TorchEmbedder.open(
        TorchEmbedderOptions(model=str(save(tmp_path / "e", BertModel)), device="cpu", local_files_only=True)
    )
    embedder.close()
    with pytest.raises(Overloaded):
        embedder.embed_query(QUERY)


def test_too_little_memory_is_recognised(folder: Path) -> None:
    """Torch's own error for memory that cannot be had is told apart from one about a text."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.float32)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    reranker = opened(folder)

    def exhausted(*_: object, **__: object) -> None:
        torch.empty(2**60, dtype=torch.float32)

    reranker._model.forward = exhausted
    with pytest.raises(RerankUnavailable, match="not enough memory"):
        reranker.score(QUERY, PASSAGES)


def test_a_text_that_breaks_the_model_is_named(folder: Path) -> None:
    """Another failure than memory belongs to the text, and the next call is served."""
    reranker = opened(folder)

    def broken(*_: object, **__: object) -> None:
        torch.zeros(2) @ torch.zeros(3)

    reranker._model.forward = broken
    with pytest.raises(TextUnreadable, match="fails on this text"):
        reranker.score(QUERY, PASSAGES)
    del reranker._model.forward
    assert len(reranker.score(QUERY, PASSAGES)) == len(PASSAGES)


@pytest.mark.parametrize("hurried", [False, True])
def test_of_a_batch_only_the_broken_text_fails(folder: Path, hurried: bool) -> None:
    """Each of the batch is read alone then; the error stands in place of one logit, and the others have theirs."""
    reranker = opened(folder, batch_size=4)
    expected = reranker.score(QUERY, PASSAGES)
    as_ever, bicycle = reranker._model.forward, WORDS.index("bicycle")

    def fragile(features: dict[str, torch.Tensor], **more: object) -> object:
        if (features["input_ids"] == bicycle).any():
            torch.zeros(2) @ torch.zeros(3)
        return as_ever(features, **more)

    reranker._model.forward = fragile
    found = reranker.score_in_time(QUERY, PASSAGES, is_over=(lambda: False) if hurried else None)
    broken = PASSAGES.index("bicycle")
    assert isinstance(found[broken], TextUnreadable)
    others = [score for place, score in enumerate(found) if place != broken]
    assert others == pytest.approx([score for place, score in enumerate(expected) if place != broken], abs=1e-3)


def test_a_query_beyond_the_window_is_told(folder: Path, tmp_path: Path) -> None:
    """Of a pair the longer text is cut, so half of the window is sure to be the query's; an embedder has it whole."""
    reranker = opened(folder)
    sure = (64 - 3) // 2
    assert reranker.query_cut("dose " * sure) is None
    assert reranker.query_cut("dose " * (sure + 1)) == sure
    prompted = embedder(save(tmp_path / "plain", BertModel), query_prompt="a child ")
    assert prompted.query_cut("dose " * 60) is None
    assert prompted.query_cut("dose " * 61) == 62


def embedder(folder: Path, **more: object) -> TorchEmbedder:
    options = {"device": "cpu", "local_files_only": True, **more}
    return TorchEmbedder.open(TorchEmbedderOptions(model=str(folder), **options))  # type: ignore[arg-type]


def test_prompts_and_dims_are_taken_from_the_model(tmp_path: Path) -> None:
    """Saved prompts go before queries and passages and are part of the revision; so are those that are set."""
    start, plain, prompted = save(tmp_path / "start", BertModel), tmp_path / "plain", tmp_path / "prompted"
    prompts = {"query": "a child takes ", "document": "bicycle "}
    SentenceTransformer(str(start), device="cpu").save(str(plain))
    SentenceTransformer(str(start), device="cpu", prompts=prompts).save(str(prompted))
    bare = embedder(plain)
    by_model = embedder(prompted)
    by_hand = embedder(plain, query_prompt="a child takes ", passage_prompt="bicycle ")
    assert bare.spec.dims == 32
    assert by_model.embed_query("dose") == pytest.approx(bare.embed_query("a child takes dose"), abs=1e-6)
    assert by_model.embed_passages(["dose"])[0] == pytest.approx(bare.embed_query("bicycle dose"), abs=1e-6)
    assert by_hand.embed_query("dose") == pytest.approx(by_model.embed_query("dose"), abs=1e-6)
    assert by_hand.spec.revision == by_model.spec.revision != bare.spec.revision
    assert embedder(prompted, query_prompt="", passage_prompt="").spec.revision == bare.spec.revision


def test_vectors_can_be_cut_to_their_first_numbers(tmp_path: Path) -> None:
    """Matryoshka: the beginning of the whole vector, made as long as one again; more than there is, is refused."""
    folder = save(tmp_path / "plain", BertModel)
    whole, cut = embedder(folder), embedder(folder, dims=8)
    assert cut.spec.dims == 8
    beginning = whole.embed_query("dose")[:8]
    assert cut.embed_query("dose") == pytest.approx(beginning / (beginning @ beginning) ** 0.5, abs=1e-6)
    with pytest.raises(ModelUnusable, match="vectors of 32 numbers, not 33"):
        embedder(folder, dims=33)


def test_the_tokenizer_counts_as_the_model_does(tmp_path: Path) -> None:
    """A chunker can measure with it; the model's own one, which pads and cuts, is left as it is."""
    one = embedder(save(tmp_path / "plain", BertModel))
    assert one.tokenizer.count("a child takes ibuprofen " * 50) == 200
    assert one.spec.max_tokens == one.tokenizer.max_tokens == 64
    assert one.embed_passages(["dose " * 500, "dose"]).shape == (2, 32)
