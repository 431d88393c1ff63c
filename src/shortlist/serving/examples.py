"""Requests to show in the OpenAPI document; a test sends each of them."""

from __future__ import annotations

from typing import Any

_QUERY = "how does a heap find its smallest item"
_TEXTS = [
    "A list keeps items in the order in which they were added.",
    "In a binary heap the smallest item is always at the root. Taking it out costs log n steps.",
]


def _named(**examples: dict[str, Any]) -> dict[str, Any]:
    return {name: {"summary": name.replace("_", " "), "value": value} for name, value in examples.items()}


RERANK = _named(
    plain={"query": _QUERY, "documents": _TEXTS},
    the_best_one={"query": _QUERY, "documents": _TEXTS, "top_n": 1},
    spans={"query": _QUERY, "documents": _TEXTS, "relevant_spans": {"mode": "enabled", "threshold": 0.1}},
    ours={"query": _QUERY, "documents": _TEXTS, "rerank": {"k": "auto", "explain": True, "deadline_ms": 2000}},
)
TEXTS = _named(texts={"query": _QUERY, "texts": _TEXTS, "return_text": True})
SCORE = _named(
    one_query={"queries": _QUERY, "documents": _TEXTS},
    pairs={"text_1": [_QUERY, "what is a list"], "text_2": _TEXTS},
)
ANSWER = _named(answer={"query": _QUERY, "documents": _TEXTS, "k": 1})
SEARCH = _named(search={"query": _QUERY, "depth": 10})
