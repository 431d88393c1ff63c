"""Jina's rerank: the union's reply with less around it."""

from __future__ import annotations

from typing import Any

from shortlist.serving.asking import Ranked
from shortlist.serving.schemas.base import DetailFailure, Dialect, Told, detail_error
from shortlist.serving.schemas.shared import SharedResult, Tokens, shared_result, usage_of


class JinaReply(Told):
    """Jina's reply."""

    model: str
    object: str
    usage: Tokens
    results: list[SharedResult]


def _reply(ranked: Ranked) -> dict[str, Any]:
    results = [shared_result(ranked, result) for result in ranked.results]
    told = {"model": ranked.model, "object": "list", "usage": usage_of(ranked), "results": results}
    return told | ({"meta": {"rerank": ranked.told}} if ranked.asked.extended else {})


JINA = Dialect("jina", _reply, detail_error, DetailFailure)
