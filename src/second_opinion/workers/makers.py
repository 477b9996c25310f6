"""What indices are made with under these settings, and what they were made with before."""

from typing import TYPE_CHECKING

from second_opinion.pipeline.chunking import SectionChunker, chunker_name
from second_opinion.pipeline.ingest.makers import Maker
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.workers.embedders import EmbedderIdentity, embedder_identity, open_embedder
from second_opinion.workers.settings import Settings

if TYPE_CHECKING:
    from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
    from second_opinion.pipeline.adapters.torch_embedder import TorchEmbedder


def fingerprint(settings: Settings) -> IndexFingerprint:
    """Return what indices are made with under these settings; no model is loaded for it."""
    made_by = embedder_identity(settings)
    return IndexFingerprint(
        embedding_model=made_by.model,
        embedding_revision=made_by.revision,
        dims=made_by.dims,
        chunker=chunker_name(settings.chunk_tokens, settings.chunk_overlap),
    )


def formers(settings: Settings) -> list[Settings]:
    """Return under which settings indices were made before, unless they are what these are."""
    former = settings.former()
    return [former] if former is not None and fingerprint(former) != fingerprint(settings) else []


def open_embedders(settings: Settings) -> "dict[IndexFingerprint, OnnxEmbedder | TorchEmbedder]":
    """Load the bi-encoders by what indices are, and were, made with; one that made both is loaded once.

    Raises:
        ModelUnusable: If one cannot be used.
    """
    loaded: dict[EmbedderIdentity, OnnxEmbedder | TorchEmbedder] = {}
    found: dict[IndexFingerprint, OnnxEmbedder | TorchEmbedder] = {}
    for one in (settings, *formers(settings)):
        identity = embedder_identity(one)
        if identity not in loaded:
            loaded[identity] = open_embedder(one)
        found[fingerprint(one)] = loaded[identity]
    return found


def open_makers(settings: Settings) -> dict[IndexFingerprint, Maker]:
    """Load what makes chunks, now and before, by what is made.

    Raises:
        InvalidRequest: If chunks would be longer than what the bi-encoder reads.
        ModelUnusable: If a bi-encoder cannot be used.
    """
    embedders = open_embedders(settings)
    makers: dict[IndexFingerprint, Maker] = {}
    for one in (settings, *formers(settings)):
        embedder = embedders[fingerprint(one)]
        require_chunks_fit(one.chunk_tokens, embedder.tokenizer.room, embedder.spec.model)
        tokenizer = embedder.tokenizer.rust
        chunker = SectionChunker(tokenizer, max_tokens=one.chunk_tokens, overlap=one.chunk_overlap)
        makers[fingerprint(one)] = Maker(chunker, embedder)
    return makers


def require_chunks_fit(chunk_tokens: int, room: int, model: str) -> None:
    """Refuse chunks that the bi-encoder would not read to their end.

    Raises:
        InvalidRequest: If a chunk may have more tokens than the model reads.
    """
    if chunk_tokens > room:
        raise InvalidRequest(
            f"OPINION_CHUNK_TOKENS is {chunk_tokens}, but {model} reads {room} tokens, so the ends were lost",
            hint=f"Set OPINION_CHUNK_TOKENS to {room} or less, or use a bi-encoder that reads more.",
        )
