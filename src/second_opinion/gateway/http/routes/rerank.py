"""Reranking in other APIs' words: programs written for Cohere, or for Text Embeddings Inference, work as they are."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request

from second_opinion.gateway.http import cohere_contract, tei_contract
from second_opinion.gateway.http.access import Principal, require
from second_opinion.gateway.http.cohere_contract import CohereAnswer, CohereProblem, CohereRequest
from second_opinion.gateway.http.context import Gateway, gateway_held
from second_opinion.gateway.http.presence import while_there
from second_opinion.gateway.http.problems import FORMS, TITLES
from second_opinion.gateway.http.request_id import request_id_of
from second_opinion.gateway.http.tei_contract import TeiProblem, TeiRank, TeiRequest

router = APIRouter(tags=["rerank"])

VERSION: Final = "2"
_COHERE_STATUSES: Final = (400, 401, 403, 404, 413, 421, 422, 429, 500, 503, 504)
_TEI_STATUSES: Final = (400, 401, 403, 404, 413, 421, 422, 424, 429, 500, 503, 504)
FORMS.update(
    {"/v2/rerank": cohere_contract.problem, "/v1/rerank": cohere_contract.problem, "/rerank": tei_contract.problem}
)


def _answers(
    kind: type[CohereProblem] | type[TeiProblem], statuses: tuple[int, ...]
) -> dict[int | str, dict[str, Any]]:
    return {one: {"model": kind, "description": TITLES.get(one, "The model failed")} for one in statuses}


@router.post(
    "/v2/rerank",
    summary="Put documents in order, as Cohere's rerank does",
    response_model_exclude_none=True,
    responses=_answers(CohereProblem, _COHERE_STATUSES),
)
@router.post(
    "/v1/rerank",
    summary="The same, for programs that know only this path",
    response_model_exclude_none=True,
    responses=_answers(CohereProblem, _COHERE_STATUSES),
)
async def rerank(
    asked: CohereRequest,
    request: Request,
    held: Annotated[Gateway, Depends(gateway_held)],
    _principal: Annotated[Principal, Depends(require("query"))],
) -> CohereAnswer:
    """Score each document by the question with the model of this gateway, and answer best first.

    `relevance_score` is calibrated. There is no floor here: choose a threshold, or ask `POST /v1/queries` instead.
    """
    work = while_there(request, held.rerank.rank(asked.question()))
    ranking = await held.until(work)
    return cohere_contract.answer(asked, ranking, request_id=request_id_of(request), version=VERSION)


@router.post(
    "/rerank",
    summary="Score texts, as Text Embeddings Inference does",
    response_model_exclude_none=True,
    responses=_answers(TeiProblem, _TEI_STATUSES),
)
async def rerank_texts(
    asked: TeiRequest,
    request: Request,
    held: Annotated[Gateway, Depends(gateway_held)],
    _principal: Annotated[Principal, Depends(require("query"))],
) -> list[TeiRank]:
    """Score each text by the question with the model of this gateway: its relevance, or its logit."""
    ranking = await held.until(while_there(request, held.rerank.rank(asked.question())))
    return tei_contract.answer(asked, ranking)
