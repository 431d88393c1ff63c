"""Rewards of orders and scores against gold, by hand and in general."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_doubles import (
    GROUP,
    LISTWISE,
    SETWISE,
    SUBSET,
    failed,
    group,
    lesson,
    level,
    orders,
    quick,
    replies,
    says,
    scored,
)

from shortlist.data.lessons import Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics import ndcg, rbo
from shortlist.metrics.overlap import jensen_shannon, rbo_ties, softmax
from shortlist.rewards.text import NDCG, Alignment, RankOverlap, Recall, RelativeNDCG, Reply
from shortlist.rewards.text.gold import gold_levels
from shortlist.testing.text_rewards import check_text_reward
from shortlist.types import Judgement

LOG3 = math.log2(3)

# ------------------------------------------------------------------------------------------------ nDCG


def test_ndcg_by_hand():
    """Grades 0, 2, 1 at places 0, 1, 2; the ideal is 2 + 1/log2(3)."""
    given = lesson("abc", [0, 2, 1])
    ideal = 2 + 1 / LOG3
    assert level(NDCG(), orders(given, (1, 2, 0))) == pytest.approx(1.0)
    assert level(NDCG(), orders(given, (0, 1, 2))) == pytest.approx((2 / LOG3 + 1 / 2) / ideal)
    assert level(NDCG(1), orders(given, (2, 1, 0))) == pytest.approx(1 / 2)


def test_the_exponential_gain_by_hand():
    """Gains 0, 3, 1."""
    given = lesson("abc", [0, 2, 1])
    told = level(NDCG(dcg="exp-log2"), orders(given, (2, 1, 0)))
    assert told == pytest.approx((1 + 3 / LOG3) / (3 + 1 / LOG3))


def test_ties_of_scores_are_the_mean_of_their_orders_or_the_worst():
    given = lesson("ab", [0, 1])
    assert level(NDCG(), group(given, 5, 5)) == pytest.approx((1 + 1 / LOG3) / 2)
    assert level(NDCG(ties="worst"), group(given, 5, 5)) == pytest.approx(1 / LOG3)
    turned = lesson("ba", [1, 0])
    assert level(NDCG(), group(turned, 5, 5)) == pytest.approx((1 + 1 / LOG3) / 2)  # whatever the slate's order


def test_what_was_not_ordered_is_tied():
    """A choice, a subset and a partial list say nothing of the rest."""
    given = lesson("abc", [1, 0, 0])
    half = (1 / LOG3 + 1 / 2) / 2  # a is tied over ranks 2 and 3
    assert level(NDCG(), says(SETWISE, "B", given)) == pytest.approx(half)
    assert level(NDCG(), says(SETWISE, "A", given)) == pytest.approx(1.0)
    assert level(NDCG(), says(SUBSET, "[2]", given)) == pytest.approx(half)
    assert level(NDCG(), says(SUBSET, "None", given)) == pytest.approx((1 + 1 / LOG3 + 1 / 2) / 3)
    partial = says(LISTWISE, "[2]", given)
    assert level(NDCG(strict=False), partial) == pytest.approx(half)
    assert level(NDCG(), partial) == 0.0


@pytest.mark.parametrize("grades", [None, [0, 0, 0], {"elsewhere": 3}])
def test_nothing_relevant_cannot_be_scored(grades):
    given = lesson("abc", grades)
    for reward in (NDCG(), RelativeNDCG(), Recall(), NDCG(gold="teacher"), RankOverlap(), NDCG(gold="target")):
        assert level(reward, orders(given, (0, 1, 2))) is None
        assert level(reward, failed(given)) is None


def test_degenerate_slates():
    empty = lesson("", {})
    assert level(NDCG(), orders(empty, ())) is None
    one = lesson("a", [2])
    assert level(NDCG(), orders(one, (0,))) == 1.0
    same = lesson("abc", [1, 1, 1])
    assert level(NDCG(), orders(same, (2, 0, 1))) == pytest.approx(1.0)
    assert level(NDCG(), failed(same)) == 0.0


def test_gold_from_a_teacher_and_a_target():
    """Levels 0.5, 0, 1 of the teacher's -1, -3, 1."""
    given = lesson("abc", teacher={"a": -1, "b": -3, "c": 1}, target=Target(order=(1,)))
    assert level(NDCG(gold="teacher"), orders(given, (2, 0, 1))) == pytest.approx(1.0)
    told = level(NDCG(gold="teacher"), orders(given, (0, 2, 1)))
    assert told == pytest.approx((0.5 + 1 / LOG3) / (1 + 0.5 / LOG3))
    assert level(NDCG(gold="target"), orders(given, (0, 1, 2))) == pytest.approx(1 / LOG3)
    partly = lesson("abc", teacher={"a": 2, "c": 4})  # levels 0, 0 (not known), 1
    assert gold_levels(partly, "teacher") == (0.0, 0.0, 1.0)
    far = lesson("abc", teacher={"a": -1e308, "b": 1e308, "c": 0})
    assert gold_levels(far, "teacher") == (0.0, 1.0, 0.5)
    scores = lesson("abc", target=Target(scores=(3.0, 1.0, 2.0)))
    assert gold_levels(scores, "target") == (1.0, 0.0, 0.5)


