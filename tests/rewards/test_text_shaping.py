"""Sums, groups, shaping and the registry."""

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_doubles import SUBSET, Embeds, failed, lesson, orders, quick, says

from shortlist.backends.scripted import ScriptedCompleter, ScriptedContinuer
from shortlist.errors import InvalidInput, UnknownName
from shortlist.reading.readers import LLMReader
from shortlist.rewards.base import Scored
from shortlist.rewards.text import (
    NDCG,
    REWARDS,
    ReaderDesk,
    RearankFormat,
    RelativeNDCG,
    Reply,
    Tools,
    WeightedTextReward,
    grouped,
    make_reward,
    make_weighted,
    needs,
    shaped,
)
from shortlist.rewards.text.shaping import (
    by_reward,
    curriculum,
    difficulty,
    entity_credit,
    entity_rates,
    rank_rewards,
    relative,
    round_robin,
    tournament,
)

REWARDS_OF_A_GROUP = st.lists(st.one_of(st.none(), st.floats(-10, 10)), max_size=9)

# ------------------------------------------------------------------------------------------------ sums and groups


def test_rearanks_sum_by_hand():
    given = lesson("abc", [0, 1, 0])
    ours = WeightedTextReward(((RelativeNDCG(failed=0.0), 0.8), (RearankFormat(), 1.0)))
    text = "<think>x</think><answer>[2] > [1] > [3]</answer>"
    good = Reply(given, text, orders(given, (1, 0, 2)).verdict)
    told = ours.score_parts([good, failed(given), failed(lesson("abc"))])
    assert told[0].total == pytest.approx(1.0)
    assert told[1] == Scored(0.0, {"relative-ndcg": 0.0, "rearank-format": 0.0})
    assert told[2] == Scored(None, {"relative-ndcg": None, "rearank-format": 0.0})
    assert ours.bounds == pytest.approx((-0.8, 1.0))
    assert ours.score([good]) == [pytest.approx(1.0)]


def test_groups_are_known_by_the_lesson_itself():
    one, other, equal = lesson("ab", [1, 0]), lesson("cd", [1, 0]), lesson("ab", [1, 0])
    batch = [orders(each, (0, 1)) for each in (one, other, one, equal, other)]
    assert one == equal
    assert grouped(batch) == [[0, 2], [1, 4], [3]]
    assert shaped(batch, [1, 2, 0, 5, 4], relative) == [0.5, -0.5, -0.5, 0.0, 0.5]
    with pytest.raises(InvalidInput):
        shaped(batch, [1.0], relative)


# ------------------------------------------------------------------------------------------------ within the group


def test_relative_rewards_by_hand():
    assert relative([3.0, 1.0, None, 2.0]) == [0.5, -0.5, None, 0.0]
    assert relative([2.0, 2.0]) == [0.0, 0.0]
    assert relative([7.0]) == [0.0]
    assert relative([None]) == [None]
    assert relative([]) == []


def test_rank_rewards_by_hand():
    assert rank_rewards([0.1, 0.9, None, 0.5]) == [0.0, 1.0, None, 0.5]
    assert rank_rewards([1.0, 1.0, 0.0]) == [0.75, 0.75, 0.0]
    assert rank_rewards([4.0]) == [0.5]
    assert rank_rewards([2.0, 2.0, 2.0]) == [0.5, 0.5, 0.5]
    assert rank_rewards([]) == []


@quick
@given(REWARDS_OF_A_GROUP)
def test_shapes_keep_bounds_and_order(rewards):
    for shape, low, high in ((relative, -1, 1), (rank_rewards, 0, 1)):
        told = shape(rewards)
        assert [each is None for each in told] == [each is None for each in rewards]
        known = [(r, t) for r, t in zip(rewards, told, strict=True) if r is not None]
        assert all(low - 1e-9 <= t <= high + 1e-9 for _, t in known)
        for (r, t), (s, u) in itertools.combinations(known, 2):
            assert t <= u + 1e-12 if r <= s else t >= u - 1e-12


