"""Credit forms and baselines: numbers by hand, what NaN masks, and how the forms fit together."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shortlist.errors import InvalidInput
from shortlist.training import advantages as adv

NAN = math.nan
R = np.array([[0.0, 1.0, 1.0], [0.5, 0.5, 0.0]])
V = np.array([0.25, 0.5, 0.75])
quick = settings(max_examples=40, deadline=None)
levels = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(1, 4)), elements=st.floats(0, 1))


def same(got, expected):
    np.testing.assert_allclose(got, expected, atol=1e-12)


# ------------------------------------------------------------------------------------------------ by hand


def test_prefix():
    same(adv.prefix(R, V), [[-0.25, 0.5, 0.25], [0.25, 0.0, -0.75]])


def test_to_go():
    same(adv.to_go(R, V, 1.0), [[0.5, 0.75, 0.25], [-0.5, -0.75, -0.75]])
    same(adv.to_go(R, V, 0.5), [[0.0625, 0.625, 0.25], [0.0625, -0.375, -0.75]])


def test_terminal():
    same(adv.terminal(R, V), [[0.25] * 3, [-0.75] * 3])
    same(adv.terminal(R, 0.5), [[0.5] * 3, [-0.5] * 3])


def test_the_two_gaes():
    # deltas with gamma 1: r + v_{t+1} - v_t = [.25, 1.25, .25] and [.75, .75, -.75]
    same(adv.literal_gae(R, V, 1.0, 0.5), [[0.875, 1.25, 0.0], [1.125, 0.75, 0.0]])
    same(adv.terminal_gae(R, V, 1.0, 0.5), [[0.9375, 1.375, 0.25], [0.9375, 0.375, -0.75]])
    same(adv.terminal_gae(R, V, 0.5, 0.0), R + np.array([0.25, 0.375, 0.0]) - V)


def test_with_one_step_the_literal_form_learns_nothing():
    same(adv.literal_gae([[1.0], [0.0]], 0.5, 1.0, 0.95), [[0.0], [0.0]])
    same(adv.terminal_gae([[1.0], [0.0]], 0.5, 1.0, 0.95), [[0.5], [-0.5]])


def test_marginal():
    same(adv.marginal(R), [[0, 1, 0], [0.5, 0, -0.5]])
    same(adv.marginal(R, before=0.5), [[-0.5, 1, 0], [0, 0, -0.5]])
    same(adv.marginal(R, before=[0.5, 0.25]), [[-0.5, 1, 0], [0.25, 0, -0.5]])


def test_baselines():
    same(adv.leave_one_out([[0, 1.0], [0.5, 0.5], [1, 0]]), [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    same(adv.group_mean(R), [[0.25, 0.75, 0.5]])
    same(adv.reference_greedy(V), [V])
    same(adv.current_greedy(V), [V])
    same(adv.mixed(adv.leave_one_out(R), adv.reference_greedy(V), share=0.25), 0.25 * R[::-1] + 0.75 * V)
    same(adv.prefix(R, adv.none()), R)


def test_group_z_score():
    made = adv.group_z_score([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], eps=1.0)
    same(made, [[-0.5, 0], [0, 0], [0.5, 0]])


def test_a_group_of_one_has_no_advantage():
    same(adv.group_z_score([[0.9, 0.1]]), [[0, 0]])
    same(adv.group_z_score([[0.9], [NAN]]), [[0], [NAN]])


# ------------------------------------------------------------------------------------------------ lists that ended


def test_a_finished_list_keeps_its_reward():
    told = [[0.2, 0.8, 0.4], [0.6, NAN, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]]
    carried = adv.carry(told, [3, 1, 0, 2], before=0.1)
    same(carried, [[0.2, 0.8, 0.4], [0.6, 0.6, 0.6], [0.1, 0.1, 0.1], [NAN, NAN, NAN]])


def test_the_others_at_a_step_include_those_that_have_ended():
    carried = adv.carry([[0.2, 0.8], [0.6, NAN]], [2, 1])
    same(adv.leave_one_out(carried), [[0.6, 0.6], [0.2, 0.8]])


def test_stopping_is_credited_with_what_the_list_keeps():
    # The second list stops at its second step with .6, while the first goes on to .8: stopping lost .2.
    carried = adv.carry([[0.2, 0.8], [0.6, NAN]], [2, 1])
    same(adv.to_go(carried, adv.leave_one_out(carried), 1.0)[1], [0.4 - 0.2, -0.2])


def test_gains_past_the_stop_are_zero():
    same(adv.marginal(adv.carry([[0.5, NAN, NAN]], [1])), [[0.5, 0, 0]])


@pytest.mark.parametrize("lengths", [[1], [4, 1], [-1, 0]])
def test_impossible_lengths_are_refused(lengths):
    with pytest.raises(InvalidInput, match="lengths"):
        adv.carry(R, lengths)


# ------------------------------------------------------------------------------------------------ what is not known


def test_what_could_not_be_scored_masks_what_rests_on_it():
    r = [[1.0, NAN, 0.5]]
    same(adv.prefix(r, 0.0), [[1, NAN, 0.5]])
    same(adv.to_go(r, 0.0, 0.0), [[1, NAN, 0.5]])
    same(adv.to_go(r, 0.0, 0.5), [[NAN, NAN, 0.5]])
    same(adv.terminal(r, 0.0), [[0.5] * 3])
    same(adv.terminal([[1.0, NAN]], 0.0), [[NAN, NAN]])
    same(adv.marginal(r), [[1, NAN, NAN]])
    same(adv.literal_gae([[1.0, 0.5, NAN]], 0.0, 1.0, 1.0), [[1.5, 0.5, 0.0]])


def test_leave_one_out_skips_others_that_could_not_be_scored():
    same(adv.leave_one_out([[1.0], [NAN], [0.0]]), [[0], [0.5], [1]])
    same(adv.leave_one_out([[1.0], [NAN]]), [[NAN], [1]])


def test_leave_one_out_needs_another_sample():
    with pytest.raises(InvalidInput, match="at least 2"):
        adv.leave_one_out([[1.0, 0.0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: adv.prefix([1.0], 0.0),
        lambda: adv.prefix(R, [0.1, 0.2]),
        lambda: adv.to_go(R, V, 1.5),
        lambda: adv.literal_gae(R, V, 1.0, -0.1),
        lambda: adv.mixed(R, V, NAN),
        lambda: adv.reference_greedy(R),
        lambda: adv.SlidingWhitener(window=1),
    ],
)
def test_bad_values_are_refused(call):
    with pytest.raises(InvalidInput):
        call()


# ------------------------------------------------------------------------------------------------ properties


@quick
@given(levels)
def test_to_go_runs_from_the_prefix_form_to_all_that_is_to_come(r):
    same(adv.to_go(r, 0.1, 0.0), adv.prefix(r, 0.1))
    same(adv.to_go(r, 0.1, 1.0)[:, 0], (r - 0.1).sum(axis=1))


@quick
@given(levels)
def test_gains_to_come_are_the_last_level_less_the_one_before(r):
    before = np.concatenate([np.zeros((len(r), 1)), r[:, :-1]], axis=1)
    same(adv.to_go(adv.marginal(r), 0.0, 1.0), r[:, -1:] - before)


@quick
@given(levels, st.floats(0, 1), st.floats(0, 1))
def test_gae_differs_from_to_go_only_by_what_is_the_same_for_all_samples(r, gamma, lam):
    v = np.linspace(0.2, 0.7, r.shape[1])
    gap = adv.terminal_gae(r, v, gamma, lam) - adv.to_go(r, 0.0, gamma * lam)
    same(gap, np.broadcast_to(gap[0], gap.shape))


@quick
@given(levels)
def test_leave_one_out_is_the_group_mean_stretched(r):
    stretch = len(r) / (len(r) - 1)
    same(r - adv.leave_one_out(r), stretch * (r - adv.group_mean(r)))


@quick
@given(levels, st.floats(-5, 5), st.floats(0.1, 10))
def test_z_scores_ignore_level_and_scale(r, shift, scale):
    if r.std(axis=0).min() > 0.01:
        np.testing.assert_allclose(
            adv.group_z_score(r * scale + shift, eps=0.0), adv.group_z_score(r, eps=0.0), atol=1e-6
        )


@quick
@given(levels)
def test_nothing_changes_what_it_was_given(r):
    kept = r.copy()
    adv.to_go(r, adv.leave_one_out(r), 0.9)
    adv.literal_gae(r, 0.0, 1.0, 0.9)
    adv.group_z_score(r)
    adv.carry(r, [0] * len(r))
    adv.SlidingWhitener(4)(r)
    np.testing.assert_array_equal(r, kept)


# ------------------------------------------------------------------------------------------------ whitening


def test_whitening_by_hand_and_what_falls_out_of_the_window():
    whitener = adv.SlidingWhitener(window=2, eps=0.0)
    same(whitener([[1.0, 3.0]]), [[-1, 1]])
    same(whitener([[7.0]]), [[1.0]])  # of 3 and 7: mean 5, sd 2
    same(whitener([[NAN, 11.0]]), [[NAN, 1.0]])


def test_a_single_advantage_or_equal_ones_whiten_to_zero():
    whitener = adv.SlidingWhitener(8)
    same(whitener([[0.75]]), [[0]])
    same(whitener([[0.75, 0.75]]), [[0, 0]])
    same(adv.SlidingWhitener(8)([[NAN]]), [[NAN]])


def test_a_whitener_goes_on_from_its_state_exactly():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 4))
    one, other = adv.SlidingWhitener(9), adv.SlidingWhitener(9)
    one(first)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    np.testing.assert_array_equal(one(second), other(second))


def test_the_state_of_another_window_is_refused():
    with pytest.raises(InvalidInput, match="window 9"):
        adv.SlidingWhitener(8).load_state_dict(adv.SlidingWhitener(9).state_dict())
