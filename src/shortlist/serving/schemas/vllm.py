"""vLLM: rerank with the texts in the reply, and ``/score`` for pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from shortlist.serving.asking import Asked, Ranked, Refused
from shortlist.serving.schemas.base import (
    MANY,
    Asking,
    Dialect,
    Documents,
    Extension,
    ManyOrAll,
    OpenAIFailure,
    Parts,
    Text,
    Texts,
    Told,
    Wire,
    asked_of,
    given,
    many,
    more_of,
    openai_error,
    query_of,
    text_of,
)
from shortlist.serving.schemas.shared import Tokens, score_of, usage_of

_NOT_SPECIFIED = "default/not-specified"  # what Infinity's client says when it names no model
Cut: TypeAlias = Annotated[int, Field(ge=-1, le=MANY, description="−1: as many as the model takes.")]


class VLLMRequest(Wire):
    """The body of ``POST /rerank`` with ``documents``; ``raw_scores``, which vLLM has not, make it Infinity's."""

    model: str | None = None
    query: Asking | Parts
    documents: Documents
    top_n: ManyOrAll | None = None
    truncate_prompt_tokens: Cut | None = None
    truncation_side: Literal["left", "right"] | None = Field(
        None, description="Accepted; passages are cut at their end."
    )
    max_tokens_per_query: ManyOrAll | None = None
    max_tokens_per_doc: ManyOrAll | None = None
    instruction: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    use_activation: bool | None = Field(None, description="false: raw scores.")
    user: str | None = None
    request_id: str | None = None
    priority: Annotated[int, Field(ge=-MANY, le=MANY, description="Lower goes first.")] | None = None
    cache_salt: str | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    return_documents: bool | None = None
    raw_scores: bool | None = None
    rerank: Extension | None = None

    @property
    def is_infinity(self) -> bool:
        """Whether it came from a client of Infinity's."""
        return self.raw_scores is not None

    def infinite(self) -> VLLMRequest:
        """The same from a client that is known to be Infinity's."""
        return self if self.is_infinity else self.model_copy(update={"raw_scores": False})

    def asked(self) -> Asked:
        """As ours."""
        cut = self.truncate_prompt_tokens or 0
        return asked_of(
            self,
            self.rerank,
            query=query_of(self.query),
            texts=tuple(text_of(document) for document in self.documents),
            model=None if self.model == _NOT_SPECIFIED else self.model,
            top_n=self.top_n or None,
            max_tokens=self.max_tokens_per_doc or (cut if cut > 0 else None),
            return_documents=bool(self.return_documents) if self.is_infinity else self.return_documents is not False,
            raw_scores=bool(self.raw_scores) or self.use_activation is False,
            instruction=self.instruction or "",
            priority=self.priority or 0,
        )


class VLLMResult(Told):
    """A result."""

    index: int
    document: Text | None = None
    relevance_score: float


class VLLMReply(Told):
    """vLLM's reply."""

    id: str
    model: str
    usage: Tokens
    results: list[VLLMResult]


def _reply(ranked: Ranked) -> dict[str, Any]:
    results = [
        given(
            index=result.index,
            document={"text": result.text} if ranked.asked.return_documents else None,
            relevance_score=score_of(ranked, result),
            rerank=more_of(ranked, result),
        )
        for result in ranked.results
    ]
    told = {"id": ranked.id, "model": ranked.model, "usage": usage_of(ranked), "results": results}
    return told | ({"meta": {"rerank": ranked.told}} if ranked.asked.extended else {})


VLLM = Dialect("vllm", _reply, openai_error, OpenAIFailure)

# ------------------------------------------------------------------------------------------------ /score

Queries: TypeAlias = Annotated[list[Asking], many(min_length=1)] | Asking
Passages: TypeAlias = Texts | str


class _Score(Wire):
    """What the four bodies of ``POST /score`` share."""

    model: str | None = None
    use_activation: bool | None = Field(None, description="false: raw scores.")
    truncate_prompt_tokens: Cut | None = None
    priority: Annotated[int, Field(ge=-MANY, le=MANY)] | None = None

    def sides(self) -> tuple[list[str], list[str]]:
        """The queries and the passages."""
        raise NotImplementedError


class QueriesDocuments(_Score):
    """``queries`` and ``documents``."""

    queries: Queries
    documents: Passages

    def sides(self) -> tuple[list[str], list[str]]:
        """The queries and the passages."""
        return _listed(self.queries), _listed(self.documents)


class QueriesItems(_Score):
    """``queries`` and ``items``."""

    queries: Queries
    items: Passages

    def sides(self) -> tuple[list[str], list[str]]:
        """The queries and the passages."""
        return _listed(self.queries), _listed(self.items)


class TwoTexts(_Score):
    """``text_1`` and ``text_2``."""

    text_1: Queries
    text_2: Passages

    def sides(self) -> tuple[list[str], list[str]]:
        """The queries and the passages."""
        return _listed(self.text_1), _listed(self.text_2)


class TwoData(_Score):
    """``data_1`` and ``data_2``."""

    data_1: Queries
    data_2: Passages

    def sides(self) -> tuple[list[str], list[str]]:
        """The queries and the passages."""
        return _listed(self.data_1), _listed(self.data_2)


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _which(body: Any) -> str:
    keys = body if isinstance(body, dict) else vars(body) if isinstance(body, _Score) else {}
    return next((key for key in ("items", "documents", "data_1", "text_1") if key in keys), "text_1")


ScoreRequest: TypeAlias = Annotated[
    Annotated[QueriesDocuments, Tag("documents")]
    | Annotated[QueriesItems, Tag("items")]
    | Annotated[TwoTexts, Tag("text_1")]
    | Annotated[TwoData, Tag("data_1")],
    Discriminator(_which),
]


def pairs_of(body: _Score) -> list[tuple[str, str]]:
    """One query with each passage, or as many of both, one to one."""
    queries, passages = body.sides()
    if len(queries) == 1:
        return [(queries[0], passage) for passage in passages]
    if len(queries) != len(passages):
        raise Refused("invalid", f"{len(queries)} queries and {len(passages)} passages; give one query, or as many")
    return list(zip(queries, passages, strict=True))


class Score(Told):
    """A pair's score."""

    index: int
    object: str
    score: float


class ScoreReply(Told):
    """The reply of ``POST /score``."""

    id: str
    object: str
    created: int
    model: str
    data: list[Score]
    usage: Tokens


def score_reply(id_: str, model: str, scores: Sequence[float], tokens: int) -> dict[str, Any]:
    """vLLM's reply to ``/score``."""
    return {
        "id": id_,
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": [{"index": i, "object": "score", "score": score} for i, score in enumerate(scores)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