# ------------------------------------------------------------------------------------------------ tournaments


def test_a_tournament_of_four_by_hand():
    """Seeds by strength 3, 2, 1, 0: 3 beats 0 and 2 beats 1, then 3 beats 2; 1 has the better mean of the losers."""
    asked = []

    def compare(pairs):
        asked.append(list(pairs))
        return by_reward([0.0, 1.0, 2.0, 3.0])(pairs)

    assert tournament(4, compare) == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    assert asked == [[(1, 0), (2, 0), (3, 0)], [(3, 0), (2, 1)], [(3, 2)]]


def test_byes_go_to_the_best_seeds():
    asked = []

    def compare(pairs):
        asked.append(list(pairs))
        return by_reward([2.0, 0.0, 1.0])(pairs)

    assert tournament(3, compare) == [1.0, 0.0, 0.5]
    assert asked == [[(1, 0), (2, 0)], [(2, 1)], [(0, 2)]]


@quick
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=13, unique=True))
def test_a_tournament_costs_a_linear_number_of_matches_and_the_best_wins(strengths):
    played = []

    def compare(pairs):
        played.extend(pairs)
        return by_reward(strengths)(pairs)

    told = tournament(len(strengths), compare)
    assert told[strengths.index(max(strengths))] == 1.0
    assert len(played) == 2 * (len(strengths) - 1)
    assert all(0 <= each <= 1 for each in told)
    assert math.fsum(told) == pytest.approx(len(strengths) / 2)
    assert round_robin(len(strengths), by_reward(strengths)) == pytest.approx(rank_rewards(strengths))


def test_degenerate_tournaments():
    for rank in (tournament, round_robin):
        assert rank(0, by_reward([])) == []
        assert rank(1, by_reward([3.0])) == [0.5]
        with pytest.raises(InvalidInput, match="two finite scores"):
            rank(2, lambda pairs: [(math.nan, 1.0) for _ in pairs])
        with pytest.raises(InvalidInput):
            rank(3, lambda pairs: [])
    assert round_robin(2, by_reward([1.0, 1.0])) == [0.5, 0.5]
    assert tournament(2, by_reward([1.0, 1.0])) == [1.0, 0.0]  # at a draw the anchor goes on


# ------------------------------------------------------------------------------------------------ partial credit


def test_entity_credit_by_hand():
    assert entity_rates(["Ada Lovelace met Babbage.", "in Canada"], ["Ada Lovelace", "Babbage", "Ada"]) == [1.0, 0.0]
    assert entity_rates(["x"], []) == [0.0]
    assert entity_credit([1.0, 0.2, 0.0, None], [0.0, 0.5, 0.25, 0.5]) == [1.0, 0.3, 0.15, None]
    assert entity_credit([0.0, 0.0], [0.0, 0.0]) == [0.0, 0.0]
    assert entity_credit([1.0], [1.0], failed=[True]) == [0.0]
    assert entity_credit([], []) == []
    for wrong in (([1.0], []), ([1.0], [2.0]), ([1.0], [math.nan])):
        with pytest.raises(InvalidInput):
            entity_credit(*wrong)
    with pytest.raises(InvalidInput):
        entity_credit([1.0], [1.0], alpha=1.5)


# ------------------------------------------------------------------------------------------------ curriculum


def test_difficulty_by_hand():
    assert difficulty([1.0, 0.5, None]) == 0.25
    assert difficulty([-1.0, 1.0], (-1.0, 1.0)) == 0.5
    assert difficulty([None]) is None
    assert difficulty([5.0]) == 0.0


