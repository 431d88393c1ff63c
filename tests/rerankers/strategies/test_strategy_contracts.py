"""Every strategy through the public contract, and the long list."""

import pytest

from shortlist.rerankers.base import Reranker
from shortlist.rerankers.designs import balanced, disjoint, random_repeated
from shortlist.rerankers.mergers import anchored, bradley_terry, rrf, z_score
from shortlist.rerankers.strategies import (
    AllPairs,
    DynamicK,
    Groups,
    Hops,
    PairwiseSort,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)
from shortlist.testing.rerankers import ORACLES, check_strategy, erratic, graded_request
from shortlist.types import Status

ANY = ("choice", "judgement", "scored")
ORDERS = ("judgement", "scored")
SCORES = ("scored",)

# strategy, the verdicts it takes, how many places an oracle's order reaches (None: all)
ROWS = [
    (Pointwise(), SCORES, None),
    (Hops(), SCORES, None),
    (Hops(hops=4, weight=0.5, words=0), SCORES, None),
    (PairwiseSort(), ("choice",), None),
    (PairwiseSort(both_orders=False, top=1), ANY, 1),
    (PairwiseSort(top=10), ANY, 10),
    (SetwiseHeap(), ANY, 10),
    (SetwiseHeap(children=19, top=5), ANY, 5),
    (SetwiseHeap(children=2, top=3), ("choice",), 3),
    (WholeList(), ORDERS, None),
    (SlidingWindow(), ORDERS, 10),
    (SlidingWindow(size=5, stride=2), ORDERS, 3),
    (SlidingWindow(size=4, stride=1, passes=2), ORDERS, 6),
    (Tournament(), ORDERS, 10),
    (Tournament(size=4, top=3), ORDERS, 3),
    (Tournament(size=2, top=1), ORDERS, 1),
    (DynamicK(), ORDERS, 10),
    (DynamicK(size=3), ORDERS, 1),
    (Groups(), SCORES, None),
    (Groups(size=6, design=disjoint, anchors=2, merger=anchored), SCORES, None),
    (Groups(size=5, design=random_repeated, repeats=3, anchors=3), SCORES, None),
    (Groups(size=8, design=balanced, repeats=4, merger=bradley_terry), SCORES, 0),
    (Groups(size=20, repeats=2, merger=z_score), SCORES, 0),
    (Groups(size=20, repeats=2, merger=rrf), SCORES, 0),
]


@pytest.mark.parametrize(
    ("strategy", "kinds", "settles"), ROWS, ids=lambda v: repr(v) if not isinstance(v, tuple) else ""
)
def test_contract(strategy, kinds, settles):
    check_strategy(strategy, kinds, settles=settles)


@pytest.mark.parametrize("both_orders", [True, False])
def test_contract_of_all_pairs(both_orders):
    check_strategy(AllPairs(both_orders=both_orders), ANY, sizes=(0, 1, 2, 3, 20))


@pytest.mark.parametrize(
    ("strategy", "kinds", "settles"), ROWS, ids=lambda v: repr(v) if not isinstance(v, tuple) else ""
)
def test_a_thousand(strategy, kinds, settles):
    request, grade = graded_request(1000)
    best = sorted(range(1000), key=lambda i: -grade(request.candidates[i]))
    (ranking,) = Reranker(policy=ORACLES[kinds[0]](grade), strategy=strategy).rerank([request])
    settles = 1000 if settles is None else settles
    assert list(ranking.order[:settles]) == best[:settles]
    assert (ranking.status, ranking.unjudged) == (Status.OK, ())
    (ranking,) = Reranker(policy=erratic(kinds[-1]), strategy=strategy).rerank([request])
    assert sorted(ranking.order) == list(range(1000))


def test_all_pairs_of_a_hundred():
    request, grade = graded_request(100)
    (ranking,) = Reranker(policy=ORACLES["choice"](grade), strategy=AllPairs()).rerank([request])
    assert ranking.order == tuple(sorted(range(100), key=lambda i: -grade(request.candidates[i])))
    assert ranking.usage.calls == 9900
    assert ranking.scores[0] == 1.0
    assert ranking.scores[-1] == 0.0


def test_the_contract_finds_what_is_broken():
    class Loses:
        def flow(self, request):
            ranking = yield from WholeList().flow(request)
            return type(ranking).of(request, sorted(ranking.order), unjudged=ranking.unjudged)

    with pytest.raises(AssertionError, match="wanted"):
        check_strategy(Loses(), ORDERS, sizes=(3,))

    class Shuffles(WholeList):
        def flow(self, request):
            if len(request) < 2:
                return (yield from WholeList().flow(request))
            ranking = yield from WholeList().flow(request)
            order = ranking.order if not ranking.unjudged else ranking.order[::-1]
            return type(ranking).of(request, order, unjudged=ranking.unjudged)

    with pytest.raises(AssertionError, match="the order changed"):
        check_strategy(Shuffles(), ("judgement",), sizes=(3,))
