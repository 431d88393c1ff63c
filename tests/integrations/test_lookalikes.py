"""The faces of other libraries, against those libraries where they are installed."""

from __future__ import annotations

import asyncio
import inspect
import warnings

import numpy as np
import pytest
from toy_rankers import BEST_FIRST, MINILM, QUERY, SCORES, TEXTS, choosing, failing, half_deaf, saying, scoring

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.integrations.lookalikes import CrossEncoder, Document, RankedResults, Reranker, Result

# ------------------------------------------------------------------------------------------------ rerankers


def test_rank_strings():
    found = Reranker(scoring()).rank(
        QUERY, list(TEXTS), doc_ids=["a", "b", "c"], metadata=[{"page": i} for i in range(3)]
    )
    assert [result.doc_id for result in found] == ["c", "b", "a"]
    assert [result.score for result in found] == list(SCORES)
    assert [result.rank for result in found] == [1, 2, 3]
    assert (found[0].text, found[0].metadata, found[0].page) == (TEXTS[2], {"page": 2}, 2)
    assert (found.results_count(), len(found), found.query, found.has_scores) == (3, 3, QUERY, True)
    assert [result.doc_id for result in found.top_k(2)] == ["c", "b"]
    assert found.get_score_by_docid("b") == 1.0
    assert found.get_result_by_docid("a").rank == 3
    assert found.get_score_by_docid("z") is None
    with pytest.raises(AttributeError, match="chapter"):
        _ = found[0].chapter


def test_ids_are_positions_if_there_are_none():
    assert [result.doc_id for result in Reranker(scoring()).rank(QUERY, list(TEXTS))] == list(BEST_FIRST)
    assert Reranker(scoring()).rank(QUERY, TEXTS[2])[0].score == 3.0
    given = [Document(text, f"d{i}") for i, text in enumerate(TEXTS)]
    assert [result.doc_id for result in Reranker(scoring()).rank(QUERY, given)] == ["d2", "d1", "d0"]


def test_orders_and_cutoffs():
    found = Reranker(choosing()).rank(QUERY, list(TEXTS))
    assert (found.has_scores, found.results_count(), found.ranking.cutoff) == (False, 3, 1)
    assert found[0].score is None
    assert Reranker(scoring()).rank(QUERY, []).results_count() == 0


def test_async_and_score():
    found = asyncio.run(Reranker(scoring()).rank_async(QUERY, list(TEXTS)))
    assert [result.doc_id for result in found] == list(BEST_FIRST)
    assert Reranker(scoring()).score(QUERY, TEXTS[2]) == 3.0


def test_errors():
    failed = Reranker(failing()).rank(QUERY, list(TEXTS))
    assert ([r.doc_id for r in failed], failed.has_scores, failed.ranking.status) == ([0, 1, 2], False, "failed")
    assert Reranker(half_deaf()).rank(QUERY, list(TEXTS)).ranking.status == "partial"
    with pytest.raises(JudgementFailed):
        Reranker(failing(), on_error="raise").rank(QUERY, list(TEXTS))
    with pytest.raises(InvalidInput, match="2 doc_ids for 3"):
        Reranker(scoring()).rank(QUERY, list(TEXTS), doc_ids=[1, 2])
    with pytest.raises(InvalidInput, match="document 1 is 5"):
        Reranker(scoring()).rank(QUERY, ["a", 5])


@pytest.fixture(scope="module")
def theirs():
    """The real library."""
    pytest.importorskip("rerankers.documents", reason="rerankers is not installed")  # tests/rerankers is no package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import rerankers.documents
        import rerankers.models.ranker
        import rerankers.results
    return rerankers


def test_the_same_as_theirs(theirs, capsys):
    real = [theirs.documents.Document(text, doc_id=f"d{i}", metadata={"page": i}) for i, text in enumerate(TEXTS)]
    ours = Reranker(scoring()).rank(QUERY, real)
    same = theirs.results.RankedResults(
        [
            theirs.results.Result(document=real[i], score=score, rank=rank)
            for rank, (i, score) in enumerate(zip(BEST_FIRST, SCORES, strict=True), 1)
        ],
        query=QUERY,
        has_scores=True,
    )
    for k in (0, 1, 2, 9):
        assert [r.doc_id for r in ours.top_k(k)] == [r.doc_id for r in same.top_k(k)]
    for mine, other in zip(ours, same, strict=True):
        for name in ("text", "doc_id", "metadata", "score", "rank", "page"):
            assert getattr(mine, name) == getattr(other, name)
    assert ours.get_score_by_docid("d1") == same.get_score_by_docid("d1")
    assert ours.results_count() == same.results_count()


