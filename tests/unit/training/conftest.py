"""A data set and a network so small that a training step takes milliseconds."""

import json
from pathlib import Path
from shutil import copyfile

import pytest

pytest.importorskip("torch", reason="training needs the `training` extra")
pytest.importorskip("bm25s", reason="training needs the `training` extra")

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, BertModel

from second_opinion.models import model_folder
from second_opinion.pipeline.evaluation.slices import Slice
from second_opinion.training.checkpoints import write_model
from second_opinion.training.network import Reranker, Shape
from second_opinion.training.preparation import Plan, Preparation

TINY = Shape(vocabulary=400, width=32, layers=2, heads=4, inner=48, positions=64)
THINGS = ["kettle", "ladder", "lantern", "bicycle", "anchor", "compass", "hammer", "mirror", "needle", "pillow"]
PLACES = ["attic", "cellar", "garden", "harbour", "kitchen", "library", "market", "station", "tower", "workshop"]
TOKENIZER = model_folder("bundled", "embedder") / "tokenizer.json"
VOCABULARY = 30_522
PAIRS = [
    ("ibuprofen dosage for children", "Ibuprofen for children\nFive to ten milligrams for each kilogram."),
    ("ibuprofen dosage for children", "Bicycle tubes\nHold the tube under water."),
    ("how long does it take", "word " * 120),
    ("why", ""),
]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Whole words as pieces, the special ones where BERT has them."""
    words = ["the", "is", "in", "where", "was", "moved", "last", "year", ".", "?", *THINGS, *PLACES]
    known = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102}
    known |= {word: 200 + place for place, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(known, "[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.fixture
def network() -> Reranker:
    """A tiny network with seeded weights."""
    torch.manual_seed(7)
    return Reranker(TINY)


@pytest.fixture
def bi_encoder(tmp_path: Path) -> Path:
    """Seeded weights of a tiny BERT, stored as Hugging Face stores them."""
    chance = torch.Generator().manual_seed(11)
    wide, inner = TINY.width, TINY.inner
    tables = {"word": TINY.vocabulary, "position": TINY.positions, "token_type": 2}
    stored = {
        f"embeddings.{name}_embeddings.weight": torch.randn(rows, wide, generator=chance)
        for name, rows in tables.items()
    }
    sizes = {"embeddings.LayerNorm": (wide,)}
    for number in range(TINY.layers):
        layer = f"encoder.layer.{number}"
        sizes |= {f"{layer}.attention.self.{name}": (wide, wide) for name in ("query", "key", "value")}
        sizes |= {f"{layer}.attention.output.dense": (wide, wide), f"{layer}.attention.output.LayerNorm": (wide,)}
        sizes |= {f"{layer}.intermediate.dense": (inner, wide), f"{layer}.output.dense": (wide, inner)}
        sizes |= {f"{layer}.output.LayerNorm": (wide,)}
    for name, size in sizes.items():
        stored[f"{name}.weight"] = torch.randn(size, generator=chance) * 0.1 + float(len(size) == 1)
        stored[f"{name}.bias"] = torch.randn(size[0], generator=chance) * 0.1
    save_file(stored, str(tmp_path / "bi-encoder.safetensors"))
    return tmp_path / "bi-encoder.safetensors"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of this package's training, every part of which matters."""
    torch.manual_seed(7)
    network = Reranker(Shape(vocabulary=VOCABULARY, width=48, layers=2, heads=4, inner=96, positions=512))
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    folder = tmp_path_factory.mktemp("own")
    write_model(network, TOKENIZER, folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT cross-encoder in Hugging Face's layout."""
    torch.manual_seed(8)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    config = BertConfig(vocab_size=VOCABULARY, num_labels=1, initializer_range=0.2, **sizes)
    folder = tmp_path_factory.mktemp("bert")
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}', encoding="utf-8")
    return folder


@pytest.fixture
def exported_bert(bi_encoder: Path, tmp_path: Path) -> bytes:
    """The same tiny BERT as PyTorch exports it to ONNX."""
    config = BertConfig(
        vocab_size=TINY.vocabulary,
        hidden_size=TINY.width,
        num_hidden_layers=TINY.layers,
        num_attention_heads=TINY.heads,
        intermediate_size=TINY.inner,
        max_position_embeddings=TINY.positions,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    model.load_state_dict(load_file(str(bi_encoder)))
    path = tmp_path / "exported.onnx"
    torch.onnx.export(_Traceable(model), torch.tensor([[101, 200, 201, 102]]), path, opset_version=17, dynamo=False)
    return path.read_bytes()


@pytest.fixture
def guide_folder(bi_encoder: Path, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """The tiny bi-encoder as a guide that wants a word before each query."""
    home = tmp_path / "guide"
    home.mkdir()
    copyfile(bi_encoder, home / "model.safetensors")
    tokenizer.save(str(home / "tokenizer.json"))
    (home / "guide.json").write_text('{"pooling": "first", "query": "where is", "passage": ""}', encoding="utf-8")
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of a hundred passages and as many questions, a fifth of them `dev`."""
    home = tmp_path / "things"
    home.mkdir()
    pairs = [(thing, place) for thing in THINGS for place in PLACES]
    corpus = [
        {"id": f"d{n}", "title": thing, "text": f"The {thing} is in the {place}."}
        for n, (thing, place) in enumerate(pairs)
    ]
    queries = [
        {
            "id": f"q{n}",
            "text": f"Where is the {thing}, in the {place}?",
            "answerable": n % 7 > 0,
            "split": "dev" if n % 5 == 0 else "train",
        }
        for n, (thing, place) in enumerate(pairs)
    ]
    grades = [f"q{n}\td{n}\t1" for n in range(len(pairs)) if n % 7 > 0]
    sources = [f"q{n}\td{n}\t1" for n in range(len(pairs)) if n % 7 == 0]
    write_lines(home / "corpus.jsonl", [json.dumps(one) for one in corpus])
    write_lines(home / "queries.jsonl", [json.dumps(one) for one in queries])
    write_lines(home / "qrels.tsv", grades)
    write_lines(home / "topical.tsv", sources)
    return home


@pytest.fixture
def prepared(folder: Path, network: Reranker, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """The data set, prepared."""
    plan = Plan(dict.fromkeys(Slice, 1_000), tmp_path / "cache")
    preparation = Preparation(network, tokenizer, plan)
    preparation.add(folder)
    preparation.save(tmp_path / "prepared")
    return tmp_path / "prepared"


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one line each."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class _Traceable(torch.nn.Module):
    """A BERT under the names of its parts; the whole model's forward cannot be traced."""

    def __init__(self, model: BertModel) -> None:
        super().__init__()
        self.embeddings, self.encoder = model.embeddings, model.encoder

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.encoder(self.embeddings(ids))[0]
        return states
