"""Dense search is exact, resumes where it stopped, and refuses another model's vectors; hybrid and expansion."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from shortlist.backends.base import Completion
from shortlist.backends.scripted import ScriptedCompleter
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.retrieval import dense
from shortlist.retrieval.base import Hits
from shortlist.retrieval.bm25 import BM25
from shortlist.retrieval.dense import Dense
from shortlist.retrieval.expansion import Expanded, Query2doc
from shortlist.retrieval.hybrid import Hybrid
from shortlist.types import Document, Query


class HashEmbedder:
    """A deterministic embedder; it can be told to die after so many batches."""

    def __init__(self, identity="hash", batches=10**9):
        self.identity, self.batches = identity, batches

    def embed(self, texts, /, *, role):
        if self.batches == 0:
            raise RuntimeError("power cut")
        self.batches -= 1
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8) for text in texts]
        vectors = np.stack(rows).astype(np.float32) - 128
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


DOCUMENTS = [Document(id=f"d{i}", text=f"text {i}") for i in range(50)]


def test_search_is_exact_whatever_the_block(tmp_path, monkeypatch):
    index = Dense.build(DOCUMENTS, HashEmbedder(), tmp_path)
    query = Query(text="text 7")
    (whole,) = index.retrieve([query], depth=50)
    assert whole.ids[0] == "d7"
    assert whole.scores[0] == pytest.approx(1.0, abs=1e-5)
    vectors = HashEmbedder().embed([d.text for d in DOCUMENTS], role="passage")
    products = vectors @ HashEmbedder().embed(["text 7"], role="query")[0]
    assert list(whole.ids) == [f"d{i}" for i in np.argsort(-products, kind="stable")]
    monkeypatch.setattr(dense, "_ROWS_A_BLOCK", 7)
    (blocks,) = index.retrieve([query], depth=12)
    assert blocks.ids == whole.ids[:12]


def test_an_interrupted_build_is_resumed(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        Dense.build(DOCUMENTS, HashEmbedder(batches=3), tmp_path, batch=8)
    with (tmp_path / "vectors.f32").open("ab") as file:
        file.write(b"torn")
        file.write(b"\0" * 128)
    with pytest.raises(InvalidFile, match="resume"):
        Dense.load(tmp_path, HashEmbedder())
    embedder = HashEmbedder()
    resumed = Dense.build(DOCUMENTS, embedder, tmp_path, batch=8, resume=True)
    assert 10**9 - embedder.batches == 4  # 26 documents were left
    fresh = Dense.build(DOCUMENTS, HashEmbedder(), tmp_path / "fresh")
    assert resumed.ids == fresh.ids
    np.testing.assert_array_equal(resumed.vectors, fresh.vectors)


def test_a_resumed_build_needs_the_same_corpus_and_model(tmp_path):
    with pytest.raises(RuntimeError):
        Dense.build(DOCUMENTS, HashEmbedder(batches=1), tmp_path, batch=8)
    with pytest.raises(InvalidFile, match="'d0'; the corpus has 'd1'"):
        Dense.build(DOCUMENTS[1:], HashEmbedder(), tmp_path, resume=True)
    with pytest.raises(InvalidInput, match="begun with hash"):
        Dense.build(DOCUMENTS, HashEmbedder("other"), tmp_path, resume=True)


def test_another_models_vectors_are_refused(tmp_path):
    Dense.build(DOCUMENTS, HashEmbedder(), tmp_path)
    with pytest.raises(InvalidInput, match="embedded by hash, not by other"):
        Dense.load(tmp_path, HashEmbedder("other"))


class Fixed:
    """A retriever with a fixed answer."""

    def __init__(self, name, *ids):
        self.name, self.ids = name, ids

    def retrieve(self, queries, /, *, depth=100):
        return (Hits(q, self.ids[:depth], tuple(float(-i) for i in range(len(self.ids[:depth])))) for q in queries)


def test_hybrid_is_reciprocal_rank_fusion():
    hybrid = Hybrid((Fixed("a", "x", "y"), Fixed("b", "y", "z")), weights=(1.0, 2.0), k=10)
    (hits,) = hybrid.retrieve([Query(text="q")], depth=2)
    assert hits.ids == ("y", "z")
    assert hits.scores == pytest.approx((1 / 12 + 2 / 11, 2 / 12))


def test_hybrid_refuses_wrong_weights():
    with pytest.raises(InvalidInput, match="1 weights for 2"):
        Hybrid((Fixed("a"), Fixed("b")), weights=(1.0,))


def test_query2doc_searches_with_the_passage_and_keeps_the_query():
    bm25 = BM25.build([Document(id="a", text="utzon opera"), Document(id="b", text="sydney harbour bridge")])
    writer = ScriptedCompleter(lambda _: "<think>hm</think>Utzon designed the opera.")
    expanded = Expanded(bm25, Query2doc(writer, repeat=1))
    (hits,) = expanded.retrieve([Query(id="1", text="who was the architect")])
    assert (hits.query.text, hits.ids) == ("who was the architect", ("a",))
    assert expanded.name == "bm25+query2doc"


def test_query2doc_forms_and_failures(caplog):
    query = Query(id="7", text="why")
    sparse, dense_ = (
        next(Query2doc(ScriptedCompleter(lambda _: "because"), form=f).expand([query])) for f in ("sparse", "dense")
    )
    assert sparse.text == "why why why why why because"
    assert dense_.text == "why [SEP] because"
    broken = Query2doc(ScriptedCompleter(lambda _: Completion(error="down", finish="error")))
    assert list(broken.expand([query])) == [query]
    assert broken.failures == ["7"]
    assert "not expanded: down" in caplog.text
