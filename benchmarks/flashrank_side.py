"""FlashRank in a process and an environment of its own: reads queries as JSON lines, answers with scores.

Run by `rerank_servers.py`, never by hand: `python flashrank_side.py CACHE_FOLDER MODEL MAX_TOKENS`.
"""

import json
import sys


def main() -> None:
    """Answer each line `{"query", "passages"}` with `{"scores"}`, in the order of the passages."""
    from flashrank import Ranker, RerankRequest  # noqa: PLC0415 - only this process has it

    cache, model, max_tokens = sys.argv[1:]
    ranker = Ranker(model_name=model, cache_dir=cache, max_length=int(max_tokens), log_level="ERROR")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        passages = [{"id": place, "text": text} for place, text in enumerate(asked["passages"])]
        found = ranker.rerank(RerankRequest(query=asked["query"], passages=passages))
        scores = {one["id"]: float(one["score"]) for one in found}
        print(json.dumps({"scores": [scores[place] for place in range(len(passages))]}), flush=True)


if __name__ == "__main__":
    main()
