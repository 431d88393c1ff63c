"""Rewards of pointwise scores among all scores of a query, and of one choice."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from text_doubles import RATING, SETWISE, failed, group, lesson, level, orders, quick, replies, says, scored

from shortlist.data.lessons import Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics.ranking import ndcg_ties
from shortlist.rewards.text import (
    CounterfactualNDCG,
    ExactLabel,
    Exclusion,
    PooledNDCG,
    PooledRank,
    Reply,
    TeacherError,
)
from shortlist.testing.text_rewards import check_text_reward
from shortlist.types import Status

GRADES = {"p": 1, "r": 2}


def point(name, *scores, teacher=None, qid="q", **told):
    """Replies to one lesson of one passage."""
    known = {} if teacher is None else {name: teacher}
    given = lesson(name, GRADES, teacher=known, qid=qid, **told)
    return [says(RATING, str(score), given) for score in scores]


# ------------------------------------------------------------------------------------------------ pooled rank


def test_pooled_ranks_by_hand_over_documents():
    """Means: p 9, r 6, x 7, y 2. p's own replies are ranked among the others' means."""
    told = PooledRank().score(
        [*point("p", 10, 8), *point("r", 6, 6), *point("x", 10, 4, teacher=4), *point("y", 1, 3, teacher=6)]
    )
    assert told == pytest.approx([
        1.0, 1.0,  # p: above 6, 7, 2 both times
        1 / 3, 1 / 3,  # r: below 9 and 7
        -1.0, (1 - 0.0) / 2,  # x: above both relevant ones; below both, as the teacher says
        (1 - 0.25) / 2, (1 - 0.09) / 2,  # y: errors 5 and 3 of 10
    ])  # fmt: skip
    assert PooledRank().score([*point("p", 9), *point("r", 5), *point("x", 7)])[-1] == -0.5  # between the two


def test_pooled_ranks_by_hand_over_rollouts():
    """Five tens for p, five nines for r: r is at rank 6 of all, at 2 of passages."""
    batch = [*point("p", *[10] * 5), *point("r", *[9] * 5), *point("x", 9)]
    assert PooledRank(ranks="rollout", ties="best").score(batch)[4:7] == pytest.approx([1.0, 1 / 6, 1 / 6])
    assert PooledRank(ranks="rollout").score(batch)[4:7] == pytest.approx([1.0, 1 / 7, 1 / 7])  # x has r's score
    assert PooledRank(ranks="document", ties="best").score(batch)[4:7] == pytest.approx([1.0, 1 / 2, 1 / 2])
    assert PooledRank(ranks="document").score(batch)[4:7] == pytest.approx([1.0, 1 / 3, 1 / 3])
    assert PooledRank(ranks="rollout", ties="best").score(batch)[-1] == pytest.approx((1 - 0.81) / 2)
    assert PooledRank(ranks="rollout").score(batch)[-1] == -0.5  # level with r: above it


def test_the_level_of_a_document_does_not_depend_on_the_number_of_replies():
    few = PooledRank().score([*point("p", 10), *point("r", 9), *point("x", 3)])
    many = PooledRank().score([*point("p", *[10] * 7), *point("r", *[9] * 7), *point("x", *[3] * 7)])
    assert few == pytest.approx(many[::7])


def test_unformatted_is_below_all_else():
    lost = says(RATING, "very relevant", lesson("p", GRADES))
    told = PooledRank().score([lost, *point("x", 10), *point("r", 1)])
    assert told == [-1.5, -1.0, pytest.approx(1 / 2)]
    assert PooledRank(-2).score([lost]) == [-2.0]
    decimal = says(RATING, "7.5", lesson("p", GRADES))
    assert PooledRank().score([decimal]) == [-1.5]
    assert PooledRank(strict=False).score([decimal]) == [1.0]


def test_pools_are_queries():
    batch = [*point("p", 5), *point("x", 9, qid="other"), *point("x", 9, meta={"pool": 2}), *point("x", 9)]
    assert PooledRank().score(batch) == [pytest.approx(1 / 2), None, None, -1.0]


def test_a_pool_without_anything_relevant_cannot_be_scored():
    for reward in (PooledRank(), PooledNDCG()):
        assert reward.score(point("x", 3, 4)) == [None, None]
        assert reward.score([failed(lesson("x", GRADES), "scores")]) == [None]
        assert reward.score([]) == []


def test_relevant_passages_whose_replies_all_failed_rank_nobody():
    lost = failed(lesson("p", GRADES), "scores")
    assert PooledRank().score([lost, *point("x", 10, teacher=10)]) == [-1.5, 0.5]
    assert PooledNDCG().score([lost, *point("x", 10)]) == [-1.0, 0.0]


def test_a_group_earns_the_mean_of_its_passages():
    """p is first (1), x below it as far as a missing teacher's 0 is from 5 (3/8)."""
    reply = group(lesson("px", GRADES), 9, 5)
    assert level(PooledRank(), reply) == pytest.approx((1 + (1 - 0.25) / 2) / 2)
    tied = group(lesson("px", GRADES), 5, 5)
    assert level(PooledRank(ties="best"), tied) == pytest.approx((1 + (1 - 0.25) / 2) / 2)
    assert level(PooledRank(), tied) == pytest.approx((1 / 2 - 1) / 2)


