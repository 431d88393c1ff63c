"""What all integrations share."""

from __future__ import annotations

import importlib
import itertools
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_rankers import BEST_FIRST, QUERY, SCORES, TEXTS, choosing, failing, half_deaf, saying, scoring

from shortlist.errors import InvalidInput, InvalidRequest, JudgementFailed, MissingExtra, UnknownName
from shortlist.integrations.base import Bridge, Passage, falling, first_score, framework, number, places, score_pairs
from shortlist.rerankers.compose import FirstStage, Keep
from shortlist.rerankers.cutoffs import TopK
from shortlist.types import Ranking, RerankRequest

PASSAGES = [Passage(text, 10.0 - i) for i, text in enumerate(TEXTS)]
FRAMEWORKS = {
    "langchain": "langchain_core",
    "llama_index": "llama_index",
    "haystack": "haystack",
    "pyterrier": "pyterrier",
    "mteb": "mteb",
    "pandas": "pandas",
}


@pytest.mark.parametrize(("module", "package"), FRAMEWORKS.items())
def test_a_framework_that_is_missing_is_named_with_its_extra(module, package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"shortlist.integrations.{module}", raising=False)
    with pytest.raises(MissingExtra, match=rf"shortlist\[{module.replace('_', '-')}\]"):
        importlib.import_module(f"shortlist.integrations.{module}")


def test_a_broken_framework_is_not_called_missing():
    with pytest.raises(ModuleNotFoundError, match="other") as told, framework("langchain_core", "langchain"):
        raise ModuleNotFoundError("no other", name="other")
    assert not isinstance(told.value, MissingExtra)


def test_places_hold_both_scores():
    found = Bridge(scoring()).place(QUERY, PASSAGES)
    assert tuple(place.index for place in found) == BEST_FIRST
    assert tuple(place.score for place in found) == SCORES
    assert [place.first for place in found] == [8.0, 9.0, 10.0]
    assert [place.rank for place in found] == [1, 2, 3]


@pytest.mark.parametrize(("top_n", "count"), [(None, 3), ("auto", 1), (2, 2), (9, 3)])
def test_how_many_come_back(top_n, count):
    found = Bridge(choosing()).place(QUERY, PASSAGES, top_n)
    assert len(found) == count
    assert [place.kept for place in found] == [True, False, False][:count]


@pytest.mark.parametrize("top_n", [0, -1, "all", 2.5, True])
def test_how_many_is_checked(top_n):
    with pytest.raises(InvalidInput, match="top_n is"):
        Bridge(scoring()).place(QUERY, PASSAGES, top_n)


def test_no_passages_need_no_call():
    assert Bridge(failing(), on_error="raise").place(QUERY, []) == []
    with pytest.raises(InvalidRequest, match="has no text"):
        Bridge(scoring()).place(" ", PASSAGES)


def test_failures_are_told(caplog):
    with caplog.at_level(logging.WARNING, "shortlist.integrations"):
        found = Bridge(failing()).place(QUERY, PASSAGES)
    assert [(place.index, place.status, place.score) for place in found] == [(i, "failed", None) for i in range(3)]
    assert "on fire" in caplog.text
    partial = Bridge(half_deaf()).place(QUERY, PASSAGES)
    assert {place.index: place.status for place in partial} == {0: "partial", 1: "unjudged", 2: "partial"}


@pytest.mark.parametrize("ranker", [failing(), half_deaf(), Keep(failing(), TopK(2)), saying("[2]")])
def test_failures_raise_if_told(ranker):
    with pytest.raises(JudgementFailed):
        Bridge(ranker, on_error="raise").place(QUERY, PASSAGES)


def test_a_reranker_that_raises_by_itself_is_left_as_it_is():
    with pytest.raises(JudgementFailed):
        Bridge(saying("nothing", on_error="raise")).place(QUERY, PASSAGES)


@pytest.mark.parametrize(
    ("reranker", "on_error", "words"),
    [("listwize:x", "report", "listwise"), (5, "report", "give a name"), (scoring(), "ignore", "'report' or 'raise'")],
)
def test_what_cannot_be_opened(reranker, on_error, words):
    with pytest.raises(InvalidInput, match=words):
        Bridge(reranker, on_error=on_error)
    with pytest.raises(UnknownName):
        Bridge("nothing:x")


def test_metadata_is_copied_and_the_first_score_stands():
    (place, *_) = Bridge(scoring()).place(QUERY, PASSAGES)
    old = {"k": 1, "retrieval_score": 0.5, "relevance_score": 7.0}
    assert place.told(old) == {"k": 1, "retrieval_score": 0.5, "relevance_score": 3.0, "rerank_status": "ok"}
    assert old == {"k": 1, "retrieval_score": 0.5, "relevance_score": 7.0}
    (unscored, *_) = Bridge(saying()).place(QUERY, PASSAGES)
    assert "relevance_score" not in unscored.told(old)


@pytest.mark.parametrize(
    ("value", "score"),
    [(1, 1.0), (2.5, 2.5), ("3", None), (None, None), (True, None), (float("nan"), None), ([], None)],
)
def test_numbers_in_metadata(value, score):
    assert number(value) == score
    assert first_score({"score": value, "relevance_score": 9.0}) == (9.0 if score is None else score)


@given(st.lists(st.floats(allow_nan=True, width=64), max_size=8))
def test_falling_scores_sort_into_the_order(scores):
    request = RerankRequest.of("q", ["x"] * len(scores))
    ranking = Ranking.of(request, range(len(scores)), scores=tuple(scores))
    told = falling(ranking)
    assert len(told) == len(scores)
    assert all(a > b for a, b in itertools.pairwise(told))
    if len(scores) == 1 and abs(scores[0]) < 1e30:
        assert told == scores


def test_pairs_of_many_queries():
    pairs = [("a b", "b"), ("c", "a b"), ("a b", "a b"), ("c", "c")]
    assert score_pairs(Bridge(scoring()), pairs) == [1.0, 0.0, 2.0, 1.0]
    assert score_pairs(Bridge(scoring()), []) == []
    with pytest.raises(InvalidInput, match="no scores"):
        score_pairs(Bridge(saying()), [("q", "x")])


def test_queries_share_batches():
    sizes = []

    class Counting:
        identity = "counting"

        def score_pairs(self, pairs):
            sizes.append(len(pairs))
            return scoring().policy.scorer.score_pairs(pairs)

    ranker = scoring()
    counted = type(ranker)(policy=type(ranker.policy)(scorer=Counting()), strategy=ranker.strategy)
    assert [r.query.id for r in Bridge(counted).rank_many([("a", PASSAGES), ("b", PASSAGES)])] == ["q0", "q1"]
    assert sizes == [6]


def test_the_first_stage_is_a_ranker_too():
    found = places(Bridge(FirstStage()).rank(QUERY, PASSAGES))
    assert [place.score for place in found] == [10.0, 9.0, 8.0]
