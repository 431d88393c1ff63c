"""Cohere's v2 rerank: scores, spans and warnings; never a text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from shortlist.serving.asking import Asked, Ranked, Refused, Result
from shortlist.serving.schemas.base import (
    MANY,
    Asking,
    Dialect,
    Documents,
    Extension,
    Fraction,
    ManyOrAll,
    Parts,
    SpanReply,
    SpanWishes,
    Told,
    Wire,
    asked_of,
    given,
    more_of,
    query_of,
    span_wishes,
    spans_of,
    text_of,
)


class CohereV2Request(Wire):
    """The body of ``POST /v2/rerank``; what vLLM's clients send there means what it means with vLLM."""

    model: str | None = Field(None, description="A served model's name; without one, the first.")
    query: Asking | Parts
    documents: Documents
    top_n: ManyOrAll | None = None
    max_tokens_per_doc: ManyOrAll | None = None
    priority: Annotated[int, Field(ge=-MANY, le=MANY, description="Lower goes first.")] | None = None
    relevant_spans: SpanWishes | None = None
    instruction: str | None = Field(None, description="vLLM's and LiteLLM's: what counts as relevant.")
    rerank: Extension | None = None

    def asked(self) -> Asked:
        """As ours."""
        return asked_of(
            self,
            self.rerank,
            query=query_of(self.query),
            texts=tuple(text_of(document) for document in self.documents),
            model=self.model,
            top_n=self.top_n or None,
            max_tokens=self.max_tokens_per_doc or None,
            instruction=self.instruction or "",
            priority=self.priority or 0,
            **span_wishes(self.relevant_spans),
        )


class CohereResult(Told):
    """A result."""

    index: int
    relevance_score: Fraction
    relevant_spans: list[SpanReply] | None = None


class Meta(Told):
    """About the reply; ours under ``rerank``."""

    api_version: dict[str, Any]
    billed_units: dict[str, float]
    tokens: dict[str, int]
    warnings: list[str] | None = None
    rerank: dict[str, Any]


class CohereV2Reply(Told):
    """The reply of ``POST /v2/rerank``."""

    id: str
    results: list[CohereResult]
    meta: Meta


class CohereFailure(Told):
    """Cohere's error."""

    id: str
    message: str


def cohere_error(refused: Refused, _: int, id_: str) -> dict[str, Any]:
    """A message, and the id of the request."""
    return {"id": id_, "message": refused.message}


def meta_of(ranked: Ranked, version: str) -> dict[str, Any]:
    """Cohere's ``meta``."""
    usage = ranked.ranking.usage
    return given(
        api_version={"version": version},
        billed_units={"search_units": 1},
        tokens={"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens},
        warnings=list(ranked.warnings) or None,
        rerank=ranked.told,
    )


def _result(ranked: Ranked, result: Result) -> dict[str, Any]:
    return given(
        index=result.index,
        relevance_score=result.relevance,
        relevant_spans=spans_of(result),
        rerank=more_of(ranked, result),
    )


def _reply(ranked: Ranked) -> dict[str, Any]:
    results = [_result(ranked, result) for result in ranked.results]
    return {"id": ranked.id, "results": results, "meta": meta_of(ranked, "2")}


COHERE = Dialect("cohere", _reply, cohere_error, CohereFailure, {"too_many": 400})
