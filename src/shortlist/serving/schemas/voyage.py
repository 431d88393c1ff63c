"""Voyage's rerank: ``data`` in place of ``results``, passages as plain strings."""

from __future__ import annotations

from typing import Any

from shortlist.serving.asking import Ranked
from shortlist.serving.schemas.base import DetailFailure, Dialect, detail_error, given, more_of


def _reply(ranked: Ranked) -> dict[str, Any]:
    data = [
        given(
            index=result.index,
            relevance_score=result.relevance,
            document=result.text if ranked.asked.return_documents else None,
            rerank=more_of(ranked, result),
        )
        for result in ranked.results
    ]
    usage = {"total_tokens": ranked.ranking.usage.tokens}
    told = {"object": "list", "data": data, "model": ranked.model, "usage": usage}
    return told | ({"meta": {"rerank": ranked.told}} if ranked.asked.extended else {})


VOYAGE = Dialect("voyage", _reply, detail_error, DetailFailure)
