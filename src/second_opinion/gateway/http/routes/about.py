"""What this system is, for whoever may ask."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from second_opinion import __version__
from second_opinion.gateway.http.access import Principal, principal_of
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import shown
from second_opinion.gateway.http.preferences import LONGEST_WAIT
from second_opinion.schemas.access import SCOPES, Scope
from second_opinion.schemas.calibration import RerankerRecord

router = APIRouter(prefix="/v1", tags=["about"])


class KeyView(BaseModel):
    """The key of this request: `local` where none was needed."""

    id: str = Field(examples=["5f0c2a1b9d3e4f60"])
    name: str = Field(examples=["support page"])
    scopes: list[Scope]
    collections: list[str] = Field(description="`*` is every collection.", examples=[["handbook"]])


class Limits(BaseModel):
    """What the gateway takes."""

    max_body_bytes: int
    requests_per_minute: int = Field(description="0 is without limit.")
    longest_wait_seconds: int


class About(BaseModel):
    """Versions, models and limits.

    Attributes:
        reranker: Name of the model that judges; null while no rerank worker has said what it serves.
        calibration: Id of its calibration; null without one.
    """

    version: str
    reranker: str | None
    calibration: str | None
    embedder: str
    floor: float
    key: KeyView
    limits: Limits


EXAMPLE: Final = About(
    version=__version__,
    reranker="bundled",
    calibration="shipped-c3",
    embedder="all-MiniLM-L6-v2",
    floor=0.4,
    key=KeyView(id="5f0c2a1b9d3e4f60", name="website", scopes=["query"], collections=["handbook"]),
    limits=Limits(max_body_bytes=10_000_000, requests_per_minute=600, longest_wait_seconds=60),
)


@router.get(
    "/about",
    summary="Version, models, and what this key may do",
    responses={200: shown(About, "What answers here.", about=EXAMPLE)},
)
async def about(
    held: Annotated[Gateway, Depends(gateway_held)], principal: Annotated[Principal, Depends(principal_of)]
) -> About:
    """Say what answers here, and what the key of this request may do."""
    served = await held.run(held.parts.calibrations.rerankers)
    first: RerankerRecord | None = served[0] if served else None
    settings = held.settings
    return About(
        version=__version__,
        reranker=None if first is None else first.name or first.key.model,
        calibration=None if first is None or first.calibration is None else first.calibration.id,
        embedder=held.parts.stores.collections.fingerprint().embedding_model,
        floor=settings.floor,
        key=KeyView(
            id=principal.id,
            name=principal.name,
            scopes=[scope for scope in SCOPES if principal.may(scope)],
            collections=sorted(principal.collections),
        ),
        limits=Limits(
            max_body_bytes=settings.gateway_max_body_bytes,
            requests_per_minute=settings.gateway_requests_per_minute,
            longest_wait_seconds=int(LONGEST_WAIT),
        ),
    )
