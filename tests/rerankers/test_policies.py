"""Policies with scripted backends and our own prompts."""

import math

import pytest

from shortlist.backends.base import Completion, Likelihoods, PairScore
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer, ScriptedScorer
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.drivers import Freely
from shortlist.rerankers.policies import LabelPolicy, PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Pointwise, SlidingWindow
from shortlist.testing.rerankers import check_reranker
from shortlist.testing.verdicts import check_verdict
from shortlist.text.listwise import Listwise
from shortlist.text.pointwise import PointwiseRating, PointwiseYesNo
from shortlist.types import Query, RerankRequest, Slate, Status, Usage

SLATE = RerankRequest.of("a query", ["one", "two", "three"])
SLATE = Slate(SLATE.query, SLATE.candidates)
GOOD = "[3] > [1] > [2]"


def judged(reply, **options):
    """The turn of one slate under a scripted reply, and the asks it took."""
    completer = ScriptedCompleter(reply)
    (turn,) = TextPolicy(prompt=Listwise(), completer=completer, **options).judge([SLATE])
    check_verdict(turn.verdict, 3)
    return turn, completer.asked


def replies(*texts):
    left = iter(texts)
    return lambda ask: next(left)


def test_a_good_reply_is_read_once():
    turn, asked = judged(lambda ask: GOOD)
    assert turn.verdict.order == (2, 0, 1)
    assert (turn.verdict.status, turn.text, len(asked)) == (Status.OK, GOOD, 1)
    assert turn.messages == asked[0].messages
    assert turn.usage.calls == 1
    assert turn.usage.seconds > 0


def test_an_unreadable_reply_fails_and_is_asked_again_only_if_told_to():
    turn, asked = judged(lambda ask: "I would rather not say")
    assert (turn.verdict.status, len(asked)) == (Status.FAILED, 1)
    turn, asked = judged(replies("I would rather not say", GOOD), retries=2)
    assert (turn.verdict.status, turn.verdict.order, len(asked)) == (Status.REPAIRED, (2, 0, 1), 2)
    assert any("asked again" in problem for problem in turn.verdict.problems)
    assert turn.usage.calls == 2
    assert [m.role for m in asked[1].messages[-2:]] == ["assistant", "user"]
    turn, asked = judged(lambda ask: "no", retries=2)
    assert (turn.verdict.status, len(asked)) == (Status.FAILED, 3)


def test_a_starved_reply_is_asked_for_its_answer_alone():
    thinking = Completion(text="<think>passage three looks", finish="length")
    turn, asked = judged(replies(thinking, GOOD))
    assert (turn.verdict.status, turn.verdict.order, len(asked)) == (Status.REPAIRED, (2, 0, 1), 2)
    turn, asked = judged(replies(thinking), force_answer=False)
    assert (turn.verdict.status, len(asked)) == (Status.FAILED, 1)


def test_reasoning_apart_from_the_text_is_kept():
    turn, _ = judged(lambda ask: Completion(text=GOOD, reasoning="three answers it"))
    assert turn.verdict.reasoning == "three answers it"
    assert turn.verdict.order == (2, 0, 1)


def test_a_call_that_failed_is_not_asked_again():
    turn, asked = judged(lambda ask: Completion(finish="error", error="timed out"), retries=3)
    assert (turn.verdict.status, turn.error, len(asked)) == (Status.FAILED, "timed out", 1)


def test_one_failed_call_spoils_no_other():
    completer = ScriptedCompleter(
        lambda ask: Completion(error="refused") if "broken" in ask.messages[-1].content else GOOD
    )
    policy = TextPolicy(prompt=Listwise(), completer=completer)
    broken = Slate(Query(text="broken"), SLATE.candidates)
    assert [turn.verdict.status for turn in policy.judge([SLATE, broken, SLATE])] == ["ok", "failed", "ok"]
    assert policy.judge([]) == []


def test_what_is_asked_and_what_is_identity():
    completer = ScriptedCompleter(lambda ask: GOOD)
    policy = TextPolicy(prompt=Listwise(), completer=completer, max_tokens=7, temperature=0.5, top_p=0.9, seed=3)
    policy.judge([SLATE])
    (ask,) = completer.asked
    assert (ask.max_tokens, ask.temperature, ask.top_p, ask.seed, ask.schema) == (7, 0.5, 0.9, 3, None)
    same = TextPolicy(prompt=Listwise(), completer=completer, max_tokens=7, temperature=0.5, top_p=0.9, seed=3)
    other = TextPolicy(prompt=Listwise(passage_tokens=99), completer=completer)
    assert policy.identity == same.identity != other.identity


