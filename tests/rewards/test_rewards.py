import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reward_doubles import docs, query

from shortlist.errors import InvalidInput
from shortlist.reading.base import Reading
from shortlist.rewards.base import Ledger, Scored, WeightedReward, checked
from shortlist.rewards.cost import PassageCost, TokenCost
from shortlist.rewards.custom import FunctionReward
from shortlist.testing.rewards import PREFIXES, check_reward
from shortlist.types import Usage


def level(value, name="f", bounds=(0.0, 1.0)):
    return FunctionReward(lambda _: value, name, bounds=bounds)


def test_a_sum_is_weighted_by_hand():
    reward = WeightedReward(((level(0.5, "a"), 2.0), (PassageCost(10), 0.3)))
    (scored,) = reward.score_parts([Reading(query(), docs("xyz"))])
    assert scored.parts == {"a": 0.5, "passages": -0.3}
    assert scored.total == pytest.approx(2 * 0.5 - 0.3 * 0.3)
    assert reward.bounds == pytest.approx((-0.3, 2.0))
    assert reward.weights == {"a": 2.0, "passages": 0.3}


def test_a_part_that_cannot_say_leaves_the_whole_unsaid():
    reward = WeightedReward(((level(None, "a"), 1.0), (level(1.0, "b"), 1.0)))
    assert reward.score_parts(PREFIXES[:1]) == [Scored(None, {"a": None, "b": 1.0})]
    assert reward.score(PREFIXES[:2]) == [None, None]


def test_a_negative_weight_turns_the_bounds():
    assert WeightedReward(((level(1.0, bounds=(0.0, 4.0)), -0.5),)).bounds == (-2.0, 0.0)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ((level(0), 0.0),),
        ((level(0), math.inf),),
        ((level(0), math.nan),),
        ((level(0), 1.0), (level(1), 1.0)),
        ((level(0, bounds=(1.0, 1.0)), 1.0),),
        ((level(0, bounds=(0.0, math.inf)), 1.0),),
    ],
)
def test_sums_that_make_no_sense(parts):
    with pytest.raises(InvalidInput):
        WeightedReward(parts)


@pytest.mark.parametrize("levels", [[1.5], [-0.1], [math.nan], [0.1, 0.2], []])
def test_a_reward_that_breaks_its_word_is_found_out(levels):
    with pytest.raises(InvalidInput, match="reward 'f'"):
        checked(level(0), levels, 1)


def test_costs_by_hand():
    prefix = Reading(query(), docs("ab"))
    assert PassageCost(4).score([prefix, Reading(query(), docs("abcdefgh"))]) == [-0.5, -1.0]
    assert TokenCost(30, count=lambda text: len(text.split())).score([prefix]) == [pytest.approx(-6 / 30)]
    for wrong in (0, -1):
        with pytest.raises(InvalidInput):
            PassageCost(wrong)
        with pytest.raises(InvalidInput):
            TokenCost(wrong)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_sum_lies_within_its_bounds(values):
    parts = tuple((level(value, str(i)), (-1) ** i * (i + 1)) for i, value in enumerate(values))
    reward = WeightedReward(parts)
    low, high = reward.bounds
    assert all(low - 1e-9 <= total <= high + 1e-9 for total in reward.score(PREFIXES))


def test_the_ledger_adds_up():
    ledger = Ledger()
    ledger.add(Usage(calls=1, prompt_tokens=3))
    ledger.add(Usage(calls=1, completion_tokens=2), "why")
    ledger.add(Usage(calls=1))
    assert (ledger.usage.calls, ledger.usage.tokens, ledger.error) == (3, 5, "why")


@pytest.mark.parametrize(
    "reward", [PassageCost(), TokenCost(), level(0.5), WeightedReward(((PassageCost(), 1.0), (TokenCost(), 0.5)))]
)
def test_contract(reward):
    check_reward(reward)


class Broken:
    name, bounds = "broken", (0.0, 1.0)

    def __init__(self, score):
        self.score = score


@pytest.mark.parametrize(
    "score",
    [
        lambda prefixes: [2.0] * len(prefixes),
        lambda prefixes: [0.5] * (len(prefixes) + 1),
        lambda prefixes: [math.nan] * len(prefixes),
        lambda prefixes: (0.5,) * len(prefixes),
        lambda prefixes: [i / 100 for i in range(len(prefixes))],  # depends on the place
        lambda prefixes: [1.0 / (1 + len(prefixes))] * len(prefixes),  # on the batch
        lambda prefixes: prefixes.clear() or [],
    ],
)
def test_the_contract_finds_broken_rewards(score):
    with pytest.raises(AssertionError):
        check_reward(Broken(score))
