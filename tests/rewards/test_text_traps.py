"""Traps of published reward, parser and metric code, each pinned by a test that falls into it if we do.

Here is what a *reward* makes of each. The table in ``docs/papers.md`` says what each trap is, by its number, and where
it is pinned at its root, beside the code that could fall into it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from reward_doubles import Fails, ScriptedReader, knows
from text_doubles import (
    GROUP,
    LISTWISE,
    REASONING,
    SUBSET,
    failed,
    group,
    lesson,
    level,
    orders,
    says,
)

import shortlist
from shortlist.backends.base import Completion
from shortlist.backends.scripted import ScriptedCompleter
from shortlist.errors import InvalidInput
from shortlist.metrics import exact_match, sub_em, token_f1
from shortlist.rewards.text import (
    NDCG,
    Alignment,
    AnswerReward,
    Judge,
    ListCost,
    PooledRank,
    ReaderDesk,
    Recall,
    RelativeNDCG,
    Tools,
    Words,
    make_weighted,
)
from shortlist.rewards.text.shaping import by_reward, rank_rewards, relative, tournament
from shortlist.types import Status

GIVEN = lesson("abc", [0, 0, 1], answers=("gold",))


def reads(reader, measure=None):
    return AnswerReward(desk=ReaderDesk.of(reader), measure=measure or Words("em"), name="answer")


@pytest.mark.parametrize(
    "text",
    [
        "Of the 3 passages, 1 and 2 are off topic.",
        "<think>[3] > [1] > [2] looks right",  # cut off at the token limit
        "passage 3 was written in 2021",
    ],
)
def test_trap_2_digits_in_prose_earn_nothing(text):
    for prompt in (LISTWISE, REASONING):
        reply = says(prompt, text, GIVEN)
        assert reply.verdict.status is Status.FAILED
        assert level(NDCG(strict=False), reply) == 0.0
        assert level(RelativeNDCG(strict=False), reply) == -1.0


def test_trap_3_identifier_zero_is_not_the_last_passage():
    """The last passage is the relevant one: naming [0] first must not name it."""
    for prompt, text in ((LISTWISE, "[0] > [1] > [2]"), (LISTWISE, "[-1] > [1] > [2]"), (SUBSET, "[0]")):
        reply = says(prompt, text, GIVEN)
        assert level(NDCG(), reply) == 0.0
        assert level(NDCG(strict=False), reply) < 1.0
    scores = says(GROUP, '{"[0]": 10, "[1]": 5, "[2]": 5}', GIVEN)
    assert level(NDCG(strict=False), scores) == pytest.approx(1 / 2)  # unscored, so last


def test_trap_4_one_bad_identifier_does_not_void_the_group():
    """Strict, the reply does not count; lenient, all but the bad pair do, and a passage left out comes last, not nowhere."""
    reply = says(GROUP, '{"[1]": 2, "[3]": 9, "[7]": 4}', GIVEN)
    assert level(NDCG(), reply) == 0.0
    assert level(NDCG(strict=False), reply) == pytest.approx(1.0)
    left_out = says(GROUP, '{"[1]": 0, "[2]": 0}', GIVEN)
    assert level(NDCG(strict=False), left_out) == pytest.approx(1 / 2)


def test_trap_5_a_failed_reply_stays_in_the_denominator_at_the_least_there_is():
    reply = failed(GIVEN)
    for reward in (NDCG(), RelativeNDCG(), Recall(), ListCost(), reads(knows("c"))):
        assert level(reward, reply) == reward.bounds[0]
    scores = failed(GIVEN, "scores")
    for reward in (Alignment(), PooledRank()):
        assert level(reward, scores) == reward.bounds[0]


def test_trap_5_a_model_that_did_not_answer_is_not_a_zero():
    down = ScriptedReader(lambda reading: Fails("down"))
    assert level(reads(down), says(SUBSET, "[3]", GIVEN)) is None
    judge = Judge(ScriptedCompleter(lambda ask: Completion(error="down")))
    assert level(reads(ScriptedReader(lambda reading: "an answer"), judge), says(SUBSET, "[3]", GIVEN)) is None


def test_trap_6_the_length_is_that_of_the_replys_own_list():
    """Whatever else is in the batch: eight replies of different lengths have different costs."""
    batch = [says(SUBSET, text, GIVEN) for text in ("None", "[1]", "[1], [2]", "[3], [2], [1]")]
    together = ListCost().score([*batch, *batch])
    assert together == [1.0, 1 / 2, 1 / 3, 1 / 4] * 2
    assert [level(ListCost(), reply) for reply in batch] == together[:4]


@pytest.mark.parametrize(("text", "told"), [("80", 0.8), ("100", 1.0), ("0.8", None), ("8/10", None), ("800", None)])
def test_trap_7_a_judges_grade_is_a_number_from_0_to_1(text, told):
    ours = reads(ScriptedReader(lambda reading: "an answer"), Judge(ScriptedCompleter(lambda ask: text)))
    found = level(ours, says(SUBSET, "[3]", GIVEN))
    assert found == told
    assert found is None or type(found) is float


def test_trap_8_exact_match_is_not_containment_in_either_direction():
    def em(answer, *golds):
        given = lesson("abc", [0, 0, 1], answers=golds)
        return level(reads(ScriptedReader(lambda reading: answer)), says(SUBSET, "[3]", given))

    assert em("a banana", "an") == 0.0
    assert em("in Paris, France", "Paris") == 0.0
    assert em("Par", "Paris") == 0.0
    assert em(None, "Paris") == 0.0  # an empty prediction is contained in everything
    assert em(" ", "Paris") == 0.0
    assert em("the Paris!", "London", "Paris") == 1.0


def test_trap_8_containment_seeks_the_gold_in_the_prediction_and_f1_counts_words():
    assert (sub_em("it is Paris", ["Paris"]), sub_em("", ["Paris"]), sub_em("Par", ["Paris"])) == (1.0, 0.0, 0.0)
    assert token_f1("listen", ["silent"]) == 0.0  # the same letters
    for measure in (exact_match, token_f1):
        with pytest.raises(TypeError, match="bare string"):
            measure("Paris", "Paris")


@pytest.mark.parametrize("nearly", [0.0, 1e-9])
def test_trap_9_a_denominator_of_nearly_zero(nearly):
    """The order shown is ideal, or all but: no division, no NaN, nothing huge."""
    given = lesson("abc", [1 - nearly, 1, 0])
    assert level(RelativeNDCG(), orders(given, (0, 1, 2))) == pytest.approx(1.0)
    assert level(RelativeNDCG(), orders(given, (1, 0, 2))) == pytest.approx(1.0)
    assert -1 <= level(RelativeNDCG(), orders(given, (2, 1, 0))) < 0
    assert level(RelativeNDCG(), orders(lesson("abc", [0, 0, 0]), (2, 1, 0))) is None
    assert level(Alignment(), group(lesson("abc", [0, 0, 0]), 0, 0, 0)) == pytest.approx(1.0)


def test_trap_10_ties_are_not_decided_by_the_order_shown():
    """All tens say nothing: the same whatever the slate's order, and less than a ranking."""
    tens = [level(NDCG(), group(lesson(names, {"c": 1}), 10, 10, 10)) for names in ("abc", "cab", "acb")]
    assert tens == pytest.approx([(1 + 1 / math.log2(3) + 1 / 2) / 3] * 3)
    worst = [level(NDCG(ties="worst"), group(lesson(names, {"c": 1}), 10, 10, 10)) for names in ("abc", "cab")]
    assert worst == pytest.approx([1 / 2] * 2)
    one = says(LISTWISE, "[1]", lesson("cab", {"b": 1}))  # the rest was not ranked: no credit for the slate's order
    other = says(LISTWISE, "[1]", lesson("cba", {"b": 1}))
    assert level(NDCG(strict=False), one) == pytest.approx(level(NDCG(strict=False), other))