@quick
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), st.randoms(), st.integers(1, 7))
def test_ndcg_is_the_measure(grades, random, k):
    n = len(grades)
    order = random.sample(range(n), n)
    given = lesson("abcdef"[:n], grades)
    for dcg in ("log2", "exp-log2"):
        told = level(NDCG(k, dcg=dcg), orders(given, order))
        assert told == pytest.approx(ndcg([grades[i] for i in order], grades, k=k, dcg=dcg))


@quick
@given(st.floats(0, 1e308), st.floats(0, 1e308))
def test_huge_and_tiny_grades_do_not_overflow(a, b):
    for dcg in ("log2", "exp-log2"):
        told = level(NDCG(dcg=dcg), orders(lesson("ab", [a, b]), (1, 0)))
        assert told is None if a == b == 0 else 0 <= told <= 1


# ------------------------------------------------------------------------------------------------ relative nDCG


def test_relative_ndcg_by_hand():
    """One relevant of three: as shown it is at rank 2 (1/log2 3)."""
    given = lesson("abc", [0, 1, 0])
    reward = RelativeNDCG()
    assert level(reward, orders(given, (1, 0, 2))) == pytest.approx(1.0)
    assert level(reward, orders(given, (0, 1, 2))) == pytest.approx(0.0)
    shown = 1 / LOG3
    assert level(reward, orders(given, (0, 2, 1))) == pytest.approx((1 / 2 - shown) / (1 - shown))


def test_relative_ndcg_is_clipped():
    """Shown almost ideal: the worst order would earn far less than -1."""
    given = lesson("abcd", [3, 2, 0, 1])
    assert level(RelativeNDCG(), orders(given, (2, 3, 1, 0))) == -1.0


def test_relative_ndcg_of_an_ideal_slate():
    """No room: keeping it is worth 1, spoiling it N - 1."""
    given = lesson("ab", [1, 0])
    assert level(RelativeNDCG(), orders(given, (0, 1))) == 1.0
    assert level(RelativeNDCG(), orders(given, (1, 0))) == pytest.approx(1 / LOG3 - 1)
    same = lesson("ab", [2, 2])
    assert level(RelativeNDCG(), orders(same, (1, 0))) == 1.0
    assert level(RelativeNDCG(), orders(lesson("a", [1]), (0,))) == 1.0


def test_failing_never_beats_an_order():
    given = lesson("ab", [1, 0])
    assert level(RelativeNDCG(), failed(given)) == -1.0 <= level(RelativeNDCG(), orders(given, (1, 0)))
    assert level(RelativeNDCG(failed=0.0), failed(given)) == 0.0  # as published