def test_every_public_name_of_theirs_is_here(theirs):
    for mine, other in ((RankedResults, theirs.results.RankedResults), (Reranker, theirs.models.ranker.BaseRanker)):
        assert {name for name in vars(other) if not name.startswith("_")} <= set(dir(mine))
    assert set(vars(theirs.results.Result(theirs.documents.Document("x"), score=1.0))) <= set(Result.__slots__)
    rank = inspect.signature(theirs.models.ranker.BaseRanker.rank).parameters
    assert list(rank) == list(inspect.signature(Reranker.rank).parameters)[: len(rank)]


def test_as_a_langchain_compressor():
    documents = pytest.importorskip("langchain_core.documents", reason="langchain-core is not installed")
    compressor = Reranker(scoring()).as_langchain_compressor(k=1)
    (best,) = compressor.compress_documents([documents.Document(page_content=text) for text in TEXTS], QUERY)
    assert best.page_content == TEXTS[2]


# ------------------------------------------------------------------------------------------------ sentence-transformers


def test_predict():
    encoder = CrossEncoder(scoring())
    scores = encoder.predict([(QUERY, text) for text in TEXTS], batch_size=2, show_progress_bar=False)
    assert (scores.dtype, scores.tolist()) == (np.float32, [0.0, 1.0, 3.0])
    assert encoder.predict((QUERY, TEXTS[2])) == 3.0
    assert np.ndim(encoder.predict((QUERY, TEXTS[2]))) == 0
    assert encoder.predict([[QUERY, TEXTS[2]]]).tolist() == [3.0]
    assert encoder.predict([]).shape == (0,)
    with pytest.raises(InvalidInput, match="pair 1"):
        encoder.predict([(QUERY, "x"), "y"])
    with pytest.raises(InvalidInput, match="no scores"):
        CrossEncoder(saying()).predict([(QUERY, "x")])


def test_rank():
    encoder = CrossEncoder(scoring())
    assert encoder.rank(QUERY, list(TEXTS), top_k=2, return_documents=True) == [
        {"corpus_id": 2, "score": 3.0, "text": TEXTS[2]},
        {"corpus_id": 1, "score": 1.0, "text": TEXTS[1]},
    ]
    assert [found["corpus_id"] for found in CrossEncoder(saying()).rank(QUERY, list(TEXTS))] == [2, 1, 0]
    assert [found["score"] for found in CrossEncoder(saying()).rank(QUERY, list(TEXTS))] == [3.0, 2.0, 1.0]
    assert encoder.rank(QUERY, []) == []
    with pytest.raises(InvalidInput, match="top_k is 0"):
        encoder.rank(QUERY, list(TEXTS), top_k=0)


@pytest.mark.models
def test_the_same_as_sentence_transformers(model_minilm_torch):
    real = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from torch.nn import Identity

    theirs = real.CrossEncoder(str(model_minilm_torch.path), activation_fn=Identity())
    ours = CrossEncoder(f"cross-encoder:{model_minilm_torch.path}?engine=sentence-transformers")
    pairs = [(QUERY, text) for text in TEXTS]
    np.testing.assert_allclose(ours.predict(pairs), theirs.predict(pairs), atol=1e-4)
    assert type(ours.predict(pairs[0])) is type(theirs.predict(pairs[0]))
    for mine, other in zip(
        ours.rank(QUERY, list(TEXTS), 2, True), theirs.rank(QUERY, list(TEXTS), 2, True), strict=True
    ):
        assert list(mine) == list(other)
        assert (mine["corpus_id"], mine["text"]) == (other["corpus_id"], other["text"])
        assert mine["score"] == pytest.approx(float(other["score"]), abs=1e-4)
        assert type(mine["score"]) is type(other["score"])


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    assert Reranker(MINILM).rank(QUERY, list(TEXTS))[0].doc_id == 2
    assert CrossEncoder(MINILM).rank(QUERY, list(TEXTS))[0]["corpus_id"] == 2
