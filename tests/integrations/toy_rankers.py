"""Rankers for the tests of integrations: instant, and wrong on demand."""

from __future__ import annotations

import time

from shortlist.backends.base import Completion, PairScore
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import PairPolicy, TextPolicy
from shortlist.rerankers.strategies import DynamicK, Pointwise, WholeList
from shortlist.text.listwise import Listwise
from shortlist.text.subset import Subset

QUERY = "capital of France"
TEXTS = ("Rome is in Italy.", "France has rivers.", "The capital of France is Paris.")
BEST_FIRST = (2, 1, 0)
SCORES = (3.0, 1.0, 0.0)
"""Of the words of the query, those that the best, the second and the third share."""


def shared_words(pair):
    return float(len(set(pair.query.lower().split()) & set(pair.passage.lower().strip(".").split())))


def scoring(score=shared_words, **settings):
    """Scores pairs, by the words they share."""
    scorer = ScriptedPairScorer(score)
    return Reranker(policy=PairPolicy(scorer=scorer), strategy=Pointwise(), name="words", **settings)


def slow(seconds):
    """The same, and each list takes so long."""

    def score(pair):
        time.sleep(seconds / len(TEXTS))
        return shared_words(pair)

    return scoring(score)


def saying(reply="[3] > [2] > [1]", **settings):
    """Always says one order; it has no scores."""
    policy = TextPolicy(prompt=Listwise(), completer=ScriptedCompleter(lambda _: reply))
    return Reranker(policy=policy, strategy=WholeList(), name="order", **settings)


def choosing(reply="[3]"):
    """Says which passages suffice: a dynamic k."""
    policy = TextPolicy(prompt=Subset(), completer=ScriptedCompleter(lambda _: reply))
    return Reranker(policy=policy, strategy=DynamicK(), name="chosen")


def failing():
    """Never answers."""
    return saying(Completion(error="the server is on fire"))


class _HalfDeaf:
    identity = "half-deaf"

    def score_pairs(self, pairs):
        return [
            PairScore(score=0.0, error="too long") if "rivers" in pair.passage else PairScore(score=shared_words(pair))
            for pair in pairs
        ]


def half_deaf():
    """Cannot judge passages that speak of rivers."""
    return Reranker(policy=PairPolicy(scorer=_HalfDeaf()), strategy=Pointwise(), name="half-deaf")


MINILM = "cross-encoder:minilm-l12"
