"""Rerank in groups with a model behind a server that speaks OpenAI's protocol (vLLM, llama.cpp, hosted ones).

    python examples/server.py my-model http://127.0.0.1:8000/v1

A key, if the server wants one, comes from OPENAI_API_KEY. Calls go out side by side; replies are held to the prompt's
JSON schema where the server can do that.
"""

import sys

from shortlist import Shortlist
from shortlist.errors import JudgementFailed

if len(sys.argv) != 3:
    sys.exit(__doc__)
_, model, url = sys.argv

reranker = Shortlist(f"groupwise:openai:{model}@{url}?size=5&anchors=2&constrain=true&concurrency=8", on_error="raise")
passages = [f"Room {number} is on floor {number // 100}." for number in range(101, 1001, 100)]
try:
    ranking = reranker.rank("where is room 501", passages)
except JudgementFailed as problem:
    sys.exit(f"the model could not judge: {problem}")
print(ranking.top(3))
print(ranking.usage)
