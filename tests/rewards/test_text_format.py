"""The ladders of form, rung by rung, and the cost of a reply."""

import math

import pytest
from hypothesis import given
from text_doubles import GROUP, GROUP_REASONING, LISTWISE, REASONING, failed, lesson, level, quick, replies, says

from shortlist.errors import InvalidInput
from shortlist.rewards.text import GroupRankFormat, RearankFormat, ReasonRankFormat, ReplyCost, StatusFormat
from shortlist.testing.text_rewards import check_text_reward

THREE = lesson("abc", [1, 0, 0])


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("<think>x</think><answer>[2] > [1] > [3]</answer>", 0.2, 0.2),
        ("x</think>\n<answer> [2] > [1] > [3] </answer>", 0.2, 0.2),  # the chat template opened the block
        ("[2] > [1] > [3]", 0.1, 0.1),
        ("<answer>[2] > [1] > [3]</answer>", 0.1, 0.1),
        ("<think>x</think>[2] > [1] > [3]", 0.1, 0.1),
        ("<think>x</think><answer>[2] > [1]</answer>", 0.1, 0.2),  # not whole
        ("<think>x</think><answer>[2] > [1] > [3] > [3]</answer>", 0.1, 0.2),  # doubled
        ("<think>x</think><answer>[2] > [1] > [0]</answer>", 0.1, 0.2),  # names no passage
        ("<think>x</think><answer>2, 1, 3</answer>", 0.1, 0.1),
        ("<think>x</think><answer>the second is best</answer>", 0.1, 0.1),
        ("<think>x</think><answer>[2] > [1] > [3]", 0.1, 0.1),  # not closed
        ("<think>[2] > [1] > [3]", 0.0, 0.0),  # cut off
        ("", 0.0, 0.0),
    ],
)
def test_rearank_format(text, strict, lenient):
    reply = says(REASONING, text, THREE)
    assert level(RearankFormat(), reply) == pytest.approx(strict)
    assert level(RearankFormat(strict=False), reply) == pytest.approx(lenient)


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ('<reason>x</reason><answer>{"[1]": 5, "[2]": 3, "[3]": 0}</answer>', 0.0, 0.0),
        ('<reason>x</reason><answer>\n```json\n{"[1]": 5, "[2]": 3, "[3]": 0}\n```\n</answer>', 0.0, 0.0),
        ('<reason>x</reason><answer>{"[1]": 5, "[2]": 3}</answer>', -0.1, 0.0),  # a passage is missing
        ('<reason>x</reason><answer>{"[1]": 50, "[2]": 3, "[3]": 0}</answer>', -0.1, 0.0),  # clamped
        ("<reason>x</reason><answer>five, three, zero</answer>", -0.1, -0.1),
        ('{"[1]": 5, "[2]": 3, "[3]": 0}', -0.5, -0.5),
        ('<reason>x</reason>{"[1]": 5, "[2]": 3, "[3]": 0}', -0.5, -0.5),
        ("<reason>still thinking of [1]: 5", -0.5, -0.5),
        ("", -0.5, -0.5),
    ],
)
def test_grouprank_format(text, strict, lenient):
    reply = says(GROUP_REASONING, text, THREE)
    assert level(GroupRankFormat(), reply) == strict
    assert level(GroupRankFormat(strict=False), reply) == lenient


@pytest.mark.parametrize(
    ("text", "told"),
    [('{"[1]": 5, "[2]": 3, "[3]": 0}', 0.0), ('{"[1]": 5}', -0.1), ("[1]: 5\n[2]: 3\n[3]: 1", -0.1), ("none", -0.5)],
)
def test_grouprank_format_where_no_tags_are_asked_for(text, told):
    assert level(GroupRankFormat(tagged=False), says(GROUP, text, THREE)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<think>x</think><answer>[2] > [1] > [3]</answer>", 1.0),
        ("<think>x</think><answer>[2] > [1] > [2]</answer>", 0.0),
        ("<think>x</think><answer>[2] > [1]</answer>", 0.0),
        ("[2] > [1] > [3]", -1.0),
        ("", -1.0),
    ],
)
def test_reasonrank_format(text, told):
    assert level(ReasonRankFormat(whole=1.0), says(REASONING, text, THREE)) == told
    assert level(ReasonRankFormat(), says(REASONING, text, THREE)) == min(told, 0.0)


@pytest.mark.parametrize(
    ("text", "told"), [("[2] > [1] > [3]", 1.0), ("2, 1, 3", 0.5), ("[2] > [1]", 0.25), ("none of them", 0.0)]
)
def test_status_format(text, told):
    assert level(StatusFormat(), says(LISTWISE, text, THREE)) == told


def test_the_cost_of_a_reply():
    assert level(ReplyCost(100), says(LISTWISE, "", THREE, tokens=25)) == -0.25
    assert level(ReplyCost(100), says(LISTWISE, "", THREE, tokens=1000)) == -1.0
    assert level(ReplyCost(), failed(THREE)) == 0.0


@quick
@given(replies())
def test_contract(told):
    for reward in (
        RearankFormat(), RearankFormat(0.0, 1.0, strict=False), GroupRankFormat(), GroupRankFormat(tagged=False),
        ReasonRankFormat(), StatusFormat(), ReplyCost(),
    ):  # fmt: skip
        check_text_reward(reward, told)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RearankFormat(-0.1, 0.1),
        lambda: RearankFormat(0.0, 0.0),
        lambda: RearankFormat(math.nan),
        lambda: GroupRankFormat(-0.1, -0.5),
        lambda: GroupRankFormat(-0.5, 0.5),
        lambda: GroupRankFormat(0.0, 0.0),
        lambda: ReasonRankFormat(1.0),
        lambda: ReasonRankFormat(incomplete=2.0),
        lambda: StatusFormat(ok=0.0),
        lambda: StatusFormat(partial=2.0),
        lambda: ReplyCost(0),
        lambda: ReplyCost(math.inf),
    ],
)
def test_wrong_configuration(wrong):
    with pytest.raises(InvalidInput):
        wrong()
