"""Credit within a group: hand-computed, shift-invariant, and nothing for a group of one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidInput, UnknownName
from shortlist.training.text.advantages import FORMS, advantages, flat_share

REWARDS = st.lists(st.floats(-1, 1, width=16), min_size=4, max_size=4)


def test_the_forms_by_hand():
    assert advantages([1, 0, 0.5], 3, "mean") == [0.5, -0.5, 0.0]
    assert advantages([1, 0, 0.5], 3, "leave_one_out") == [0.75, -0.75, 0.0]
    assert advantages([1, 0, 0.5], 3, "z_score") == pytest.approx([1, -1, 0], abs=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_group_of_one_or_of_equals_is_credited_nothing(form):
    assert advantages([3.0, 7.0], 1, form) == [0, 0]
    assert advantages([3.0, 3.0], 2, form) == [0, 0]


@pytest.mark.parametrize("form", FORMS)
def test_a_reply_without_a_reward_is_left_out_and_credited_nothing(form):
    told = advantages([1.0, None, 0.0, math.nan], 4, form)
    assert [told[1], told[3]] == [0, 0]
    assert [told[0], told[2]] == advantages([1.0, 0.0], 2, form)
    assert advantages([1.0, None], 2, form) == [0, 0]


@given(REWARDS, st.floats(-5, 5), st.sampled_from(sorted(FORMS)))
def test_only_differences_count(rewards, shift, form):
    moved = advantages([reward + shift for reward in rewards], 4, form)
    assert moved == pytest.approx(advantages(rewards, 4, form), abs=1e-2)
    assert abs(sum(moved)) < 1e-6


def test_groups_do_not_see_each_other():
    assert advantages([1, 0, 5, 3], 2, "mean") == [0.5, -0.5, 1, -1]
    assert flat_share([1, 1, 1, 0, None, 2], 2) == pytest.approx(2 / 3)
    with pytest.raises(InvalidInput, match="whole groups"):
        advantages([1, 2, 3], 2)
    with pytest.raises(UnknownName, match="advantage"):
        advantages([1, 2], 2, "best")
    assert np.isfinite(advantages([1e9, -1e9], 2)).all()