def test_the_curriculum_goes_from_easy_to_hard():
    levels = [0.9, 0.1, 0.5, 0.2, 0.6, 1.0]
    assert curriculum(levels, 0.0) == [0, 1, 0, 1, 0, 0]
    assert curriculum(levels, 0.34) == [0, 0.2, 1, 0.2, 1, 0]
    assert curriculum(levels, 1.0) == [1, 0.2, 0.2, 0.2, 0.2, 1]
    assert curriculum(levels, 1.0, rehearsal=0) == [1, 0, 0, 0, 0, 1]
    assert curriculum([0.5] * 3, 1.0) == [1, 1, 1]  # one part only: it goes on
    assert curriculum([], 0.5) == []
    for wrong in (
        lambda: curriculum([0.1], 1.1),
        lambda: curriculum([0.1], 0, stages=0),
        lambda: curriculum([math.nan], 0),
    ):
        with pytest.raises(InvalidInput):
            wrong()


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 1), st.integers(1, 5))
def test_something_is_always_learnt(levels, progress, stages):
    assert max(curriculum(levels, progress, stages=stages)) == 1.0


# ------------------------------------------------------------------------------------------------ the registry

READER = LLMReader(completer=ScriptedContinuer(lambda _: "gold", logprobs=lambda asked: [-1.0] * len(asked.labels)))
TOOLS = Tools(desk=ReaderDesk.of(READER), embedder=Embeds(), judge=ScriptedCompleter(lambda ask: "50"))


@pytest.mark.parametrize("kind", [kind for kind in REWARDS if kind != "bertscore"])
def test_every_reward_is_made_by_name_with_its_defaults(kind):
    made = make_reward(kind, TOOLS)
    assert made.name == kind
    assert make_reward(kind, TOOLS, name="other").name == "other"
    low, high = made.bounds
    assert low < high
    assert made.score([]) == []


@pytest.mark.parametrize("kind", [kind for kind in REWARDS if kind != "bertscore"])
def test_the_page_lists_every_reward_with_its_range(kind):
    page = (Path(__file__).parents[2] / "docs/rewards.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.split("\n") if line.startswith("| `") and f"`{kind}`" in line.split("|")[1]]
    low, high = (f"{bound:g}".replace("-", "−") for bound in make_reward(kind, TOOLS).bounds)
    assert f"| {low} to {high} |" in row


def test_what_rewards_need():
    assert needs("ndcg") == frozenset()
    assert needs("em") == {"desk"}
    assert needs("similarity") == {"desk", "embedder"}
    assert needs("judge") == {"desk", "judge"}
    with pytest.raises(InvalidInput, match="reward 'judge' asks a model and there is no judge"):
        make_reward("judge", Tools(desk=TOOLS.desk))
    with pytest.raises(InvalidInput, match="no desk"):
        make_reward("em")


def test_a_sum_from_plain_values():
    ours = make_weighted(
        {"ndcg": 1, "head": {"kind": "ndcg", "k": 3, "weight": 0.5}, "em": {"keep": 2, "weight": 2}, "rbo": 0}, TOOLS
    )
    assert ours.weights == {"ndcg": 1.0, "head": 0.5, "em": 2.0}
    assert ours.parts[1][0] == NDCG(3, name="head")
    reply = says(SUBSET, "[1]", lesson("ab", [1, 0], answers=("gold",)))
    assert ours.score([reply]) == [pytest.approx(3.5)]


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"ndgc": 1}, "Did you mean 'ndcg'"),
        ({"ndcg": {"kk": 3}}, "Known: dcg, gold, k, name, strict, ties"),
        ({"em": {"desk": 3}}, "unknown option"),
        ({"em": {"top_k": 3}}, "keep"),
        ({"ndcg": "much"}, "give a number"),
        ({"ndcg": True}, "give a number"),
        ({"ndcg": {"k": "ten"}}, "k of reward 'ndcg' is 'ten'; give a value of type int"),
        ({"ndcg": {"k": 2.5}}, "type int"),
        ({"ndcg": {"strict": "no"}}, "type bool"),
        ({"rbo": {"p": True}}, "type float"),
        ({"recall": {"k": 2.5}}, "k is 2.5"),
        ({"list-cost": {"scale": "wide"}}, "options"),
        ({"ndcg": 0}, "no parts"),
        ({"ndcg": math.inf}, "finite"),
    ],
)
def test_sums_that_make_no_sense(parts, match):
    with pytest.raises((InvalidInput, UnknownName), match=match):
        make_weighted(parts, TOOLS)
