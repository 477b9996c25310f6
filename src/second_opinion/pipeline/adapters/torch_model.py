"""What both Sentence Transformers adapters share: options, loading, what the weights are, and running on torch.

One batch runs at a time: torch spreads it over all cores by itself, and a tokenizer of Transformers must not be used by
two threads at once.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from second_opinion.pipeline.adapters.onnx_model import sha256_of
from second_opinion.pipeline.ports import Guard
from second_opinion.schemas.errors import ExtraMissing, ModelUnusable

try:
    import sentence_transformers
    import torch
    from huggingface_hub import snapshot_download
    from transformers.utils import logging as transformers_logging
except ImportError as problem:
    raise ExtraMissing.of("torch", "sentence-transformers") from problem

Dtype = Literal["fp32", "fp16", "bf16"]
ModelT = TypeVar("ModelT", bound=torch.nn.Module)
DTYPES: Final[dict[str, torch.dtype]] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
MAX_CHARACTERS: Final = 32_768
"""What is behind this many characters is not even tokenised: far beyond any window, and it bounds time and memory."""
MAX_TOKENS: Final = 32_768
GPU_BATCH: Final = 32
_WEIGHTS: Final = ("*.safetensors", "*.bin")
_LOCK_SECONDS: Final = 0.02
_HINT: Final = "Name a model of the Hugging Face hub, or a folder that Sentence Transformers has saved one to."


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchOptions:
    """How to load a model.

    Attributes:
        model: Id on the Hugging Face hub, or a folder.
        revision: Branch, tag or commit of the id.
        device: `cpu`, `cuda` or one of several such as `cuda:1`; `auto` takes a GPU where there is one.
        dtype: What weights and arithmetic are.
        max_length: Tokens that the model reads; what the model says when left out.
        batch_size: Texts that run at once; left out, 1 on a CPU, where that is as fast and no score depends on what
            runs beside it, and 32 on a GPU.
        cache_folder: Where models of the hub are kept.
        local_files_only: Never ask the hub.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: Dtype = "fp32"
    max_length: int | None = None
    batch_size: int | None = None
    cache_folder: Path | None = None
    local_files_only: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """Which weights a model has.

    Attributes:
        model: The id, or the name of the folder.
        revision: The commit of an id, or the beginning of the hash.
        file_hash: SHA-256 of the weights; of the names and hashes of the files where there are several.
    """

    model: str
    revision: str
    file_hash: str


def load(options: TorchOptions, kind: Callable[..., ModelT], **more: Any) -> tuple[ModelT, Weights]:
    """Load a model of Sentence Transformers in evaluation mode and identify its weights.

    Args:
        options: Which model, and how.
        kind: `CrossEncoder` or `SentenceTransformer`.
        more: Further arguments of it.

    Raises:
        ModelUnusable: If there is no such model, it cannot be read, or the device is not there.
    """
    device = _device(options)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    cache = str(options.cache_folder) if options.cache_folder else None
    try:
        model = kind(
            options.model,
            revision=options.revision,
            device=device,
            cache_folder=cache,
            local_files_only=options.local_files_only,
            model_kwargs={"dtype": DTYPES[options.dtype]},
            **more,
        )
        weights = _weights(options, cache)
    except ModelUnusable:
        raise
    except Exception as problem:  # three libraries and the hub raise what they like
        raise ModelUnusable(f"{options.model} cannot be loaded: {first_line(problem)}", hint=_HINT) from problem
    model.eval()
    return model, weights


def runtime() -> str:
    """Return the versions that compute."""
    return f"torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}"


def batch_size(options: TorchOptions, device: torch.device) -> int:
    """Return how many texts run at once."""
    return options.batch_size or (1 if device.type == "cpu" else GPU_BATCH)


def readable(text: str) -> str:
    """Return a text that tokenizers take: bounded, and every character a Unicode one."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def is_out_of_memory(problem: BaseException) -> bool:
    """Tell whether this is how torch says that memory is short, on a GPU or on the CPU."""
    if isinstance(problem, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(problem, RuntimeError) and "allocate memory" in str(problem)


def first_line(problem: BaseException) -> str:
    """Return the first line of what an exception says."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


class Turns:
    """Lets one batch run at a time; whoever waits goes on asking the guard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.closed = False

    @contextmanager
    def turn(self, guard: Guard) -> Iterator[None]:
        """Wait for a turn; the guard is called at least once."""
        guard()
        while not self._lock.acquire(timeout=_LOCK_SECONDS):
            guard()
        try:
            yield
        finally:
            self._lock.release()


def _device(options: TorchOptions) -> str:
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=options.device)
    except Exception as problem:
        raise ModelUnusable(
            f"the device {options.device!r} cannot be used: {first_line(problem)}", hint="Take cpu, cuda or auto."
        ) from problem
    return options.device


def _weights(options: TorchOptions, cache: str | None) -> Weights:
    folder = Path(options.model).expanduser()
    if folder.is_dir():
        found = _hash(folder)
        return Weights(folder.resolve().name, found[:12], found)
    # Loading has fetched it; its folder in the cache is named by the commit.
    snapshot = Path(snapshot_download(options.model, revision=options.revision, cache_dir=cache, local_files_only=True))
    return Weights(options.model, snapshot.name, _hash(snapshot))


def _hash(folder: Path) -> str:
    for pattern in _WEIGHTS:
        files = sorted(folder.rglob(pattern))
        if len(files) == 1:
            return sha256_of(files[0])
        if files:
            lines = [f"{file.relative_to(folder).as_posix()} {sha256_of(file)}\n" for file in files]
            return sha256("".join(lines).encode()).hexdigest()
    raise ModelUnusable(f"{folder} holds no weights ({', '.join(_WEIGHTS)})", hint=_HINT)
