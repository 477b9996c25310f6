"""A provider of rerank scores with a real model behind it: the contracts of Cohere, of vLLM, and of TEI."""

import math
from typing import Any

from second_opinion.pipeline.ports import Reranker
from second_opinion.schemas.calibration import sigmoid
from tests.servers.web import Asked, Exchange, Site

KEY = "test-key-6b1f0c2ad9"
MODEL = "rerank-of-the-house"
TEI_LIMIT = 32
COHERE_LIMIT = 10_000


class RerankProvider(Site):
    """Serves a reranker of logits: `/v2/rerank` as Cohere, `/rerank` and `/v1/rerank` as vLLM, `/tei/rerank` as TEI."""

    def __init__(self, reranker: Reranker) -> None:
        super().__init__()
        self._reranker = reranker

    def answer(self, exchange: Exchange, asked: Asked) -> None:
        """Answer as the path's contract says."""
        served = {"/v2/rerank": self._cohere, "/rerank": self._vllm, "/v1/rerank": self._vllm, "/tei/rerank": self._tei}
        if asked.path not in served:
            exchange.send_json({"message": "no such path"}, 404)
            return
        status, body = served[asked.path](asked)
        exchange.send_json(body, status)

    def _cohere(self, asked: Asked) -> tuple[int, Any]:
        body = asked.body
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"message": "invalid api token"}
        if body["model"] != MODEL:
            return 404, {"message": f"model '{body['model']}' not found"}
        unknown = set(body) - {"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority"}
        if unknown:
            return 422, {"message": f"unknown fields {sorted(unknown)}"}
        if not 1 <= len(body["documents"]) <= COHERE_LIMIT:
            return 400, {"message": "invalid number of documents"}
        ranked = self._ranked(body["query"], body["documents"])
        return 200, {
            "id": "a-request",
            "results": [{"index": index, "relevance_score": sigmoid(logit)} for index, logit in ranked],
            "meta": {
                "api_version": {"version": "2"},
                "billed_units": {"search_units": math.ceil(len(body["documents"]) / 100)},
            },
        }

    def _vllm(self, asked: Asked) -> tuple[int, Any]:
        body = asked.body
        texts = body["documents"]
        ranked = self._ranked(body["query"], texts)
        return 200, {
            "id": "rerank-1",
            "model": body["model"],
            "usage": {"total_tokens": sum(map(len, texts))},
            "results": [
                {"index": index, "document": {"text": texts[index]}, "relevance_score": sigmoid(logit)}
                for index, logit in ranked
            ],
        }

    def _tei(self, asked: Asked) -> tuple[int, Any]:
        body = asked.body
        texts = body["texts"]
        if len(texts) > TEI_LIMIT:
            problem = f"batch size {len(texts)} > maximum allowed batch size {TEI_LIMIT}"
            return 422, {"error": problem, "error_type": "Validation"}
        ranked = self._ranked(body["query"], texts)
        return 200, [
            {"index": index, "score": logit if body.get("raw_scores") else sigmoid(logit)} for index, logit in ranked
        ]

    def _ranked(self, query: str, texts: list[str]) -> list[tuple[int, float]]:
        return sorted(enumerate(self._reranker.score(query, texts)), key=lambda pair: -pair[1])
