"""LangChain: a document compressor for retrieval chains, a runnable, and a cross-encoder.

Needs ``langchain-core`` 1 or later (``pip install 'shortlist[langchain]'``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shortlist.integrations.base import (
    Bridge,
    OnError,
    Passage,
    Place,
    TopN,
    check_top_n,
    first_score,
    framework,
    score_pairs,
)
from shortlist.rerankers.base import Ranker

with framework("langchain_core", "langchain"):
    from langchain_core.callbacks import Callbacks
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.runnables import RunnableLambda
    from pydantic import ConfigDict, PrivateAttr, field_validator


class ShortlistRerank(BaseDocumentCompressor):  # type: ignore[misc]  # untyped where langchain is not installed
    """Reranks documents, and gives back copies whose metadata hold both scores and the status.

    ``reranker`` is a name or a ranker. ``top_n``: so many; ``"auto"``: as many as the reranker would keep (all, unless
    it decides); ``None``: all. A document's first-stage score is looked for in its metadata, as ``retrieval_score``,
    ``score``, or the ``relevance_score`` of an earlier reranker.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True)

    reranker: Any
    top_n: TopN = "auto"
    on_error: OnError = "report"
    cache: Path | None = None
    _bridge: Bridge = PrivateAttr()

    def __init__(self, reranker: str | Ranker, **settings: Any) -> None:
        super().__init__(reranker=reranker, **settings)

    def model_post_init(self, context: Any, /) -> None:
        """Open the ranker."""
        super().model_post_init(context)
        self._bridge = Bridge(self.reranker, on_error=self.on_error, cache=self.cache)

    @field_validator("top_n")
    @classmethod
    def _check(cls, top_n: TopN) -> TopN:
        return check_top_n(top_n)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - of the interface; nothing here makes calls to trace
    ) -> list[Document]:
        """Copies of the best documents, best first."""
        passages = [Passage(document.page_content, first_score(document.metadata)) for document in documents]
        return [_copy(documents[place.index], place) for place in self._bridge.place(query, passages, self.top_n)]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The same, while the event loop goes on."""
        return await asyncio.to_thread(self.compress_documents, documents, query, callbacks)

    def as_runnable(self) -> RunnableLambda:
        """A runnable from ``{"query": …, "documents": […]}`` to the best documents; sync and async."""

        def rerank(asked: dict[str, Any]) -> list[Document]:
            return self.compress_documents(asked["documents"], asked["query"])

        async def arerank(asked: dict[str, Any]) -> list[Document]:
            return await self.acompress_documents(asked["documents"], asked["query"])

        return RunnableLambda(rerank, afunc=arerank, name="shortlist_rerank")


def _copy(document: Document, place: Place) -> Document:
    return document.model_copy(update={"metadata": place.told(document.metadata)})


class ShortlistCrossEncoder(BaseCrossEncoder):  # type: ignore[misc]
    """Scores pairs with any reranker that gives scores, for the places where LangChain wants a cross-encoder."""

    def __init__(self, reranker: str | Ranker, *, on_error: OnError = "report", cache: Path | None = None) -> None:
        self._bridge = Bridge(reranker, on_error=on_error, cache=cache)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """One raw score a (query, passage) pair."""
        return score_pairs(self._bridge, text_pairs)
