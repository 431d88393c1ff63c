"""Why a ranking is as it is: sentences, occlusion by hand-made scores, what moved, what came and went."""

from __future__ import annotations

import itertools
import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.compose import Cascade, Keep
from shortlist.rerankers.cutoffs import TopK
from shortlist.rerankers.explain import (
    MAX_CHARACTERS,
    MAX_SENTENCES,
    METHOD,
    Occlusion,
    SpanRequest,
    explain,
    sentences,
)
from shortlist.rerankers.policies import PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Pointwise, SlidingWindow
from shortlist.text.listwise import ListwiseReasoning
from shortlist.types import Document, Query, RerankRequest

TEXTS = ["Rivers are long.", "It rains. The capital of France is Paris. It snows.", "A capital."]
ASKED = RerankRequest.of("capital of France", TEXTS)


def pointwise(score):
    return Reranker(policy=PairPolicy(scorer=ScriptedPairScorer(score)), strategy=Pointwise(), name="fast")


def words(pair):
    return float(sum(word in pair.passage for word in pair.query.split()))


FAST = pointwise(words)


def ranked(ranker, asked=ASKED):
    (ranking,) = ranker.rerank([asked])
    return ranking


def test_the_sentence_that_matters_is_named_with_its_share_of_the_odds():
    told = explain(FAST, ranked(FAST))
    best = told.passages[0]
    assert best.quotes == ("The capital of France is Paris.",)
    # three words in all, none without the sentence: the log-odds fall by 3
    assert best.spans[0].score == pytest.approx(1 - math.exp(-3))
    assert (told.method, told.scorer) == (METHOD, "fast")
    assert told.usage.calls == sum(1 + len(sentences(text)) for text in TEXTS)


def test_what_moved():
    told = explain(FAST, ranked(FAST), top=0)
    assert [(why.candidate.id, why.rank, why.first_rank, why.moved) for why in told.passages] == [
        ("1", 1, 2, 1),
        ("2", 2, 3, 1),
        ("0", 3, 1, -2),
    ]
    assert told.method is None
    assert told.usage.calls == 0


def test_what_came_and_went():
    ranker = Keep(FAST, TopK(2))
    told = explain(ranker, ranked(ranker))
    assert [why.candidate.id for why in told.entered] == ["2"]
    assert [why.candidate.id for why in told.left] == ["0"]


def listwise():
    def reply(ask):
        found = re.findall(r"^\[(\d+)\]", ask.messages[-1].content, re.MULTILINE)
        return "<think>the last is best</think><answer>" + " > ".join(f"[{i}]" for i in found[::-1]) + "</answer>"

    policy = TextPolicy(prompt=ListwiseReasoning(), completer=ScriptedCompleter(reply))
    return Reranker(policy=policy, strategy=SlidingWindow(size=4, stride=2), name="list")


def test_a_listwise_ranking_tells_its_reasoning_and_moves():
    told = explain(listwise(), ranked(listwise()))
    assert told.reasoning == ("the last is best",)
    assert told.method is None
    assert [why.moved for why in told.passages] == [2, 0, -2]
    assert not any(why.spans for why in told.passages)


def test_a_scorer_may_be_given():
    told = explain(listwise(), ranked(listwise()), scorer=FAST)
    assert told.scorer == "fast"
    assert told.passages[1].quotes == ("The capital of France is Paris.",)
    with pytest.raises(InvalidInput, match="pointwise"):
        explain(listwise(), ranked(listwise()), scorer=listwise())
    with pytest.raises(InvalidInput, match="top"):
        explain(FAST, ranked(FAST), top=-1)


def test_the_scorer_in_a_chain_is_found():
    chain = Cascade(((FAST, None), (listwise(), 2)))
    assert explain(chain, ranked(chain)).scorer == "fast"


def test_what_was_not_judged_has_no_score():
    ranker = pointwise(lambda pair: math.nan if "Rivers" in pair.passage else 1.0)
    unjudged = next(why for why in explain(ranker, ranked(ranker)).passages if why.candidate.id == "0")
    assert not unjudged.judged
    assert unjudged.score is None
    assert unjudged.spans == ()


def test_nothing_to_rank():
    asked = RerankRequest.of("q", [])
    assert explain(FAST, ranked(FAST, asked)).passages == ()
    blank = RerankRequest.of("q", ["", " "])
    assert [why.spans for why in explain(FAST, ranked(FAST, blank)).passages] == [(), ()]


def test_wishes_are_checked_and_kept():
    scorer = pointwise(lambda pair: float(pair.passage.count("x")))
    asked = RerankRequest.of("q", ["x. xx xx. y. x x x."])
    first = explain(scorer, ranked(scorer, asked), wanted=SpanRequest(max_spans=2)).passages[0]
    assert first.quotes == ("xx xx.", "x x x.")  # the one that carries most first
    strict = explain(scorer, ranked(scorer, asked), wanted=SpanRequest(threshold=0.97)).passages[0]
    assert strict.quotes == ("xx xx.",)
    for wrong in ({"threshold": 2.0}, {"max_spans": 0}):
        with pytest.raises(InvalidInput):
            SpanRequest(**wrong)


def test_a_budget_leaves_documents_out():
    documents = [Document(id=str(i), text="One. Two. Three.") for i in range(3)]
    work = Occlusion.of(Query(text="q"), documents, most=8)
    assert [len(places) for places in work.places] == [3, 3, 0]
    assert len(work.slates) == 8
    assert work.left_out == 1


@given(st.text("ab. !\n。?é😀…\"'", max_size=60))
def test_sentences_are_apart_and_hold_all_words(text):
    places = sentences(text)
    assert all(start < end for start, end in places)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
    left = "".join(text[start:end] for start, end in places)
    assert [sign for sign in left if not sign.isspace()] == [sign for sign in text if not sign.isspace()]


def test_sentences():
    text = 'One is 3.14 long. "Two!" Three\nfour。五。 Six... Why?! End'
    told = ["One is 3.14 long.", '"Two!"', "Three", "four。", "五。", "Six...", "Why?!", "End"]
    assert [text[a:b] for a, b in sentences(text)] == told
    assert len(sentences("One. " * 100)) == MAX_SENTENCES


@pytest.mark.parametrize("text", ["." * 100_000 + "x", "a." + '"' * 100_000 + "x", '."' * 50_000 + "x", "?!" * 50_000])
def test_no_text_takes_quadratic_time(text):
    start = time.perf_counter()
    sentences(text)
    assert time.perf_counter() - start < 2  # it took minutes


def test_of_long_passages_the_beginning_is_looked_at():
    work = Occlusion.of(Query(text="q"), [Document(id="0", text="word. " * 100_000)])
    assert len(work.slates) == 1 + MAX_SENTENCES
    assert all(len(slate.documents[0].text) <= MAX_CHARACTERS for slate in work.slates)
