"""Each formula against a number computed by hand, and the properties that its definition promises."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics import ndcg, ndcg_ties, rbo, score_ranking
from shortlist.metrics.ranking import compatibility

JUDGED = {"a": 3, "b": 0, "c": 1, "d": 2, "e": -1}  # relevant: a, c, d
RANKED = ["b", "a", "x", "d"]  # grades 0, 3, unjudged, 2

BY_HAND = [
    # DCG 3/log2(3) + 2/log2(5) = 2.754143; ideal 3 + 2/log2(3) + 1/log2(4) = 4.761860
    ("nDCG@10", 0.578375),
    ("nDCG", 0.578375),
    # DCG 3/log2(3) = 1.892789; ideal 3 + 2/log2(3) = 4.261860
    ("nDCG@2", 0.444123),
    # DCG 7/log2(3) + 3/log2(5) = 5.708538; ideal 7 + 3/log2(3) + 1/2 = 9.392789
    ("nDCG(dcg='exp-log2')@10", 0.607758),
    ("RR", 1 / 2),
    ("RR@1", 0.0),
    ("RR(rel=3)@10", 1 / 2),
    ("AP", (1 / 2 + 2 / 4) / 3),
    ("AP@2", (1 / 2) / 3),
    ("AP(rel=2)@100", (1 / 2 + 2 / 4) / 2),
    ("P@2", 1 / 2),
    ("P@10", 2 / 10),  # four were returned; the rest count as not relevant
    ("R@2", 1 / 3),
    ("R@10", 2 / 3),
    ("R(rel=2)@10", 1.0),
    ("Success@1", 0.0),
    ("Success@2", 1.0),
    ("Judged@3", 2 / 3),
    ("Judged@10", 3 / 4),
    ("SetP", 2 / 4),
    ("SetR", 2 / 3),
    ("SetF", 2 * 2 / (4 + 3)),
    # ideal a, d, c: overlaps 0, 1, 1, 2 at the ranking's four depths against 1, 2, 3, 3 for the ideal itself
    # (0 + 1/4 + 1/12 + 1/16) / (1 + 1/2 + 1/4 + 3/32)
    ("Compat(p=0.5)", (1 / 4 + 1 / 12 + 1 / 16) / (1 + 1 / 2 + 1 / 4 + 3 / 32)),
]


@pytest.mark.parametrize(("measure", "value"), BY_HAND)
def test_value_by_hand(measure, value):
    assert score_ranking(measure, RANKED, JUDGED) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("measure", [name for name, _ in BY_HAND])
@pytest.mark.parametrize(
    "judged", [{}, {"a": 0, "b": -1}, {"a": -1, "b": -2}], ids=["unjudged", "not relevant", "negative"]
)
def test_nothing_relevant_is_zero(measure, judged):
    if not measure.startswith("Judged"):
        assert score_ranking(measure, RANKED, judged) == 0.0


@pytest.mark.parametrize("measure", [name for name, _ in BY_HAND])
def test_an_empty_ranking_is_zero(measure):
    assert score_ranking(measure, [], JUDGED) == 0.0


@pytest.mark.parametrize("k", [0, -1])
def test_a_cutoff_below_one_is_refused(k):
    with pytest.raises(InvalidInput, match=str(k)):
        ndcg([1], [1], k=k)


def test_an_unknown_gain_is_refused():
    with pytest.raises(UnknownName, match="exp-log2"):
        ndcg([1], [1], dcg="log10")


GRADES = st.lists(st.integers(-2, 4), max_size=8)


@given(GRADES, st.integers(1, 10), st.sampled_from(["log2", "exp-log2"]))
def test_ndcg_is_one_for_the_ideal_order_and_never_more(grades, k, dcg):
    best = ndcg(sorted(grades, reverse=True), grades, k=k, dcg=dcg)
    assert best == (1.0 if max(grades, default=0) > 0 else 0.0)
    assert 0.0 <= ndcg(grades, grades, k=k, dcg=dcg) <= best + 1e-12


# ---------------------------------------------------------------------------------------------- rank-biased overlap

ORDERS = st.permutations("abcdef").flatmap(lambda order: st.integers(0, 6).map(lambda n: order[:n]))
PERSISTENCE = st.floats(0.05, 0.95)


@pytest.mark.parametrize(
    ("a", "b", "p", "value"),
    [
        ("ab", "ba", 0.9, 0.1 * (0 + 0.9 * 1) + 0.81 * 1),
        ("abc", "acb", 0.5, 0.5 * (1 + 0.5 * 1 / 2 + 0.25 * 1) + 0.125 * 1),
        # uneven: X = 0, 1, 1 and X_s = 0, so A = 0, 1/2, 1/3
        ("xyz", "y", 0.5, 0.5 * (0 + 0.5 / 2 + 0.25 / 3) + 0.125 / 3),
        # uneven: X = 1, 1, 1 and X_s = 1, so the extrapolated agreement stays 1
        ("xyz", "x", 0.5, 1.0),
        ("abc", "xyz", 0.9, 0.0),
        ("", "", 0.9, 1.0),
        ("", "a", 0.9, 0.0),
    ],
)
def test_rbo_by_hand(a, b, p, value):
    assert rbo(a, b, p) == pytest.approx(value)


@given(ORDERS, ORDERS, PERSISTENCE)
def test_rbo_agrees_with_equation_32_as_printed(a, b, p):
    long, short = sorted((a, b), key=len, reverse=True)
    n, s = len(long), len(short)
    if not s:
        return
    x = [0] + [len({*short[:d]} & {*long[:d]}) for d in range(1, n + 1)]
    first = sum(x[d] / d * p**d for d in range(1, n + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    expected = (1 - p) / p * (first + second) + ((x[n] - x[s]) / n + x[s] / s) * p**n
    assert rbo(a, b, p) == pytest.approx(expected)


@given(ORDERS, ORDERS, PERSISTENCE)
def test_rbo_is_symmetric_within_bounds_and_one_on_itself(a, b, p):
    assert rbo(a, b, p) == pytest.approx(rbo(b, a, p))
    assert -1e-12 <= rbo(a, b, p) <= 1 + 1e-12
    assert rbo(a, a, p) == pytest.approx(1.0)


def test_rbo_weighs_the_top_more():
    assert rbo("abcd", "abdc") > rbo("abcd", "bacd")


@pytest.mark.parametrize("p", [0, 1, -0.5, 2])
def test_persistence_outside_the_open_interval_is_refused(p):
    with pytest.raises(InvalidInput, match="persistence"):
        rbo("a", "b", p)
    with pytest.raises(InvalidInput, match="persistence"):
        compatibility([1], [1], p=p)


@pytest.mark.parametrize("orders", [("aa", "ab"), ("ab", "aab")])
def test_rbo_refuses_an_order_with_a_repeated_item(orders):
    with pytest.raises(InvalidInput, match="once"):
        rbo(*orders)


def test_compatibility_takes_ties_in_favour_of_the_ranking():
    assert compatibility([2, 2, 1, 1], [1, 2, 2, 1]) == pytest.approx(1.0)


# --------------------------------------------------------------------------------------------- ties among the scores

SCORED = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=6)


def every_order_of_ties(scored):
    """Return the nDCG@k inputs of each order of the passages that the scores allow."""
    orders = itertools.permutations(scored)
    return [
        [grade for _, grade in order]
        for order in orders
        if [s for s, _ in order] == sorted((s for s, _ in scored), reverse=True)
    ]


@given(SCORED, st.integers(1, 7))
def test_tied_ndcg_is_the_mean_and_the_worst_of_every_order(scored, k):
    scores, grades = zip(*scored, strict=True)
    values = [ndcg(order, grades, k=k) for order in every_order_of_ties(scored)]
    assert ndcg_ties(scores, grades, k) == pytest.approx(math.fsum(values) / len(values))
    assert ndcg_ties(scores, grades, k, how="worst") == pytest.approx(min(values))


@given(SCORED, st.randoms())
def test_tied_ndcg_does_not_depend_on_the_order_of_the_input(scored, random):
    shuffled = random.sample(scored, len(scored))
    for how in ("mean", "worst"):
        assert ndcg_ties(*zip(*scored, strict=True), 10, how) == pytest.approx(
            ndcg_ties(*zip(*shuffled, strict=True), 10, how)
        )


@pytest.mark.parametrize(
    ("scores", "grades", "k", "how", "value"),
    [
        ([9, 5, 5], [0, 2, 0], None, "mean", (1 / math.log2(3) + 1 / 2) / 2),  # 2 shared over ranks 2 and 3, by ideal 2
        ([9, 5, 5], [0, 2, 0], None, "worst", 1 / 2),
        ([5, 5], [1, 0], 1, "mean", 1 / 2),  # the tie straddles the cutoff
        ([5, 5], [1, 0], 1, "worst", 0.0),
        ([10] * 4, [1, 0, 0, 0], None, "worst", 1 / math.log2(5)),  # "all tens" is not rewarded
        ([3, 2, 1], [3, 2, 1], None, "mean", 1.0),
        ([1, 1], [0, -1], None, "mean", 0.0),
        ([], [], None, "mean", 0.0),
    ],
)
def test_tied_ndcg_by_hand(scores, grades, k, how, value):
    assert ndcg_ties(scores, grades, k, how) == pytest.approx(value)


def test_tied_ndcg_refuses_what_it_cannot_order():
    with pytest.raises(InvalidInput, match="2 scores for 1 grades"):
        ndcg_ties([1, 2], [1])
    with pytest.raises(InvalidInput, match="NaN"):
        ndcg_ties([1, math.nan], [1, 0])
    with pytest.raises(UnknownName, match="worst"):
        ndcg_ties([1], [1], how="best")