# ------------------------------------------------------------------------------------------------ recall


def test_recall_by_hand():
    given = lesson("abcd", [1, 0, 0, 2])
    assert level(Recall(), orders(given, (3, 1, 0, 2))) == pytest.approx(1 / 2)
    assert level(Recall(), orders(given, (3, 0, 1, 2))) == pytest.approx(1.0)
    assert level(Recall(rel=2), orders(given, (3, 0, 1, 2))) == 1.0
    assert level(Recall(3), orders(given, (1, 2, 0, 3))) == pytest.approx(1 / 2)
    assert level(Recall(), group(given, 5, 5, 0, 9)) == pytest.approx((1 + 1 / 2) / 2)  # a shares rank 2 with b
    assert level(Recall(ties="worst"), group(given, 5, 5, 0, 9)) == pytest.approx(1 / 2)


def test_recall_where_all_are_relevant_is_one_for_all():
    given = lesson("abc", [1, 2, 1])
    assert [level(Recall(), orders(given, order)) for order in ((0, 1, 2), (2, 1, 0))] == [1.0, 1.0]


def test_relevant_by_a_teacher_is_the_best_quarter_and_its_ties():
    given = lesson("abcde", teacher={"a": 1, "b": 9, "c": 3, "d": 4, "e": 0})
    assert level(Recall(gold="teacher"), orders(given, (1, 3, 0, 2, 4))) == 1.0  # two of five
    assert level(Recall(gold="teacher"), orders(given, (1, 0, 3, 2, 4))) == pytest.approx(1 / 2)
    four = lesson("abcd", teacher={"a": 1, "b": 9, "c": 3, "d": 4})
    assert level(Recall(gold="teacher"), orders(four, (1, 0, 2, 3))) == 1.0  # one of four
    tied = lesson("abcd", teacher=dict.fromkeys("abcd", 7.0))
    assert level(Recall(gold="teacher"), orders(tied, (0, 1, 2, 3))) is None
    subset = lesson("abcd", target=Target(subset=(2, 0)))
    assert level(Recall(gold="target"), orders(subset, (2, 1, 0, 3))) == pytest.approx(1 / 2)
    assert level(Recall(gold="target"), orders(lesson("ab", target=Target(subset=())), (0, 1))) is None


# ------------------------------------------------------------------------------------------------ overlap


def test_overlap_by_hand():
    given = lesson("ab", teacher={"a": 1.0, "b": 2.0})
    assert level(RankOverlap(), orders(given, (1, 0))) == pytest.approx(1.0)
    assert level(RankOverlap(), orders(given, (0, 1))) == pytest.approx(0.9)
    assert level(RankOverlap(), group(given, 5, 5)) == pytest.approx(0.95)
    assert level(RankOverlap(), failed(given)) == 0.0
    assert level(RankOverlap(), orders(lesson("a", teacher={"a": 1.0}), (0,))) is None  # one passage has no order
    assert level(RankOverlap(gold="grades"), orders(lesson("ab", [1, 0]), (1, 0))) == pytest.approx(0.9)


PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4)


def _ways(values):
    for order in itertools.permutations(range(len(values))):
        if all(values[a] >= values[b] for a, b in itertools.pairwise(order)):
            yield [str(i) for i in order]


@quick
@given(PAIRS, st.sampled_from([0.3, 0.9]))
def test_overlap_with_ties_is_the_mean_over_all_orders(pairs, p):
    one, other = zip(*pairs, strict=True)
    all_ways = [rbo(a, b, p) for a in _ways(one) for b in _ways(other)]
    assert rbo_ties(one, other, p) == pytest.approx(math.fsum(all_ways) / len(all_ways))


def test_overlap_refuses_what_it_cannot_order():
    for wrong in (([1], [1, 2], 0.9), ([1], [1], 1.0), ([math.nan], [1], 0.9)):
        with pytest.raises(InvalidInput):
            rbo_ties(*wrong)
    assert rbo_ties([], []) == 1.0


