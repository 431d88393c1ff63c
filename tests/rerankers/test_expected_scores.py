"""Expected scores where the scores of a group's reply stand, with replies and numbers made by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.base import Completion, Likelihoods
from shortlist.backends.scripted import ScriptedCompleter, ScriptedContinuer
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import TextPolicy
from shortlist.rerankers.reasoned import ExpectedScorePolicy
from shortlist.rerankers.strategies import Groups
from shortlist.testing.hostile import HOSTILE, long_replies
from shortlist.testing.rerankers import check_reranker
from shortlist.testing.verdicts import check_verdict
from shortlist.text.groupwise import GroupScores
from shortlist.types import RerankRequest, Slate, Status

REQUEST = RerankRequest.of("what boils?", ["Water boils.", "Iron rusts.", "Milk boils over."])
SLATE = Slate(REQUEST.query, REQUEST.candidates)
JSON, TERSE, REASONED = GroupScores(), GroupScores(terse=True), GroupScores(reasoning=True)
WRITTEN = {
    JSON: '{"[1]": 7, "[2]": 0, "[3]": 7}',
    TERSE: "[1]7 [2]0 [3]7",
    REASONED: '<reason>[1] 9, "[2]": 3</reason>\n<answer>\n```json\n{"[1]": 7, "[2]": 0, "[3]": 7}\n```\n</answer>',
}


def model(reply, belief):
    """Writes ``reply``; behind a beginning, ``belief`` says how likely each score is."""
    questions = []

    def weigh(question):
        questions.append(question)
        told = belief(question.begun)
        return [math.log(told[v]) if v in told else -math.inf for v in range(11)]

    said = reply if callable(reply) else lambda _: reply
    return ScriptedContinuer(said, logprobs=weigh), questions


def judged(prompt, reply, belief, slate=SLATE):
    backend, questions = model(reply, belief)
    (turn,) = ExpectedScorePolicy(prompt=prompt, completer=backend).judge([slate])
    check_verdict(turn.verdict, len(slate))
    return turn, questions


@pytest.mark.parametrize("prompt", WRITTEN, ids=["json", "terse", "reasoned"])
def test_each_score_is_expected_where_it_stands(prompt):
    reply = WRITTEN[prompt]
    turn, questions = judged(prompt, reply, lambda begun: {7: 0.3, 9: 0.1} if "7" in begun else {7: 0.2, 6: 0.2})
    assert turn.verdict.scores == pytest.approx((6.5, 7.5, 7.5))
    assert (turn.verdict.status, turn.verdict.problems) == (Status.OK, ())
    assert (turn.text, turn.usage.calls) == (reply, 4)
    ends = [reply.rindex(f"[{i}]") for i in (1, 2, 3)]
    for question, end in zip(questions, ends, strict=True):
        assert question.begun == reply[: end + len(question.begun[end:])]
        assert question.begun[end:] in {"[1]", "[2]", "[3]", '[1]": ', '[2]": ', '[3]": '}
        assert reply[len(question.begun)] in "70"
        assert question.labels == tuple(map(str, range(11)))
        assert question.messages == turn.messages == prompt.render(SLATE)


def test_ties_are_told_apart():
    backend, _ = model(WRITTEN[TERSE], lambda begun: {7: 0.9, 8: 0.1} if begun.endswith("[3]") else {7: 1.0})
    (by_integer,) = Reranker(policy=TextPolicy(prompt=TERSE, completer=backend), strategy=Groups(size=3)).rerank(
        [REQUEST]
    )
    finer = Reranker(policy=ExpectedScorePolicy(prompt=TERSE, completer=backend), strategy=Groups(size=3))
    (ranking,) = finer.rerank([REQUEST])
    assert by_integer.order == (0, 2, 1)
    assert ranking.order == (2, 0, 1)
    assert ranking.scores == pytest.approx((7.1, 7.0, 7.0))
    assert ranking.status is Status.OK
    check_reranker(finer)


def test_a_quoted_score_and_one_that_comes_twice():
    reply = '{"[1]": "7", "[2]": 3, "[2]": 9, "[8]": 1, "[3]": many}'
    assert JSON.openings(reply, SLATE) == {0: '{"[1]": "', 1: '{"[1]": "7", "[2]": '}
    turn, _ = judged(JSON, reply, lambda _: {5: 1.0})
    assert turn.verdict.scores[:2] == pytest.approx((5.0, 5.0))
    assert math.isnan(turn.verdict.scores[2])
    assert turn.verdict.status is not Status.OK
    assert turn.verdict.problems == JSON.parse(reply, SLATE).problems


def test_what_cannot_be_read_has_nothing_read_behind_it():
    for reply in ("no idea", "", "<think>[1]7"):
        turn, questions = judged(TERSE, reply, lambda _: {5: 1.0})
        assert (turn.verdict.status, questions) == (Status.FAILED, [])


def test_without_likelihoods_the_score_written_stays_and_is_told_of():
    turn, _ = judged(TERSE, WRITTEN[TERSE], lambda begun: {} if begun.endswith("[2]") else {5: 1.0})
    assert turn.verdict.scores == pytest.approx((5.0, 0.0, 5.0))
    assert turn.verdict.status is Status.REPAIRED
    assert turn.verdict.problems == ("1 scores are as written: no likelihoods",)


def test_a_dead_model_is_an_error_of_the_turn():
    class Dies(ScriptedContinuer):
        def likelihoods(self, questions, /):
            return [Likelihoods(logprobs=(), tokens=(), error="out of memory") for _ in questions]

    backend = Dies(lambda _: WRITTEN[TERSE], logprobs=lambda _: ())
    (turn,) = ExpectedScorePolicy(prompt=TERSE, completer=backend).judge([SLATE])
    assert (turn.error, turn.verdict.scores) == ("out of memory", (7.0, 0.0, 7.0))
    failed = ScriptedContinuer(lambda _: Completion(text="", error="gone"), logprobs=lambda _: ())
    (turn,) = ExpectedScorePolicy(prompt=TERSE, completer=failed).judge([SLATE])
    assert turn.error == "gone"


def test_a_model_that_only_completes_is_an_error():
    with pytest.raises(InvalidInput, match="read=text"):
        ExpectedScorePolicy(prompt=TERSE, completer=ScriptedCompleter(lambda _: "[1]7"))


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200)))
def test_openings_are_total_and_agree_with_what_is_read(text):
    for prompt in WRITTEN:
        scores = prompt.parse(text, SLATE).scores
        for place, begun in prompt.openings(text, SLATE).items():
            assert not math.isnan(scores[place])
            assert text.startswith(begun)


@pytest.mark.parametrize("prompt", WRITTEN, ids=["json", "terse", "reasoned"])
def test_openings_of_a_megabyte(prompt):
    for text in long_replies():
        assert len(prompt.openings(text, SLATE)) <= 3
