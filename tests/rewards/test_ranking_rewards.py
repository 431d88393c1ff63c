import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reward_doubles import docs, query

from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics.ranking import ndcg
from shortlist.reading.base import Reading
from shortlist.rewards.ranking import PrefixNDCG, PrefixRecall
from shortlist.testing.rewards import check_reward

QRELS = {"q": {"a": 2, "b": 1, "c": 1, "z": 0}, "none": {"a": 0}}


def test_ndcg_of_prefixes_by_hand():
    """Ideal at 3: 2 + 1/log2(3) + 1/2; the prefix z, a has 0 + 2/log2(3)."""
    reward = PrefixNDCG(QRELS, 3)
    ideal = 2 + 1 / math.log2(3) + 0.5
    told = reward.score([Reading(query(), docs(ids)) for ids in ("", "a", "za", "abc", "abcz")])
    assert told == pytest.approx([0.0, 2 / ideal, 2 / math.log2(3) / ideal, 1.0, 1.0])
    assert reward.name == "nDCG@3"


def test_recall_of_prefixes_by_hand():
    assert PrefixRecall(QRELS).score([Reading(query(), docs(ids)) for ids in ("", "az", "abc")]) == [0.0, 1 / 3, 1.0]
    assert PrefixRecall(QRELS, rel=2).score([Reading(query(), docs("xa"))]) == [1.0]


@pytest.mark.parametrize("reward", [PrefixNDCG(QRELS), PrefixRecall(QRELS), PrefixNDCG(QRELS, dcg="exp-log2")])
def test_what_nothing_is_relevant_to_cannot_be_scored(reward):
    assert reward.score([Reading(query(name), docs("a")) for name in ("none", "unknown")]) == [None, None]
    check_reward(reward)
    check_reward(reward, [Reading(query(), docs(ids)) for ids in ("", "a", "za", "abc")])


@given(st.permutations("abcxyz"), st.integers(1, 8))
def test_levels_rise_with_the_prefix_and_are_the_measure_of_the_whole(order, k):
    prefixes = [Reading(query(), docs("".join(order[:n]))) for n in range(7)]
    levels = PrefixNDCG(QRELS, k).score(prefixes)
    assert levels == sorted(levels)
    assert levels[-1] == pytest.approx(ndcg([QRELS["q"].get(i) for i in order], list(QRELS["q"].values()), k=k))


def test_wrong_configuration():
    with pytest.raises(InvalidInput):
        PrefixNDCG(QRELS, 0)
    with pytest.raises(UnknownName):
        PrefixNDCG(QRELS, dcg="log3")
    with pytest.raises(InvalidInput):
        PrefixRecall(QRELS, rel=0)