# ------------------------------------------------------------------------------------------------ alignment


def test_alignment_by_hand():
    """Softmax at temperature 1 / ln 3 of (1, 0) is (3/4, 1/4); its mirror image is a bit away."""
    reward = Alignment(1 / math.log(3))
    given = lesson("ab", [2, 0])
    assert level(reward, group(given, 10, 0)) == pytest.approx(1.0)
    divergence = 3 / 4 * math.log2(3 / 2) + 1 / 4 * math.log2(1 / 2)
    assert level(reward, group(given, 0, 10)) == pytest.approx(1 - divergence)
    flat = jensen_shannon([3 / 4, 1 / 4], [1 / 2, 1 / 2])
    assert level(reward, group(given, 7, 7)) == pytest.approx(1 - flat)
    assert level(reward, failed(given, "scores")) == 0.0
    assert level(reward, scored(given, [10, None])) == 0.0
    assert level(Alignment(1 / math.log(3), strict=False), scored(given, [10, None])) == pytest.approx(1.0)


def test_alignment_degenerate():
    assert level(Alignment(), group(lesson("ab"), 5, 5)) is None  # nothing is known
    assert level(Alignment(), group(lesson("ab", [0, 0]), 5, 5)) == pytest.approx(1.0)  # judged, and equal
    assert level(Alignment(), scored(lesson("a", [1]), [3])) == pytest.approx(1.0)
    assert level(Alignment(), says(GROUP, "{}", lesson(""))) is None


def test_disjoint_distributions_are_a_bit_apart():
    assert jensen_shannon([1, 0], [0, 1]) == 1.0
    assert jensen_shannon(softmax([1, 0], 1e-3), softmax([0, 1], 1e-3)) == pytest.approx(1.0)
    assert softmax([]) == []


# ------------------------------------------------------------------------------------------------ in general

ANY = [
    NDCG(),
    NDCG(3, gold="teacher", dcg="exp-log2", ties="worst", strict=False),
    NDCG(dcg="exp-log2", strict=False),
    RelativeNDCG(),
    RelativeNDCG(2, gold="target", strict=False, failed=0.0),
    Recall(),
    Recall(gold="target", ties="worst", strict=False),
    RankOverlap(),
    RankOverlap(0.5, gold="grades", strict=False),
]


@quick
@given(told=replies())
def test_contract_of_orders(told):
    for reward in ANY:
        check_text_reward(reward, told)


@quick
@given(told=replies(kinds=("scores",)))
def test_contract_of_scores(told):
    for reward in (Alignment(), Alignment(0.05, gold="teacher", strict=False), Alignment(gold="target", strict=False)):
        check_text_reward(reward, told)


def test_a_verdict_of_another_slate_is_found_out():
    given = lesson("abc", [1, 0, 0])
    for wrong in (Judgement(order=(0, 1)), Judgement(order=(0, 0, 1))):
        with pytest.raises(InvalidInput, match="own prompt"):
            NDCG().score([Reply(given, "", wrong)])
    with pytest.raises(InvalidInput, match="2 scores"):
        NDCG().score([scored(given, [1, 2])])
    with pytest.raises(InvalidInput, match="needs scores"):
        Alignment().score([orders(given, (0, 1, 2))])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NDCG(0),
        lambda: NDCG(ties="best"),
        lambda: NDCG(gold="silver"),
        lambda: NDCG(dcg="log3"),
        lambda: RelativeNDCG(failed=2.0),
        lambda: RelativeNDCG(0),
        lambda: Recall(0),
        lambda: Recall(rel=0),
        lambda: Recall(rel=math.nan),
        lambda: RankOverlap(1.0),
        lambda: RankOverlap(gold="qrels"),
        lambda: Alignment(0),
        lambda: Alignment(math.nan),
        lambda: Alignment(top=math.inf),
    ],
)
def test_wrong_configuration(wrong):
    with pytest.raises((InvalidInput, UnknownName)):
        wrong()