def test_pooled_ndcg_by_hand():
    """Two relevant: the ideal is 1 + 1/log2(3). r is third, x (above r) takes what rank 2 is worth."""
    ideal = 1 + 1 / math.log2(3)
    told = PooledNDCG().score([*point("p", 9), *point("r", 5), *point("x", 7), *point("y", 1)])
    assert told == pytest.approx([1 / ideal, (1 / 2) / ideal, -(1 / math.log2(3)) / ideal, 0.0])
    alone = PooledNDCG(ranks="rollout").score([*point("p", 9, 8), *point("x", 1)])
    assert alone == pytest.approx([1 / ideal, (1 / math.log2(3)) / ideal, 0.0])


# ------------------------------------------------------------------------------------------------ squared error


def test_the_squared_error_by_hand():
    assert level(TeacherError(), *point("p", 7, teacher=4)) == pytest.approx(1 - 0.09)
    assert level(TeacherError(), *point("p", 0, teacher=10)) == 0.0
    assert level(TeacherError(), *point("p", 7)) is None
    assert level(TeacherError(), failed(lesson("p", teacher={"p": 3}), "scores")) == 0.0
    given = lesson("ab", teacher={"b": 5.0})
    assert level(TeacherError(), group(given, 0, 5)) == 1.0  # a is not known
    assert level(TeacherError(strict=False), scored(lesson("ab", teacher={"a": 1, "b": 1}), [1, None])) == 0.5


# ------------------------------------------------------------------------------------------------ one choice


def test_the_exact_label():
    given = lesson("abc", [0, 2, 1])
    assert [level(ExactLabel(), says(SETWISE, text, given)) for text in "ABC"] == [0.0, 1.0, 0.0]
    assert level(ExactLabel(), says(SETWISE, "B. It says so.", given)) == 0.0
    assert level(ExactLabel(strict=False), says(SETWISE, "B. It says so.", given)) == 1.0
    assert level(ExactLabel(), failed(given, "choice")) == 0.0
    assert level(ExactLabel(), orders(given, (1, 0, 2))) == 1.0
    assert level(ExactLabel(), group(given, 5, 5, 0)) == 0.5  # a draw, whoever stands first in the slate
    two = lesson("abc", [2, 2, 1])
    assert [level(ExactLabel(), says(SETWISE, text, two)) for text in "ABC"] == [1.0, 1.0, 0.0]
    assert level(ExactLabel(gold="target"), says(SETWISE, "C", lesson("abc", target=Target(order=(2,))))) == 1.0


