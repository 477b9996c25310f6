"""What past queries say of a floor: how relevance is spread, what another floor would do, and which one to take."""

import math
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from second_opinion.gateway.evidence import EXAMPLES, FLOORS
from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.examples import REPLAY, REPORT, SUGGESTION, shown
from second_opinion.gateway.http.preferences import answer
from second_opinion.gateway.http.problems import answers
from second_opinion.gateway.http.routes.traces import OneCollection, one_collection
from second_opinion.schemas.errors import InvalidRequest
from second_opinion.schemas.floor_choice import FloorGoal, FloorReplay, FloorReport, FloorSuggestion

MOST_FLOORS: Final = 101
MOST_EXAMPLES: Final = 100

router = APIRouter(prefix="/v1/floor", tags=["evidence"])

Held = Annotated[Gateway, Depends(gateway_held)]
Reader = Annotated[Principal, Depends(require("query"))]


@router.get(
    "/report",
    summary="How relevance is spread over past queries, and what floors would do",
    response_model=FloorReport,
    responses={200: shown(FloorReport, "Of the newest scorer's traces.", report=REPORT), **answers(404, 409)},
)
async def report(
    request: Request,
    held: Held,
    principal: Reader,
    collection: OneCollection = None,
    floors: Annotated[
        str | None,
        Query(description="Floors from 0 to 1, separated by commas; the one in force is added.", examples=["0.3,0.5"]),
    ] = None,
) -> Response:
    """Return what floors would have done with past queries, with precision where enough is judged."""
    within, chosen = one_collection(principal, collection), FLOORS if floors is None else _floors(floors)
    return answer(request, await held.run(held.client.evidence.report, within, floors=chosen))


@router.get(
    "/replay",
    summary="What past queries would have answered at a floor",
    response_model=FloorReplay,
    responses={200: shown(FloorReplay, "Counts and the newest examples.", replay=REPLAY), **answers(404, 409)},
)
async def replay(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Reader,
    floor: Annotated[float, Query(ge=0.0, le=1.0, allow_inf_nan=False)],
    collection: OneCollection = None,
    examples: Annotated[int, Query(ge=0, le=MOST_EXAMPLES, description="Questions of each kind.")] = EXAMPLES,
) -> Response:
    """Replay past queries at a floor, each by its own other choices."""
    within = one_collection(principal, collection)
    return answer(request, await held.run(held.client.evidence.replay, floor, within, examples=examples))


@router.get(
    "/suggest",
    summary="A floor for a goal",
    response_model=FloorSuggestion,
    responses={
        200: shown(FloorSuggestion, "A floor, or the honest answer that there is none.", found=SUGGESTION),
        **answers(404, 409),
    },
)
async def suggest(  # noqa: PLR0913, PLR0917 - each a part of the request
    request: Request,
    held: Held,
    principal: Reader,
    goal: Annotated[FloorGoal, Query(description="What the floor is for.")],
    value: Annotated[
        float | None, Query(ge=0.0, le=1.0, allow_inf_nan=False, description="The least that is wanted of it.")
    ] = None,
    collection: OneCollection = None,
) -> Response:
    """Suggest a floor from judged candidates."""
    within = one_collection(principal, collection)
    return answer(request, await held.run(held.client.evidence.suggest, goal, value, within))


def _floors(given: str) -> list[float]:
    try:
        floors = [float(one) for one in given.split(",") if one.strip()]
    except ValueError:
        floors = [math.nan]
    if not floors or len(floors) > MOST_FLOORS or not all(0.0 <= floor <= 1.0 for floor in floors):
        raise InvalidRequest(
            f"floors: {given[:80]!r} are not up to {MOST_FLOORS} numbers from 0 to 1",
            hint="For example: floors=0.3,0.5",
        )
    return floors
