"""LlamaIndex: a node postprocessor with its events.

Needs ``llama-index-core`` 0.14 or later (``pip install 'shortlist[llama-index]'``).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from shortlist.errors import InvalidInput
from shortlist.integrations.base import TOLD, Bridge, OnError, Passage, Place, TopN, check_top_n, framework
from shortlist.rerankers.base import Ranker

with framework("llama_index.core", "llama-index"):
    from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_validator
    from llama_index.core.callbacks import CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

dispatcher = get_dispatcher(__name__)


class ShortlistRerank(BaseNodePostprocessor):  # type: ignore[misc]  # untyped where llama-index is not installed
    """Reranks nodes, and gives back copies: the reranker's score on them, the retriever's in their metadata.

    ``reranker`` is a name or a ranker. ``top_n``: so many; ``"auto"``: as many as the reranker would keep (all, unless
    it decides); ``None``: all. What is added to the metadata is kept from embeddings and prompts.
    """

    reranker: Any = Field(description="A reranker's name, as cross-encoder:minilm-l12, or a ranker.")
    top_n: TopN = Field(default="auto", description="How many nodes to give back: a number, 'auto' or None (all).")
    on_error: OnError = Field(default="report", description="'report' or 'raise', when a node cannot be judged.")
    cache: Path | None = Field(default=None, description="A file that keeps what models said.")
    _bridge: Bridge = PrivateAttr()

    def __init__(self, reranker: str | Ranker, **settings: Any) -> None:
        super().__init__(reranker=reranker, **settings)
        self._bridge = Bridge(self.reranker, on_error=self.on_error, cache=self.cache)

    @field_validator("top_n")  # type: ignore[untyped-decorator]
    @classmethod
    def _check(cls, top_n: TopN) -> TopN:
        return check_top_n(top_n)

    @classmethod
    def class_name(cls) -> str:
        """The name in serialised pipelines."""
        return "ShortlistRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidInput("no query; give query_bundle or query_str")
        shown = self.top_n if isinstance(self.top_n, int) else len(nodes)
        dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=shown, model_name=self._bridge.name))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self._bridge.name,
            EventPayload.QUERY_STR: query_bundle.query_str,
            EventPayload.TOP_K: shown,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            best = self._best(nodes, query_bundle.query_str)
            event.on_end(payload={EventPayload.NODES: best})
        dispatcher.event(ReRankEndEvent(nodes=best))
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)

    def _best(self, nodes: list[NodeWithScore], query: str) -> list[NodeWithScore]:
        passages = [Passage(node.node.get_content(metadata_mode=MetadataMode.EMBED), node.score) for node in nodes]
        return [_copy(nodes[place.index], place) for place in self._bridge.place(query, passages, self.top_n)]


def _copy(scored: NodeWithScore, place: Place) -> NodeWithScore:
    node = scored.node
    hidden = {
        field: [*getattr(node, field), *(key for key in TOLD if key not in getattr(node, field))]
        for field in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    }
    copied = node.model_copy(update={"metadata": place.told(node.metadata), **hidden})
    return NodeWithScore(node=copied, score=place.score)