def test_the_exclusion():
    given = lesson("abc", [0, 2, 1])
    assert [level(Exclusion(), says(SETWISE, text, given)) for text in "ABC"] == [1.0, 0.0, 1.0]
    assert level(Exclusion(), failed(given, "choice")) == -0.5


@pytest.mark.parametrize("grades", [None, [0, 0, 0], [1, 1, 1]])
def test_where_no_passage_is_better_there_is_no_label(grades):
    for reward in (ExactLabel(), Exclusion()):
        assert level(reward, says(SETWISE, "A", lesson("abc", grades))) is None
        assert level(reward, says(SETWISE, "A", lesson("a", [1]))) is None
        assert level(reward, failed(lesson(""), "choice")) is None


# ------------------------------------------------------------------------------------------------ in general


def on_scale(lesson):
    """The lesson with its teacher's and target's scores brought to 0 to 10."""
    teacher = {name: abs(score) % 10 for name, score in lesson.teacher.items()}
    target = lesson.target
    if target is not None and target.scores is not None:
        target = dataclasses.replace(target, scores=tuple(abs(score) % 10 for score in target.scores))
    return dataclasses.replace(lesson, teacher=teacher, target=target)


@quick
@given(replies(kinds=("scores",)))
def test_contract_of_pools(told):
    told = [dataclasses.replace(reply, lesson=on_scale(reply.lesson)) for reply in told]
    for reward in (
        PooledRank(), PooledRank(-1, ranks="rollout", strict=False), PooledNDCG(strict=False),
        PooledNDCG(ranks="rollout", strict=False),
    ):  # fmt: skip
        check_text_reward(reward, told, alone=False)
    check_text_reward(TeacherError(strict=False), told)


@pytest.mark.parametrize("reward", [PooledRank(), TeacherError()])
def test_a_teacher_off_the_scale_is_told_and_not_squared(reward):
    """A cross-encoder's -11 would make every score below the relevant ones worth the same."""
    with pytest.raises(InvalidInput, match=r"teacher's score is -11, off the policy's scale of 0 to 10"):
        reward.score([*point("p", 10), *point("y", 1, teacher=-11)])
    on_scale = point("y", 1, teacher=-11, target=Target(scores=(3.0,)))
    assert reward.score([*point("p", 10, teacher=10), *on_scale])[1] in {(1 - 0.04) / 2, 1 - 0.04}


@quick
@given(replies(least=1))
def test_contract_of_choices(told):
    for reward in (ExactLabel(), ExactLabel(gold="teacher", strict=False), Exclusion(gold="target", strict=False)):
        check_text_reward(reward, told)


def test_wrong_verdicts_and_configurations():
    with pytest.raises(InvalidInput, match="needs scores"):
        PooledRank().score([orders(lesson("a", [1]), (0,))])
    wrong = Reply(lesson("ab", [1, 0]), "", says(SETWISE, "C", lesson("abc")).verdict)
    assert wrong.verdict.status is Status.OK
    with pytest.raises(InvalidInput, match="own prompt"):
        ExactLabel().score([wrong])
    for make in (
        lambda: PooledRank(-0.5),
        lambda: PooledRank(math.nan),
        lambda: PooledRank(ranks="query"),
        lambda: PooledRank(rel=0),
        lambda: PooledRank(top=0),
        lambda: PooledNDCG(ranks=""),
        lambda: TeacherError(top=math.inf),
        lambda: ExactLabel(gold="best"),
        lambda: Exclusion(0.5),
    ):
        with pytest.raises((InvalidInput, UnknownName)):
            make()


@pytest.mark.parametrize("reward", [PooledRank, PooledNDCG])
def test_one_score_for_all_is_no_ranking(reward):
    """As published, nothing but zeros earns as much as the ideal order or more; with ties at their worst, the least."""

    def earned(made, p, *others):
        found = made.score(
            [
                *point("p", p),
                *(reply for docid, score in zip("xyz", others, strict=True) for reply in point(docid, score)),
            ]
        )
        return sum(found)

    published, ours = reward(ties="best"), reward()
    assert earned(published, 0, 0, 0, 0) >= earned(published, 9, 8, 0, 0) > earned(published, 8, 9, 0, 0)
    assert earned(ours, 9, 8, 0, 0) > earned(ours, 8, 9, 0, 0) > earned(ours, 0, 0, 0, 0)


