"""Against scipy, and against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_systems import QRELS, REQUESTS, Finder, perfect, request

from shortlist.errors import InvalidInput, UnknownName
from shortlist.evaluation import compare, evaluate, holm, paired_bootstrap, paired_t_test
from shortlist.evaluation.significance import incomplete_beta, mean_intervals, resampled_means, t_two_sided

scipy_stats = pytest.importorskip("scipy.stats")
scipy_special = pytest.importorskip("scipy.special")


@settings(deadline=None)
@given(st.floats(0.5, 5e4), st.floats(0.1, 50), st.floats(0, 1))
def test_incomplete_beta_is_scipys(a, b, x):
    assert incomplete_beta(a, b, x) == pytest.approx(scipy_special.betainc(a, b, x), rel=1e-8, abs=1e-13)


@settings(deadline=None)
@given(st.floats(-40, 40), st.integers(1, 100_000))
def test_t_distribution_is_scipys(t, df):
    assert t_two_sided(t, df) == pytest.approx(2 * scipy_stats.t.sf(abs(t), df), rel=1e-7, abs=1e-300)


@pytest.mark.parametrize("n", [2, 3, 10, 500])
def test_paired_t_test_is_scipys(n):
    rng = np.random.default_rng(n)
    after, before = rng.random(n) + 0.1, rng.random(n)
    expected = scipy_stats.ttest_rel(after, before)
    assert paired_t_test(after, before) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


def test_t_by_hand():
    # differences 1, 2, 3: mean 2, deviation 1, error 1/sqrt(3); with 2 degrees of freedom p = 1 - t / sqrt(2 + t^2)
    t, p = paired_t_test([1, 2, 3], [0, 0, 0])
    assert t == pytest.approx(2 * math.sqrt(3))
    assert p == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_equal_differences():
    assert paired_t_test([1, 2], [1, 2]) == (0.0, 1.0)
    assert paired_t_test([1, 2], [0, 1]) == (math.inf, 0.0)
    assert paired_t_test([0.3, 0.5], [0.6, 0.8]) == (-math.inf, 0.0)  # equal up to rounding
    assert paired_bootstrap([1, 2, 3], [1, 2, 3], resamples=100)[0] == 1.0


def test_bootstrap_interval_is_scipys():
    rng = np.random.default_rng(1)
    delta = rng.normal(0.05, 0.2, 80)
    ours = paired_bootstrap(delta, np.zeros(80), seed=3)
    theirs = scipy_stats.bootstrap((delta,), np.mean, method="percentile", n_resamples=10_000, rng=5)
    assert ours[1] == pytest.approx(tuple(theirs.confidence_interval), abs=0.004)
    assert ours[0] == pytest.approx(paired_t_test(delta, np.zeros(80))[1], abs=0.01)


def test_bootstrap_by_hand():
    # two queries, differences 1 and 0: a resample's mean is 0, 1/2 or 1 with chance 1/4, 1/2, 1/4; as far from the
    # mean as the mean is from 0 are 0 and 1
    p, interval = paired_bootstrap([1, 0], [0, 0], resamples=20_000)
    assert p == pytest.approx(0.5, abs=0.01)
    assert interval == (0.0, 1.0)


def test_bootstrap_is_seeded_and_symmetric():
    rng = np.random.default_rng(2)
    left, right = rng.random(30), rng.random(30)
    assert paired_bootstrap(left, right, seed=7) == paired_bootstrap(left, right, seed=7)
    assert paired_bootstrap(left, right, seed=7)[1] != paired_bootstrap(left, right, seed=8)[1]
    assert paired_bootstrap(left, right, seed=7)[0] == paired_bootstrap(right, left, seed=7)[0]


def test_bootstrap_holds_its_level():
    rng = np.random.default_rng(4)
    ps = [paired_bootstrap(rng.normal(size=40), np.zeros(40), resamples=500, seed=i)[0] for i in range(300)]
    assert 0.02 < np.mean(np.array(ps) < 0.05) < 0.09


def test_many_queries_are_drawn_in_pieces():
    means = resampled_means(np.arange(5_000.0)[:, None], resamples=1_000)  # five pieces of draws
    assert means.shape == (1_000, 1)
    assert means.mean() == pytest.approx(2499.5, rel=0.01)
    assert means.std() == pytest.approx(5_000 / math.sqrt(12 * 5_000), rel=0.1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_never_helps(ps):
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    assert all(adjusted[i] <= adjusted[j] for i in range(len(ps)) for j in range(len(ps)) if ps[i] < ps[j])


def test_bad_input():
    with pytest.raises(InvalidInput, match="one of each"):
        paired_bootstrap([1, 2], [1])
    with pytest.raises(InvalidInput, match="NaN"):
        paired_t_test([1, math.nan], [1, 2])
    with pytest.raises(InvalidInput, match="two queries"):
        paired_t_test([1], [2])


def test_compare():
    result = evaluate([perfect()], REQUESTS, QRELS, ["RR", "P@1"])
    reciprocal, precision = compare(result, resamples=2_000)
    assert (reciprocal.system, reciprocal.baseline, reciprocal.measure, reciprocal.n) == (
        "perfect",
        "first-stage",
        "RR",
        3,
    )
    assert reciprocal.difference == pytest.approx((0.5 + 0 + 0.75) / 3)
    assert (reciprocal.wins, reciprocal.ties, reciprocal.losses) == (2, 1, 0)
    assert reciprocal.p_t == pytest.approx(scipy_stats.ttest_rel([1, 1, 1], [0.5, 1, 0.25]).pvalue)
    assert [c.p_holm for c in (reciprocal, precision)] == holm([reciprocal.p, precision.p])
    assert compare(result, resamples=2_000) == (reciprocal, precision)
    (back, _) = compare(result, "perfect", resamples=2_000)
    assert (back.system, back.difference, back.p) == ("first-stage", -reciprocal.difference, reciprocal.p)
    with pytest.raises(UnknownName):
        compare(result, "nobody")


def test_compare_over_the_queries_that_a_measure_applies_to():
    result = evaluate([perfect()], [*REQUESTS, request("q4", {1})], QRELS, ["RR"], reader=Finder(), read_at=(1,))
    assert {c.measure: c.n for c in compare(result, measures=["RR", "EM@1"])} == {"RR": 3, "EM@1": 4}


def test_a_single_query_has_no_t_test():
    (comparison,) = compare(evaluate([perfect()], REQUESTS[:1], {"q1": {"d1": 1}}, ["RR"]))
    assert comparison.p_t is None
    assert comparison.mark == "" or comparison.p_holm < 0.05


def test_mean_intervals_hold_the_mean():
    first = evaluate([], REQUESTS, QRELS, ["RR"]).first
    interval = mean_intervals(first)["RR"]
    assert interval.low <= first.measures["RR"] <= interval.high