def test_trap_14_a_group_of_one_says_nothing():
    assert relative([0.7]) == [0.0]
    assert rank_rewards([0.7]) == [0.5]
    assert tournament(1, by_reward([0.7])) == [0.5]


def test_trap_14b_recall_at_a_k_that_no_slate_exceeds_is_an_error():
    for k in (3, 10):
        with pytest.raises(InvalidInput, match=rf"recall@{k} of a slate of 3 passages is 1 whatever the reply"):
            Recall(k).score([orders(GIVEN, (0, 1, 2))])
    told = [level(Recall(), orders(GIVEN, order)) for order in ((2, 0, 1), (0, 2, 1))]
    assert told == [1.0, 0.0]  # by itself it takes the number of relevant passages


def test_trap_15_no_breakpoint_was_left_in():
    source = Path(shortlist.__file__).parent
    stop = re.compile(r"\b(breakpoint\(|set_trace\(|import i?pdb\b)")
    left = [str(path) for path in source.rglob("*.py") if stop.search(path.read_text(encoding="utf-8"))]
    assert left == []


def test_the_published_sums_tell_good_from_bad_where_the_released_code_does_not():
    """DynamicRAG's five with one reader: the better choice earns more, and every part of the sum moves."""
    reader = knows("c", answer="gold")
    desk = ReaderDesk.of(reader)
    ours = make_weighted({"em": 0.2, "rouge-l": 0.2, "list-cost": 0.2}, Tools(desk=desk))
    best, padded, wrong = ours.score_parts([says(SUBSET, text, GIVEN) for text in ("[3]", "[3], [1], [2]", "[1]")])
    assert best.total > padded.total > wrong.total
    assert best.parts == {"em": 1.0, "rouge-l": 1.0, "list-cost": 0.5}