def test_long_passages_are_cut_and_told():
    request = RerankRequest.of("a query", ["short", "long " * 500])
    reranker = Reranker(
        policy=TextPolicy(prompt=Listwise(passage_tokens=20), completer=ScriptedCompleter(lambda ask: "[1] > [2]")),
        strategy=SlidingWindow(),
    )
    (rollout,) = reranker.rollouts([request])
    assert rollout.ranking.truncated == 1
    assert "long " * 30 not in rollout.turns[0].messages[-1].content
    assert request.candidates[1].document.text == "long " * 500


def test_labels():
    scorer = ScriptedScorer(lambda question: [-0.1, -2.5] if "good" in question.messages[-1].content else [-2.5, -0.1])
    policy = LabelPolicy(prompt=PointwiseYesNo(), scorer=scorer)
    reranker = Reranker(policy=policy, strategy=Pointwise())
    (ranking,) = reranker.rerank([RerankRequest.of("q", ["bad", "good", "bad"])])
    assert ranking.order == (1, 0, 2)
    assert policy.judge([]) == []


@pytest.mark.parametrize("prompt", [PointwiseYesNo(), PointwiseRating()])
def test_a_scorer_that_fails_gives_a_failed_verdict(prompt):
    class Broken:
        identity = "broken"

        def likelihoods(self, questions):
            return [Likelihoods(error="gone") for _ in questions]

    (turn,) = LabelPolicy(prompt=prompt, scorer=Broken()).judge([Slate(SLATE.query, SLATE.candidates[:1])])
    assert (turn.verdict.status, turn.error) == (Status.FAILED, "gone")
    check_verdict(turn.verdict, 1)


def test_pairs():
    policy = PairPolicy(scorer=ScriptedPairScorer(lambda pair: float(len(pair.passage))))
    (turn,) = policy.judge([SLATE])
    assert turn.verdict.scores == (3.0, 3.0, 5.0)
    assert turn.verdict.order == (2, 0, 1)
    assert turn.usage.calls == 3
    empty = Slate(SLATE.query, ())
    assert [len(t.verdict.scores) for t in policy.judge([empty, SLATE, empty])] == [0, 3, 0]
    check_reranker(Reranker(policy=policy, strategy=Pointwise()))
    check_reranker(Reranker(policy=policy, strategy=Pointwise(), driver=Freely(2)))


def test_an_instruction_goes_before_the_query():
    seen = []
    policy = PairPolicy(scorer=ScriptedPairScorer(lambda pair: seen.append(pair.query) or 0.0))
    policy.judge([Slate(Query(text="q", instruction="Find proofs."), SLATE.candidates[:1])])
    assert seen == ["Find proofs. q"]


def test_pairs_without_a_usable_score_are_missing():
    class Odd:
        identity = "odd"

        def score_pairs(self, pairs):
            scores = {"one": PairScore(score=0.0, error="too long"), "two": PairScore(score=math.inf)}
            return [scores.get(pair.passage, PairScore(score=1.0, truncated=True)) for pair in pairs]

    (turn,) = PairPolicy(scorer=Odd()).judge([SLATE])
    check_verdict(turn.verdict, 3)
    assert (turn.verdict.status, turn.verdict.missing, turn.error) == (Status.PARTIAL, (0, 1), "too long")
    assert turn.slate.truncated == (2,)


def test_a_scorer_must_give_a_score_a_pair():
    class Short:
        identity = "short"

        def score_pairs(self, pairs):
            return [PairScore(score=0.0, usage=Usage())]

    with pytest.raises(InvalidInput, match="gave 1 scores for 3 pairs"):
        PairPolicy(scorer=Short()).judge([SLATE])


@pytest.mark.parametrize("options", [{"retries": -1}, {"temperature": -0.1}, {"max_tokens": 0}])
def test_options_are_checked(options):
    with pytest.raises(InvalidInput, match="or more"):
        TextPolicy(prompt=Listwise(), completer=ScriptedCompleter(lambda ask: ""), **options)
