"""Infinity's rerank: as Jina's, but a passage is a plain string, and there are raw scores."""

from __future__ import annotations

from typing import Any

from shortlist.serving.asking import Ranked
from shortlist.serving.schemas.base import Dialect, OpenAIFailure, Told, given, more_of, openai_error
from shortlist.serving.schemas.shared import Tokens, score_of, usage_of


class InfinityResult(Told):
    """A result of Infinity's."""

    index: int
    relevance_score: float
    document: str | None = None


class InfinityReply(Told):
    """Infinity's reply."""

    id: str
    object: str
    model: str
    usage: Tokens
    results: list[InfinityResult]


def _reply(ranked: Ranked) -> dict[str, Any]:
    results = [
        given(
            relevance_score=score_of(ranked, result),
            index=result.index,
            document=result.text if ranked.asked.return_documents else None,
            rerank=more_of(ranked, result),
        )
        for result in ranked.results
    ]
    told = {"object": "rerank", "results": results, "model": ranked.model, "usage": usage_of(ranked), "id": ranked.id}
    return told | ({"meta": {"rerank": ranked.told}} if ranked.asked.extended else {})


INFINITY = Dialect("infinity", _reply, openai_error, OpenAIFailure)
