"""``POST /v1/rerank``: Cohere v1, Jina, vLLM and LiteLLM meet here, so the union is taken and the union is given."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from shortlist.serving.asking import Asked, Ranked, Refused, Result
from shortlist.serving.schemas.base import (
    MANY,
    Asking,
    Dialect,
    Extension,
    FieldsDocument,
    Fraction,
    Many,
    ManyOrAll,
    OpenAIErrorBody,
    Parts,
    SpanReply,
    SpanWishes,
    Text,
    Told,
    Wire,
    asked_of,
    fields_of,
    given,
    many,
    more_of,
    openai_error,
    query_of,
    span_wishes,
    spans_of,
)
from shortlist.serving.schemas.cohere import Meta, meta_of


class RerankRequest(Wire):
    """The body of ``POST /v1/rerank``: every key that its clients send, most of them optional.

    ``top_k`` is Voyage's word for ``top_n``: who sends it gets Voyage's reply.
    """

    model: str | None = Field(None, description="A served model's name; without one, the first.")
    query: Asking | Parts
    documents: Annotated[list[str | FieldsDocument], many(min_length=1, description="In first-stage order.")]
    top_n: ManyOrAll | None = None
    top_k: ManyOrAll | None = Field(None, description="Voyage's word for top_n.")
    return_documents: bool | None = None
    max_tokens_per_doc: ManyOrAll | None = None
    max_doc_length: ManyOrAll | None = Field(None, description="Jina's word for max_tokens_per_doc.")
    max_chunks_per_doc: Many | None = Field(None, description="Accepted; passages are not split into chunks.")
    rank_fields: Annotated[list[str], many()] | None = Field(
        None, description="The fields of document objects that count."
    )
    truncation: bool | None = Field(None, description="false: a passage that does not fit is an error.")
    raw_scores: bool | None = None
    instruction: str | None = None
    priority: Annotated[int, Field(ge=-MANY, le=MANY, description="Lower goes first.")] | None = None
    relevant_spans: SpanWishes | None = None
    return_embeddings: bool | None = Field(None, description="Accepted; there are none.")
    user: str | None = None
    rerank: Extension | None = None

    def asked(self) -> Asked:
        """As ours."""
        return asked_of(
            self,
            self.rerank,
            query=query_of(self.query),
            texts=tuple(fields_of(one, place, self.rank_fields or ()) for place, one in enumerate(self.documents)),
            model=self.model,
            top_n=self.top_n or self.top_k or None,
            max_tokens=self.max_tokens_per_doc or self.max_doc_length or None,
            cut_forbidden=self.truncation is False,
            return_documents=bool(self.return_documents),
            raw_scores=bool(self.raw_scores),
            instruction=self.instruction or "",
            priority=self.priority or 0,
            **span_wishes(self.relevant_spans),
        )


class SharedResult(Told):
    """A result; ``document`` only if it was asked for."""

    index: int
    relevance_score: float
    document: Text | None = None
    relevant_spans: list[SpanReply] | None = None


class Tokens(Told):
    """What the models read."""

    prompt_tokens: int
    total_tokens: int


class SharedReply(Told):
    """The reply of ``POST /v1/rerank``."""

    id: str
    model: str
    object: str
    usage: Tokens
    results: list[SharedResult]
    meta: Meta


class SharedFailure(Told):
    """An error in every shape that clients of this route look for."""

    id: str
    message: str
    detail: str
    error: OpenAIErrorBody


class VoyageResult(Told):
    """A result of Voyage's."""

    index: int
    relevance_score: Fraction
    document: str | None = None


class VoyageReply(Told):
    """Voyage's reply: ``data``, not ``results``."""

    object: str
    data: list[VoyageResult]
    model: str
    usage: dict[str, int]


def shared_error(refused: Refused, status: int, id_: str) -> dict[str, Any]:
    """Cohere's, Jina's and OpenAI's shape in one."""
    told = openai_error(refused, status, id_)
    return {"id": id_, "message": refused.message, "detail": refused.message} | told


def usage_of(ranked: Ranked) -> dict[str, int]:
    """Tokens as OpenAI counts them."""
    usage = ranked.ranking.usage
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.tokens}


def shared_result(ranked: Ranked, result: Result) -> dict[str, Any]:
    """A result of the union's."""
    return given(
        index=result.index,
        relevance_score=score_of(ranked, result),
        document={"text": result.text} if ranked.asked.return_documents else None,
        relevant_spans=spans_of(result),
        rerank=more_of(ranked, result),
    )


def score_of(ranked: Ranked, result: Result) -> float:
    """Relevance in [0, 1]; the raw score if that was asked for and there is one."""
    return result.raw if ranked.asked.raw_scores and result.raw is not None else result.relevance


def _reply(ranked: Ranked) -> dict[str, Any]:
    return {
        "id": ranked.id,
        "model": ranked.model,
        "object": "list",
        "usage": usage_of(ranked),
        "results": [shared_result(ranked, result) for result in ranked.results],
        "meta": meta_of(ranked, "1"),
    }


SHARED = Dialect("shared", _reply, shared_error, SharedFailure)
