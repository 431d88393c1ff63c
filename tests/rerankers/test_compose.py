"""Cascades and fusion: rankers made of rankers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.compose import Cascade, FirstStage, first_stage
from shortlist.rerankers.fusion import METHODS, Ensemble, Fused, min_max, rrf, z_score
from shortlist.rerankers.merge import impute, in_unit_range, standardised
from shortlist.rerankers.strategies import DynamicK, Pointwise, WholeList
from shortlist.testing.rerankers import ScriptedPolicy, check_reranker, orderer, scorer, silent
from shortlist.types import Candidate, Document, Judgement, Query, Ranking, RerankRequest, Status, Usage


def letters(text, scores=None):
    scores = scores or [None] * len(text)
    return RerankRequest(
        Query(text="q"),
        tuple(Candidate(Document(id=x, text=x), score) for x, score in zip(text, scores, strict=True)),
    )


def spelled(ranking):
    return "".join(c.id for c in ranking)


def value(candidate):
    return float(sum(map(ord, candidate.id)))


REVERSE = Reranker(policy=scorer(value), strategy=Pointwise(), name="late letters")
FORWARD = Reranker(policy=orderer(lambda c: -value(c)), strategy=WholeList(), name="early letters")
NONE = Reranker(policy=silent("scored"), strategy=Pointwise(), name="silent")


def one(ranker, request):
    (ranking,) = ranker.rerank([request])
    return ranking


# ------------------------------------------------------------------------------------------------ cascades


def test_later_stages_rerank_the_head():
    cascade = Cascade(((REVERSE, 5), (FORWARD, 3)))
    ranking = one(cascade, letters("abcdefg"))
    assert spelled(ranking) == "cdebafg"
    assert ranking.request == letters("abcdefg")
    assert ranking.usage.calls == 5 + 1
    assert ranking.scores is None
    assert cascade.name == "late letters >> early letters"


def test_scores_are_the_last_stage_s_if_it_saw_all():
    assert one(Cascade(((FORWARD, None), (REVERSE, None))), letters("abc")).scores == (99.0, 98.0, 97.0)
    assert one(Cascade(((REVERSE, 10),)), letters("abc")).scores == (99.0, 98.0, 97.0)


def test_the_last_cutoff_counts():
    two = Reranker(
        policy=ScriptedPolicy(lambda slate: Judgement(order=tuple(range(len(slate))), cutoff=2)), strategy=DynamicK()
    )
    assert one(Cascade(((REVERSE, 6), (two, 4))), letters("abcdefg")).cutoff == 2
    assert one(Cascade(((two, 6), (REVERSE, 4))), letters("abcdefg")).cutoff is None


def test_statuses_and_unjudged_places():
    ranking = one(Cascade(((REVERSE, 4), (NONE, 2))), letters("abcdef"))
    assert spelled(ranking) == "dcbaef"
    assert (ranking.status, ranking.unjudged) == (Status.PARTIAL, (2, 3))
    ranking = one(Cascade(((NONE, 4), (REVERSE, 2))), letters("abcdef"))
    assert spelled(ranking) == "bacdef"
    assert (ranking.status, ranking.unjudged) == (Status.PARTIAL, (2, 3))
    assert one(Cascade(((NONE, 4), (NONE, 2))), letters("abcdef")).status is Status.FAILED
    assert one(Cascade(((REVERSE, 2),)), letters("abcdef")).status is Status.OK
    assert one(Cascade(((REVERSE, 2), (FORWARD, 2))), letters("")).order == ()


def test_cascades_nest():
    inner = Cascade(((REVERSE, None),), name="inner")
    assert spelled(one(Cascade(((inner, 4), (FORWARD, 2))), letters("abcdef"))) == "cdbaef"


@pytest.mark.parametrize(
    "ranker",
    [
        FirstStage(),
        Cascade(((FirstStage(), None), (REVERSE, 7), (FORWARD, 3))),
        Fused(REVERSE),
        Fused(REVERSE, z_score, 0.3),
        Ensemble((REVERSE, FORWARD, FirstStage())),
        Ensemble((REVERSE, Cascade(((FORWARD, 3),))), weights=(2.0, 1.0)),
    ],
    ids=lambda ranker: ranker.name,
)
def test_contract(ranker):
    check_reranker(ranker)


@pytest.mark.parametrize("stages", [(), ((REVERSE, 0),)])
def test_cascades_that_cannot_work(stages):
    with pytest.raises(InvalidInput, match="cascade"):
        Cascade(stages)


# ------------------------------------------------------------------------------------------------ fusion


def ranking_of(request, scores):
    return Ranking.by_scores(request, scores)


def test_methods_by_hand():
    request = letters("abc", [4.0, 2.0, 0.0])
    rankings = (first_stage(request), ranking_of(request, [1.0, 1.0, 4.0]))
    assert rrf(rankings, (0.5, 0.5)) == pytest.approx([0.5 / 61 + 0.5 / 62, 0.5 / 62 + 0.5 / 63, 0.5 / 63 + 0.5 / 61])
    assert min_max(rankings, (0.25, 0.75)) == pytest.approx([0.25, 0.125, 0.75])
    z = math.sqrt(1.5), math.sqrt(2) / 2
    assert z_score(rankings, (0.2, 0.8)) == pytest.approx(
        [0.2 * z[0] - 0.8 * z[1], -0.8 * z[1], -0.2 * z[0] + 1.6 * z[1]]
    )


def test_a_weight_of_one_is_one_ranking_alone():
    request = letters("abc", [4.0, 2.0, 0.0])
    for method in METHODS.values():
        assert spelled(one(Fused(REVERSE, method, 1.0), request)) == "abc"
        assert spelled(one(Fused(REVERSE, method, 0.0), request)) == "cba"


def test_fusion_without_scores():
    with pytest.raises(InvalidInput, match=r"has no scores .* fuse by rrf"):
        one(Fused(REVERSE, z_score, 0.2), letters("abc"))
    with pytest.raises(InvalidInput, match="has no scores"):
        one(Fused(FORWARD, min_max, 0.2), letters("abc", [3.0, 2.0, 1.0]))
    with pytest.raises(InvalidInput, match="not finite"):
        one(Fused(REVERSE, min_max, 0.2), letters("abc", [3.0, 2.0, -math.inf]))
    assert spelled(one(Fused(FORWARD, rrf, 0.2), letters("abc"))) == "abc"
    assert one(Fused(REVERSE, z_score), letters("")).order == ()


def test_fusion_keeps_what_the_ranker_told():
    ranking = one(Fused(NONE, rrf, 0.5), letters("abc"))
    assert (spelled(ranking), ranking.status, ranking.unjudged) == ("abc", Status.FAILED, (0, 1, 2))
    assert ranking.usage == Usage(calls=3)
    assert list(ranking.scores) == sorted(ranking.scores, reverse=True)


def test_ensembles():
    ranking = one(Ensemble((REVERSE, FORWARD)), letters("abc"))
    assert ranking.usage.calls == 4
    assert spelled(one(Ensemble((REVERSE, FORWARD), weights=(3.0, 1.0)), letters("abc"))) == "cba"
    mixed = one(Ensemble((REVERSE, NONE)), letters("abc"))
    assert (mixed.status, mixed.unjudged) == (Status.PARTIAL, ())
    cuts = [
        Reranker(
            policy=ScriptedPolicy(lambda slate, k=k: Judgement(order=tuple(range(len(slate))), cutoff=k)),
            strategy=WholeList(),
        )
        for k in (1, 4)
    ]
    assert one(Ensemble(tuple(cuts)), letters("abcde")).cutoff == 3
    assert one(Ensemble((*cuts, REVERSE)), letters("abcde")).cutoff is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fused(REVERSE, rrf, 1.5),
        lambda: Ensemble(()),
        lambda: Ensemble((REVERSE,), weights=(0.0,)),
        lambda: Ensemble((REVERSE, FORWARD), weights=(1.0,)),
        lambda: Ensemble((REVERSE, FORWARD), weights=(1.0, -1.0)),
    ],
)
def test_options_are_checked(wrong):
    with pytest.raises(InvalidInput, match=r"give|needs"):
        wrong()


# ------------------------------------------------------------------------------------------------ arithmetic


def test_imputed_by_hand():
    nan = math.nan
    assert impute([5.0, 1.0]) == ([5.0, 1.0], ())
    assert impute([nan, 4.0, nan, 0.0, nan]) == ([4.0, 4.0, 2.0, 0.0, 0.0], (0, 2, 4))
    assert impute([nan, nan]) == ([0.0, 0.0], (0, 1))
    assert impute([nan]) == ([0.0], (0,))
    assert impute([]) == ([], ())
    assert impute([nan, -math.inf, 1.0, nan, -math.inf]) == ([1.0, -math.inf, 1.0, -math.inf, -math.inf], (0, 3))


@given(st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), max_size=30))
def test_imputed_scores_stay_within_the_known_ones(scores):
    filled, missing = impute(scores)
    known = [s for s in scores if not math.isnan(s)]
    assert [i for i, s in enumerate(scores) if math.isnan(s)] == list(missing)
    assert all(filled[i] == s for i, s in enumerate(scores) if not math.isnan(s))
    if known:
        slack = 1e-9 * (max(map(abs, known)) + 1)
        assert all(min(known) - slack <= s <= max(known) + slack for s in filled)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_standardised(scores):
    z = standardised(scores)
    assert abs(sum(z)) < 1e-5
    assert sum(x * x for x in z) == pytest.approx(len(z), rel=1e-3) or set(z) == {0.0}
    assert all(0 <= u <= 1 for u in in_unit_range(scores))


def test_equal_scores_are_no_deviation():
    assert standardised([0.1] * 7) == [0.0] * 7
    assert in_unit_range([3.0, 3.0]) == [0.0, 0.0]
    assert standardised([]) == in_unit_range([]) == []
