"""The bi-encoder that the settings name: what it is, known without loading it, and the model itself."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from second_opinion.models import model_folder
from second_opinion.schemas.errors import InvalidRequest, ModelUnusable
from second_opinion.workers.definitions import EmbedderDefinition
from second_opinion.workers.settings import Settings

if TYPE_CHECKING:
    from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
    from second_opinion.pipeline.adapters.torch_embedder import TorchEmbedder

_HINT: Final = "Correct the options of the bi-encoder in OPINION_EMBEDDER."


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What vectors are made by: id, revision, and how long they are."""

    model: str
    revision: str
    dims: int


def embedder_identity(settings: Settings) -> EmbedderIdentity:
    """Return what the bi-encoder is. Callers need it as well, so that no model is loaded for it.

    Raises:
        InvalidRequest: If `OPINION_EMBEDDER` cannot be read.
        ModelUnusable: If the folder of an exported one is not whole.
    """
    definition = settings.embedder_definition()
    if definition is not None:
        return EmbedderIdentity(_name(definition), definition.revision, definition.dims)
    from second_opinion.pipeline.adapters.onnx_model import read_manifest

    manifest = read_manifest(model_folder(settings.embedder_model, "embedder"), "embedder")
    return EmbedderIdentity(manifest.model, manifest.revision, manifest.dims or 0)


def open_embedder(settings: Settings) -> "OnnxEmbedder | TorchEmbedder":
    """Load the bi-encoder.

    Raises:
        InvalidRequest: If its options are not those of its kind.
        ModelUnusable: If it cannot be used, or is not the one that the settings declare.
        ExtraMissing: If it needs a part of the package that is not installed.
    """
    definition = settings.embedder_definition()
    if definition is None:
        from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder

        return OnnxEmbedder.open(settings.embedder_model, threads=settings.model_threads)
    return _sentence_transformers(definition)


def _sentence_transformers(definition: EmbedderDefinition) -> "TorchEmbedder":
    from second_opinion.pipeline.adapters.torch_embedder import TorchEmbedder, TorchEmbedderOptions

    given = {**definition.options, "model": definition.model, "dims": definition.dims}
    strange = sorted(set(given) - {field.name for field in fields(TorchEmbedderOptions)})
    if strange:
        raise InvalidRequest(f"OPINION_EMBEDDER has no option {', '.join(strange)}", hint=_HINT)
    try:
        options = TypeAdapter(TorchEmbedderOptions).validate_python(given)
    except ValidationError as problem:
        found = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in problem.errors()]
        raise InvalidRequest(f"OPINION_EMBEDDER: {'; '.join(found)}", hint=_HINT) from None
    embedder = TorchEmbedder.open(options)
    spec = embedder.spec
    if (spec.model, spec.revision) != (_name(definition), definition.revision):
        embedder.close()
        raise ModelUnusable(
            f"OPINION_EMBEDDER declares revision {definition.revision!r} of {_name(definition)}, and this is revision "
            f"{spec.revision!r} of {spec.model}",
            hint=f'Write revision = "{spec.revision}" in OPINION_EMBEDDER, the same for workers and callers.',
        )
    return embedder


def _name(definition: EmbedderDefinition) -> str:
    """Return the id, or the name of a folder, as the adapter names it; the folder need not be on this machine."""
    is_path = definition.model.startswith(("/", "./", "../", "~"))
    return Path(definition.model).name if is_path else definition.model
