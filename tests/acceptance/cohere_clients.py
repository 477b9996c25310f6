"""Programs written for Cohere, each asking the same gateway: run by the Python of an environment of their own.

Reads {"url", "key", "query", "documents"} on stdin; writes for each program the numbers of the documents in the order
that it gives them, with the scores.
"""

import asyncio
import json
import sys
from typing import Any

import cohere
from haystack import Document as HaystackDocument
from haystack import Pipeline
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from langchain_cohere import CohereRerank as LangChainRerank
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank as LlamaRerank

MODEL = "rerank-v3.5"
Order = list[tuple[int, float]]


def sdk(asked: dict[str, Any]) -> Order:
    """The SDK that these programs hold back."""
    client = cohere.ClientV2(asked["key"], base_url=asked["url"])
    answer = client.rerank(model=MODEL, query=asked["query"], documents=asked["documents"])
    return [(one.index, one.relevance_score) for one in answer.results]


def langchain(asked: dict[str, Any]) -> Order:
    """LangChain's document compressor."""
    documents = [Document(text, metadata={"number": number}) for number, text in enumerate(asked["documents"])]
    ranker = LangChainRerank(model=MODEL, cohere_api_key=asked["key"], base_url=asked["url"], top_n=len(documents))
    ranked = ranker.compress_documents(documents, asked["query"])
    return [(one.metadata["number"], one.metadata["relevance_score"]) for one in ranked]


def llama_index(asked: dict[str, Any]) -> Order:
    """LlamaIndex's node postprocessor."""
    nodes = [NodeWithScore(node=TextNode(id_=str(n), text=text)) for n, text in enumerate(asked["documents"])]
    ranker = LlamaRerank(model=MODEL, api_key=asked["key"], base_url=asked["url"], top_n=len(nodes), max_retries=1)
    ranked = ranker.postprocess_nodes(nodes, query_str=asked["query"])
    return [(int(one.node.node_id), float(one.score or 0.0)) for one in ranked]


def haystack_ranker(asked: dict[str, Any]) -> CohereRanker:
    """Haystack's component."""
    key = Secret.from_token(asked["key"])
    return CohereRanker(model=MODEL, api_key=key, api_base_url=asked["url"], top_k=len(asked["documents"]))


def haystack_order(found: dict[str, Any]) -> Order:
    """What came out of the component."""
    return [(one.meta["number"], float(one.score)) for one in found["documents"]]


def haystack_inputs(asked: dict[str, Any]) -> dict[str, Any]:
    """What goes into the component."""
    documents = [HaystackDocument(content=text, meta={"number": n}) for n, text in enumerate(asked["documents"])]
    return {"query": asked["query"], "documents": documents}


def haystack(asked: dict[str, Any]) -> Order:
    """Haystack, in a pipeline."""
    pipeline = Pipeline()
    pipeline.add_component("ranker", haystack_ranker(asked))
    return haystack_order(pipeline.run({"ranker": haystack_inputs(asked)})["ranker"])


def haystack_async(asked: dict[str, Any]) -> Order:
    """Haystack, awaited."""
    return haystack_order(asyncio.run(haystack_ranker(asked).run_async(**haystack_inputs(asked))))


def main() -> None:
    """Ask with each program."""
    asked = json.load(sys.stdin)
    programs = (sdk, langchain, llama_index, haystack, haystack_async)
    json.dump({program.__name__: program(asked) for program in programs}, sys.stdout)


if __name__ == "__main__":
    main()
