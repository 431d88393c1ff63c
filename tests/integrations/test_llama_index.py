"""The LlamaIndex integration, against the real llama-index-core."""

from __future__ import annotations

import asyncio
import copy

import pytest

pytest.importorskip(
    "llama_index.core", reason="llama-index-core is not installed: pip install 'shortlist[llama-index]'"
)

from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError
from toy_rankers import BEST_FIRST, MINILM, QUERY, SCORES, TEXTS, choosing, failing, half_deaf, saying, scoring

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.integrations.llama_index import ShortlistRerank


def nodes():
    return [
        NodeWithScore(node=TextNode(text=text, id_=f"d{i}", metadata={"page": i}), score=0.9 - i / 10)
        for i, text in enumerate(TEXTS)
    ]


@pytest.fixture
def events():
    """The rerank events of a test."""
    seen = []

    class Keep(BaseEventHandler):
        def handle(self, event, **_):
            if isinstance(event, ReRankStartEvent | ReRankEndEvent):
                seen.append(event)

    root = get_dispatcher()
    handler = Keep()
    root.add_event_handler(handler)
    yield seen
    root.event_handlers.remove(handler)


def test_it_is_a_postprocessor_and_gives_copies():
    given = nodes()
    before = copy.deepcopy(given)
    reranker = ShortlistRerank(scoring())
    assert isinstance(reranker, BaseNodePostprocessor)
    assert reranker.class_name() == "ShortlistRerank"
    found = reranker.postprocess_nodes(given, query_str=QUERY)
    assert given == before
    assert [node.node_id for node in found] == [f"d{i}" for i in BEST_FIRST]
    assert [node.score for node in found] == list(SCORES)
    assert [node.metadata["retrieval_score"] for node in found] == [pytest.approx(0.9 - i / 10) for i in BEST_FIRST]
    assert found[0].metadata["page"] == 2


def test_what_is_added_is_kept_from_embeddings_and_prompts():
    (best, *_) = ShortlistRerank(scoring()).postprocess_nodes(nodes(), query_str=QUERY)
    (again, *_) = ShortlistRerank(scoring()).postprocess_nodes([best], query_str=QUERY)
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert best.node.get_content(metadata_mode=mode) == again.node.get_content(metadata_mode=mode)
        assert best.node.get_content(metadata_mode=mode) == nodes()[2].node.get_content(metadata_mode=mode)
    assert len(set(again.node.excluded_llm_metadata_keys)) == len(again.node.excluded_llm_metadata_keys) == 3
    assert again.metadata["retrieval_score"] == pytest.approx(0.7)


def test_the_events(events):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    reranker = ShortlistRerank(scoring(), top_n=2, callback_manager=CallbackManager([debug]))
    found = reranker.postprocess_nodes(nodes(), query_bundle=QueryBundle(QUERY))
    start, end = events
    assert (start.query.query_str, start.top_n, start.model_name, len(start.nodes)) == (QUERY, 2, "words", 3)
    assert [node.node_id for node in end.nodes] == [node.node_id for node in found] == ["d2", "d1"]
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 1


@pytest.mark.parametrize(
    ("ranker", "top_n", "count"),
    [(scoring(), "auto", 3), (scoring(), 2, 2), (choosing(), "auto", 1), (choosing(), None, 3)],
)
def test_how_many(ranker, top_n, count):
    assert len(ShortlistRerank(ranker, top_n=top_n).postprocess_nodes(nodes(), query_str=QUERY)) == count


def test_an_order_without_scores():
    found = ShortlistRerank(saying()).postprocess_nodes(nodes(), query_str=QUERY)
    assert [node.node_id for node in found] == ["d2", "d1", "d0"]
    assert [node.score for node in found] == [None] * 3


def test_nothing_to_rank():
    assert ShortlistRerank(failing(), on_error="raise").postprocess_nodes([], query_str=QUERY) == []
    with pytest.raises(InvalidInput, match="query_bundle or query_str"):
        ShortlistRerank(scoring()).postprocess_nodes(nodes())


def test_errors():
    found = ShortlistRerank(failing()).postprocess_nodes(nodes(), query_str=QUERY)
    assert [(n.node_id, n.score, n.metadata["rerank_status"]) for n in found] == [
        (f"d{i}", None, "failed") for i in range(3)
    ]
    partial = ShortlistRerank(half_deaf()).postprocess_nodes(nodes(), query_str=QUERY)
    assert {n.node_id: n.metadata["rerank_status"] for n in partial}["d1"] == "unjudged"
    with pytest.raises(JudgementFailed, match="on fire"):
        ShortlistRerank(failing(), on_error="raise").postprocess_nodes(nodes(), query_str=QUERY)


@pytest.mark.parametrize("settings", [{"top_n": 0}, {"top_n": "most"}, {"on_error": "ignore"}, {"reranker": "x:y"}])
def test_settings_are_checked(settings):
    with pytest.raises((ValidationError, InvalidInput)):
        ShortlistRerank(**{"reranker": scoring(), **settings})


class Fixed(BaseRetriever):
    """Finds the same three nodes, whatever is asked."""

    def _retrieve(self, query_bundle):
        return nodes()


def test_in_a_query_engine_sync_and_async():
    engine = RetrieverQueryEngine.from_args(
        Fixed(), llm=MockLLM(), node_postprocessors=[ShortlistRerank(scoring(), top_n=1)]
    )
    for reply in (engine.query(QUERY), asyncio.run(engine.aquery(QUERY))):
        assert isinstance(reply, Response)
        assert [node.node_id for node in reply.source_nodes] == ["d2"]


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    (best,) = ShortlistRerank(MINILM, top_n=1).postprocess_nodes(nodes(), query_str=QUERY)
    assert best.node_id == "d2"
    assert ShortlistRerank(MINILM).to_dict()["reranker"] == MINILM
