"""BM25 agrees with its formula written out, is saved and loaded unchanged, and breaks ties by row."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidFile, InvalidInput
from shortlist.retrieval.bm25 import BM25, Analyzer, top_k
from shortlist.types import Document, Query

TEXTS = ["the cat sat", "a dog sat on the mat", "cats and dogs and cats", "nothing of the kind", "mat"]


def documents(texts=TEXTS):
    return [Document(id=f"d{i}", text=text) for i, text in enumerate(texts)]


def lucene_bm25(texts, query, k1=0.9, b=0.4):
    analyze = Analyzer().terms
    terms = [analyze(text) for text in texts]
    average = sum(map(len, terms)) / len(terms)
    scores = []
    for own in terms:
        counts, score = Counter(own), 0.0
        for term in analyze(query):
            n = sum(term in other for other in terms)
            idf = math.log(1 + (len(terms) - n + 0.5) / (n + 0.5))
            score += idf * counts[term] / (counts[term] + k1 * (1 - b + b * len(own) / average)) if n else 0.0
        scores.append(score)
    return scores


def test_scores_are_those_of_the_formula():
    (hits,) = BM25.build(documents()).retrieve([Query(text="cats on a mat")])
    expected = lucene_bm25(TEXTS, "cats on a mat")
    assert dict(zip(hits.ids, hits.scores, strict=True)) == pytest.approx(
        {f"d{i}": score for i, score in enumerate(expected) if score > 0}, abs=1e-5
    )
    assert list(hits.scores) == sorted(hits.scores, reverse=True)


def test_the_title_is_searched_too():
    (hits,) = BM25.build([Document(id="a", text="x", title="Zebra"), Document(id="b", text="y")]).retrieve(
        [Query(text="zebras")]
    )
    assert hits.ids == ("a",)


def test_saved_and_loaded_it_gives_the_same_hits(tmp_path):
    built = BM25.build(documents(), k1=1.2, b=0.75)
    built.save(tmp_path)
    queries = [Query(id=str(i), text=text) for i, text in enumerate(["dog", "cat mat", "unseen", "the"])]
    assert list(BM25.load(tmp_path).retrieve(queries)) == list(built.retrieve(queries))


def test_a_query_without_a_known_term_gets_no_hits():
    (hits,) = BM25.build(documents()).retrieve([Query(text="the quark")])
    assert hits.ids == ()


def test_a_missing_or_foreign_index_is_named(tmp_path):
    with pytest.raises(InvalidFile, match="shortlist index"):
        BM25.load(tmp_path)
    (tmp_path / "index.json").write_text('{"kind": "dense"}')
    with pytest.raises(InvalidFile, match="'dense', not 'bm25'"):
        BM25.load(tmp_path)


def test_nonsense_is_refused():
    with pytest.raises(InvalidInput, match="no document"):
        BM25.build([])
    with pytest.raises(InvalidInput, match="b 2"):
        BM25.build(documents(), b=2)
    with pytest.raises(InvalidInput, match="depth is 0"):
        BM25.build(documents()).retrieve([], depth=0)
    with pytest.raises(InvalidInput, match="klingon"):
        Analyzer(language="klingon").terms("worf")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 40))
def test_top_k_is_a_stable_sort(values, k):
    scores = np.array(values, dtype=np.float32)
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:k]
    assert top_k(scores, min(k, len(values))).tolist() == expected


def test_queries_are_taken_as_they_are_needed():
    taken = []

    def queries():
        for i in range(5):
            taken.append(i)
            yield Query(id=str(i), text="cat")

    hits = BM25.build(documents()).retrieve(queries())
    next(hits)
    assert taken == [0]


def test_a_broken_index_says_so(tmp_path):
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(InvalidFile, match=r"index\.json: not JSON"):
        BM25.load(tmp_path)
