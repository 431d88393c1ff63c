"""Likelihoods behind reasoning, with replies and numbers made by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.base import Completion, Continuer, Likelihoods
from shortlist.backends.cache import Store, cached
from shortlist.backends.scripted import ScriptedCompleter, ScriptedContinuer
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import TextPolicy
from shortlist.rerankers.reasoned import ReasonedLabelPolicy
from shortlist.rerankers.strategies import Pointwise
from shortlist.testing.backends import check_completer, check_scorer
from shortlist.testing.rerankers import check_reranker
from shortlist.testing.verdicts import check_verdict
from shortlist.text.parsing import NOT_ASKED
from shortlist.text.pointwise import PointwiseRating
from shortlist.text.reasoning import CUT_OFF, NO_REASONING, NO_TAGS
from shortlist.types import RerankRequest, Slate, Status

REQUEST = RerankRequest.of("what boils?", ["Water boils.", "Iron rusts.", "Milk boils over."])
ONE = Slate(REQUEST.query, REQUEST.candidates[:1])
PROMPT = PointwiseRating(reasoning=True)
GOOD = "<think>about water</think>\n<answer> 7 </answer>"
BELIEF = {7: 0.3, 8: 0.1, 10: 0.1}
"""Half of what the model says is an integer; among the integers 7 has .6, 8 and 10 have .2 each: 7.8 is expected."""


def shares(belief):
    return [math.log(belief[v]) if v in belief else -math.inf for v in range(11)]


class Model:
    """A continuer that keeps the questions it was asked."""

    def __init__(self, reply, belief=None):
        self.questions = []
        told = reply if callable(reply) else lambda ask: reply
        self.backend = ScriptedContinuer(told, logprobs=self._weigh)
        self.belief = belief or (lambda question: BELIEF)

    def _weigh(self, question):
        self.questions.append(question)
        return shares(self.belief(question))

    def judged(self, slates=(ONE,), prompt=PROMPT, **options):
        turns = ReasonedLabelPolicy(prompt=prompt, completer=self.backend, **options).judge(slates)
        for turn in turns:
            check_verdict(turn.verdict, 1)
        return turns


def one_after_the_other(*replies):
    left = iter(replies)
    return lambda ask: next(left)


def test_the_expected_integer_behind_the_reasoning():
    model = Model(GOOD)
    (turn,) = model.judged()
    assert turn.verdict.scores == pytest.approx((0.6 * 7 + 0.2 * 8 + 0.2 * 10,))
    assert (turn.verdict.status, turn.verdict.reasoning, turn.verdict.problems) == (Status.OK, "about water", ())
    assert (turn.text, turn.usage.calls) == (GOOD, 2)
    (question,) = model.questions
    assert question.begun == "<think>about water</think>\n<answer> "
    assert question.labels == tuple(map(str, range(11)))
    assert question.messages == turn.messages == PROMPT.render(ONE)


def test_the_papers_product():
    (turn,) = Model(GOOD).judged(prompt=PointwiseRating(reasoning=True, scoring="product"))
    assert turn.verdict.scores == pytest.approx((0.6 * 7,))


def test_a_ranking_has_the_reasoning_and_finer_scores_than_integers():
    def reply(ask):
        return f"<think>on {ask.messages[-1].content.count('boil')}</think><answer>7</answer>"

    def belief(question):
        return {7: 0.5, 8: 0.5} if "Milk" in question.messages[-1].content else {6: 0.5, 7: 0.5}

    model = Model(reply, belief)
    reranker = Reranker(policy=ReasonedLabelPolicy(prompt=PROMPT, completer=model.backend), strategy=Pointwise())
    (ranking,) = reranker.rerank([REQUEST])
    assert (ranking.order, ranking.scores) == ((2, 0, 1), pytest.approx((7.5, 6.5, 6.5)))
    assert ranking.reasoning == ("on 2", "on 1", "on 2")
    assert (ranking.status, ranking.usage.calls) == (Status.OK, 6)
    (by_integer,) = Reranker(policy=TextPolicy(prompt=PROMPT, completer=model.backend), strategy=Pointwise()).rerank(
        [REQUEST]
    )
    assert by_integer.scores == (7, 7, 7)
    check_reranker(reranker)


def test_reasoning_that_never_closes_is_failed_counted_and_never_zero():
    model = Model(lambda ask: "<think>iron and" if "Iron" in ask.messages[-1].content else GOOD)
    reranker = Reranker(policy=ReasonedLabelPolicy(prompt=PROMPT, completer=model.backend), strategy=Pointwise())
    (rollout,) = reranker.rollouts([REQUEST])
    failed = rollout.turns[1].verdict
    assert (failed.status, failed.problems[0], failed.reasoning) == (Status.FAILED, CUT_OFF, "iron and")
    assert math.isnan(failed.scores[0])
    assert (rollout.ranking.status, rollout.ranking.unjudged) == (Status.PARTIAL, (1,))
    assert rollout.ranking.order == (0, 1, 2)  # it keeps its place
    assert len(model.questions) == 2  # nothing to read behind


def test_a_starved_reply_is_weighed_behind_the_answer_it_is_asked_for():
    starved = Completion(text="<think>water and", finish="length")
    model = Model(one_after_the_other(starved, "<answer>7</answer>"))
    (turn,) = model.judged()
    assert turn.verdict.scores == pytest.approx((7.8,))
    assert (turn.verdict.status, turn.verdict.reasoning) == (Status.REPAIRED, "water and")
    assert any("asked again" in problem for problem in turn.verdict.problems)
    (question,) = model.questions
    assert (question.begun, question.messages[-2].content) == ("<answer>", "<think>water and")
    (turn,) = Model(one_after_the_other(starved, starved)).judged()
    assert turn.verdict.status is Status.FAILED


@pytest.mark.parametrize(
    ("text", "begun", "problems"),
    [
        (GOOD, "<think>about water</think>\n<answer> ", ()),
        ("<think>3 or 7</think><answer>10</answer>", "<think>3 or 7</think><answer>", ()),
        ("so it is</think>\n<answer>7</answer>", "so it is</think>\n<answer>", ()),  # the template opened it
        ("<think>a</think>\n7", "<think>a</think>\n", (NO_TAGS,)),
        ("<think>a</think><answer>Rating: 7</answer>", "<think>a</think><answer>Rating: ", (NOT_ASKED,)),
        ("<think>a</think><answer>high</answer>", "<think>a</think><answer>", ("no rating in the reply",)),
        ("<think>a</think> It is good.", "<think>a</think>\n<answer>", (NO_TAGS, "no rating in the reply")),
        ("<answer>7</answer>", "<answer>", (NO_REASONING,)),
        ("7", "", (NO_REASONING, NO_TAGS)),
        ("It is good.", None, (NO_REASONING, NO_TAGS, "no rating in the reply")),
        ("<think>7", None, (CUT_OFF,)),
        ("", None, (NO_REASONING, NO_TAGS, "no rating in the reply")),
    ],
)
def test_where_the_integer_is_read_and_what_is_told_of_the_form(text, begun, problems):
    assert PROMPT.opening(text) == begun
    model = Model(text)
    (turn,) = model.judged()
    wanted = Status.FAILED if begun is None else Status.REPAIRED if problems else Status.OK
    assert turn.verdict.status is wanted
    assert turn.verdict.problems[: len(problems)] == problems
    assert [question.begun for question in model.questions] == ([] if begun is None else [begun])


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "7", "10 ", "\n", "x", "**"])))
def test_any_reply_has_an_opening_or_none(pieces):
    text = "".join(pieces)
    begun = PROMPT.opening(text)
    assert begun is None or text.startswith(begun) or begun.endswith("\n<answer>")
    assert begun is not None or PROMPT.parse(text, ONE).status is Status.FAILED


def test_likelihoods_that_are_not_known_or_not_told():
    (turn,) = Model(GOOD, lambda question: {}).judged()
    assert turn.verdict.status is Status.FAILED
    assert turn.verdict.problems == ("the likelihoods of the integers are not known",)
    assert turn.verdict.reasoning == "about water"

    class Broken(ScriptedContinuer):
        def likelihoods(self, questions):
            return [Likelihoods(error="gone") for _ in questions]

    broken = Broken(lambda ask: GOOD, logprobs=lambda question: [])
    (turn,) = ReasonedLabelPolicy(prompt=PROMPT, completer=broken).judge([ONE])
    assert (turn.verdict.status, turn.error, turn.text) == (Status.FAILED, "gone", GOOD)


def test_a_reply_that_did_not_come_is_not_weighed():
    model = Model(lambda ask: Completion(finish="error", error="too long"))
    (turn,) = model.judged()
    assert (turn.verdict.status, turn.error, model.questions) == (Status.FAILED, "too long", [])
    assert model.judged(()) == []


def test_the_options_of_replies_hold():
    model = Model(one_after_the_other("no", GOOD))
    (turn,) = model.judged(retries=1, max_tokens=9, temperature=0.5, seed=3)
    assert (turn.verdict.status, turn.verdict.scores) == (Status.REPAIRED, pytest.approx((7.8,)))
    assert {(ask.max_tokens, ask.temperature, ask.seed) for ask in model.backend.asked} == {(9, 0.5, 3)}
    assert len(model.questions[0].messages) == 4


def test_a_backend_must_read_behind_a_begun_reply():
    with pytest.raises(InvalidInput, match=r"'scripted' cannot read likelihoods behind .*read=text"):
        ReasonedLabelPolicy(prompt=PROMPT, completer=ScriptedCompleter(lambda ask: GOOD))
    policy = ReasonedLabelPolicy(prompt=PROMPT, completer=Model(GOOD).backend)
    assert policy.identity != TextPolicy(prompt=PROMPT, completer=policy.completer).identity


def test_the_double_keeps_the_contracts_and_a_cache_leaves_it_what_it_is(tmp_path):
    model = ScriptedContinuer(
        lambda ask: f"you said {ask.messages[-1].content}",
        logprobs=lambda q: [-float(len(q.messages[-1].content) + len(q.begun) + i) for i in range(len(q.labels))],
    )
    assert isinstance(model, Continuer)
    check_completer(model)
    check_scorer(model)
    with Store(tmp_path / "cache.sqlite") as store:
        kept = cached(Model(GOOD).backend, store)
        assert isinstance(kept, Continuer)
        for calls in (2, 0):
            (turn,) = ReasonedLabelPolicy(prompt=PROMPT, completer=kept).judge([ONE])
            assert (turn.verdict.scores, turn.usage.calls) == (pytest.approx((7.8,)), calls)
        assert not isinstance(cached(ScriptedCompleter(lambda ask: ""), store), Continuer)
