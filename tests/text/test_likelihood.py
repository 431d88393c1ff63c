import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.text.likelihood import exclusive, shares_of


@given(st.lists(st.floats(), max_size=12))
def test_shares_sum_to_one_or_are_unknown(logprobs):
    shares = shares_of(logprobs)
    known = any(-math.inf < value < math.inf for value in logprobs)
    assert (shares is not None) == known
    assert shares is None or (sum(shares) == pytest.approx(1) and min(shares) >= 0)


def test_a_sure_ten_spelt_in_two_tokens_is_a_ten():
    labels = tuple(str(i) for i in range(11))
    tokens = (1,) * 10 + (2,)
    logprobs = [math.log(0.01)] * 11
    logprobs[1], logprobs[10] = math.log(0.9), math.log(0.89)  # "1" holds "10"
    left = [math.exp(value) for value in exclusive(labels, logprobs, tokens)]
    assert left[1] == pytest.approx(0.01)
    assert left[10] == pytest.approx(0.89)
    assert left[2] == pytest.approx(0.01)


def test_labels_of_one_token_are_left_alone():
    assert exclusive(("1", "10"), (-1.0, -2.0), (1, 1)) == (-1.0, -2.0)
    assert exclusive(("1", "10"), (-1.0, -2.0), ()) == (-1.0, -2.0)
    assert exclusive(("yes", "no"), (-1.0, -2.0), (1, 2)) == (-1.0, -2.0)


def test_nothing_is_taken_twice():
    logprobs = tuple(map(math.log, (0.9, 0.5, 0.2)))
    left = exclusive(("a", "ab", "abc"), logprobs, (1, 2, 3))
    assert [math.exp(value) for value in left] == pytest.approx([0.4, 0.3, 0.2])


def test_unknown_stays_unknown():
    assert exclusive(("1", "10"), (-math.inf, -1.0), (1, 2)) == (-math.inf, -1.0)
    assert exclusive(("1", "10"), (-1.0, -1.0), (1, 2)) == (-math.inf, -1.0)
