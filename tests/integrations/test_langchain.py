"""The LangChain integration, against the real langchain-core."""

from __future__ import annotations

import asyncio
import copy
import time

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed: pip install 'shortlist[langchain]'")

from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import ValidationError
from toy_rankers import (
    BEST_FIRST,
    MINILM,
    QUERY,
    SCORES,
    TEXTS,
    choosing,
    failing,
    half_deaf,
    saying,
    scoring,
    slow,
)

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.integrations.langchain import ShortlistCrossEncoder, ShortlistRerank


def documents():
    return [
        Document(page_content=text, id=f"d{i}", metadata={"source": [i], "score": 9.0 - i})
        for i, text in enumerate(TEXTS)
    ]


def test_it_is_a_compressor_and_gives_copies():
    given = documents()
    before = copy.deepcopy(given)
    compressor = ShortlistRerank(scoring())
    assert isinstance(compressor, BaseDocumentCompressor)
    found = compressor.compress_documents(given, QUERY)
    assert given == before
    assert [document.id for document in found] == [f"d{i}" for i in BEST_FIRST]
    assert found[0].page_content == TEXTS[2]
    assert [document.metadata["relevance_score"] for document in found] == list(SCORES)
    assert [document.metadata["retrieval_score"] for document in found] == [7.0, 8.0, 9.0]
    assert found[0].metadata["source"] == [2]
    assert {document.metadata["rerank_status"] for document in found} == {"ok"}
    assert all(mine is not theirs for mine in found for theirs in given)


@pytest.mark.parametrize(
    ("ranker", "top_n", "count"),
    [(scoring(), "auto", 3), (scoring(), 2, 2), (choosing(), "auto", 1), (choosing(), None, 3)],
)
def test_how_many(ranker, top_n, count):
    assert len(ShortlistRerank(ranker, top_n=top_n).compress_documents(documents(), QUERY)) == count


def test_two_in_a_row_keep_the_first_stages_score():
    once = ShortlistRerank(scoring()).compress_documents(documents(), QUERY)
    twice = ShortlistRerank(saying("[2] > [1] > [3]")).compress_documents(once, QUERY)
    assert [document.metadata["retrieval_score"] for document in twice] == [8.0, 7.0, 9.0]
    assert "relevance_score" not in twice[0].metadata


def test_nothing_to_rank():
    assert ShortlistRerank(failing(), on_error="raise").compress_documents([], QUERY) == []
    with pytest.raises(InvalidInput, match="no text"):
        ShortlistRerank(scoring()).compress_documents(documents(), "")


def test_errors():
    found = ShortlistRerank(failing()).compress_documents(documents(), QUERY)
    assert [(d.id, d.metadata["rerank_status"]) for d in found] == [
        ("d0", "failed"),
        ("d1", "failed"),
        ("d2", "failed"),
    ]
    partial = ShortlistRerank(half_deaf()).compress_documents(documents(), QUERY)
    assert {d.id: d.metadata["rerank_status"] for d in partial} == {"d0": "partial", "d1": "unjudged", "d2": "partial"}
    with pytest.raises(JudgementFailed, match="on fire"):
        ShortlistRerank(failing(), on_error="raise").compress_documents(documents(), QUERY)


@pytest.mark.parametrize(
    "settings",
    [{"top_n": 0}, {"top_n": "most"}, {"on_error": "ignore"}, {"batch": 3}, {"reranker": "x:y"}, {"reranker": 5}],
)
def test_settings_are_checked(settings):
    with pytest.raises((ValidationError, InvalidInput)):
        ShortlistRerank(**{"reranker": scoring(), **settings})


def test_async_leaves_the_loop_free():
    compressor = ShortlistRerank(slow(0.2))

    async def both():
        start, ticks = time.perf_counter(), 0
        work = asyncio.gather(*(compressor.acompress_documents(documents(), QUERY) for _ in range(3)))
        while not work.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return await work, time.perf_counter() - start, ticks

    found, seconds, ticks = asyncio.run(both())
    assert [[document.id for document in each] for each in found] == [[f"d{i}" for i in BEST_FIRST]] * 3
    assert seconds < 0.55  # one after another: 0.6
    assert ticks >= 5


def test_as_a_runnable_in_a_chain():
    rerank = ShortlistRerank(scoring(), top_n=1).as_runnable()
    search = RunnablePassthrough.assign(documents=RunnableLambda(lambda _: documents()))
    chain = search | rerank | RunnableLambda(lambda found: found[0].id)
    assert chain.invoke({"query": QUERY}) == "d2"
    assert asyncio.run(chain.ainvoke({"query": QUERY})) == "d2"
    assert chain.batch([{"query": QUERY}] * 3) == ["d2"] * 3


def test_the_cross_encoder():
    encoder = ShortlistCrossEncoder(scoring())
    assert isinstance(encoder, BaseCrossEncoder)
    assert encoder.score([(QUERY, text) for text in TEXTS]) == [0.0, 1.0, 3.0]


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    found = ShortlistRerank(MINILM, top_n=2).compress_documents(documents(), QUERY)
    assert found[0].id == "d2"
    assert found[0].metadata["relevance_score"] > found[1].metadata["relevance_score"]