def test_an_unknown_rule_of_ties_is_an_error():
    with pytest.raises(UnknownName, match="ties"):
        PooledRank(ties="mean")


# ------------------------------------------------------------------------------------------------ counterfactual


def test_counterfactual_ndcg_by_hand():
    """r has grade 2, p grade 1, x none; the ideal is 2 + 1 / log2(3)."""
    ideal = 2 + 1 / math.log2(3)
    sure = CounterfactualNDCG().score([*point("r", 9, 3), *point("p", 5), *point("x", 1)])
    assert sure[:2] == pytest.approx([1.0, (1 + 2 / math.log2(3)) / ideal])  # r at 9 is first; at 3 behind p
    assert sure[3] == sure[2]  # p and x say one thing each: the same pools
    level = CounterfactualNDCG().score([*point("r", 5), *point("p", 5), *point("x", 1)])
    assert level[0] == pytest.approx(1.5 * (1 + 1 / math.log2(3)) / ideal)  # a tie, by its mean


def test_counterfactual_ndcg_draws_the_others_by_their_weights():
    """x stands above r in a quarter of what it draws, so r's reply of 5 is worth a mix of both."""
    below = CounterfactualNDCG().score([*point("r", 5), *point("x", 3)])[0]
    above = CounterfactualNDCG().score([*point("r", 5), *point("x", 8)])[0]
    x = [dataclasses.replace(reply, weight=w) for reply, w in zip(point("x", 3, 8), (0.75, 0.25), strict=True)]
    told = CounterfactualNDCG(draws=4000).score([*point("r", 5), *x])
    assert told[0] == pytest.approx(0.75 * below + 0.25 * above, abs=0.02)
    assert (told[1], told[2]) == pytest.approx((below, above))
    never = [dataclasses.replace(reply, weight=w) for reply, w in zip(point("x", 3, 8), (1.0, 0.0), strict=True)]
    assert CounterfactualNDCG().score([*point("r", 5), *never])[0] == below
    assert told == CounterfactualNDCG(draws=4000).score([*point("r", 5), *x])  # the same for the same pool


def test_counterfactual_ndcg_is_the_expected_ndcg():
    """The mean over a passage's replies is the same for every passage: the nDCG that the policy may expect."""
    batch = [*point("r", 9, 3, 5), *point("p", 1, 7, 5), *point("x", 0, 6, 5)]
    told = CounterfactualNDCG(draws=4000).score(batch)
    means = [sum(told[i : i + 3]) / 3 for i in (0, 3, 6)]
    pools = itertools.product((9, 3, 5), (1, 7, 5), (0, 6, 5))
    exact = sum(ndcg_ties(scores, (2, 1, 0), 10) for scores in pools) / 27
    assert means == pytest.approx([exact] * 3, abs=0.01)


def test_counterfactual_ndcg_pays_for_what_a_score_changes():
    """A passage of no relevance far below has no reason to go lower; one score for all earns less than an order."""
    same = CounterfactualNDCG().score([*point("r", 8, 8), *point("x", 0, 4)])
    assert same[2] == same[3] == 1.0
    flat = CounterfactualNDCG().score([*point("r", 0, 9), *point("x", 0), *point("y", 0)])
    assert flat[1] > flat[0]


def test_counterfactual_ndcg_at_its_edges():
    assert CounterfactualNDCG().score(point("x", 5)) == [None]  # nothing relevant
    assert CounterfactualNDCG().score([says(RATING, "no idea", lesson("p", GRADES))]) == [0.0]
    with pytest.raises(InvalidInput, match="k is 0"):
        CounterfactualNDCG(k=0)
    check_text_reward(CounterfactualNDCG(), [*point("p", 1, 7), *point("x", 3)], alone=False)
