"""The reranker, and what a ranking tells of its turns."""

import pytest

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.rerankers.base import MAX_PROBLEMS, Reranker, account
from shortlist.rerankers.drivers import Freely
from shortlist.rerankers.strategies import Pointwise, WholeList
from shortlist.testing.rerankers import ScriptedPolicy, check_reranker, scorer, silent
from shortlist.types import Judgement, Query, Ranking, RerankRequest, ScoredJudgement, Slate, Status, Turn, Usage

REQUEST = RerankRequest.of("q", ["a", "b", "c"])


def turn(status=Status.OK, *, problems=(), error=None, truncated=(), reasoning="", usage=Usage(calls=1)):
    slate = Slate(REQUEST.query, REQUEST.candidates, truncated)
    verdict = Judgement(order=(0, 1, 2), status=status, problems=problems, reasoning=reasoning)
    return Turn(slate, verdict, error=error, usage=usage)


@pytest.mark.parametrize(
    ("statuses", "unjudged", "whole"),
    [
        ([], (), Status.OK),
        ([Status.OK, Status.OK], (), Status.OK),
        ([Status.OK, Status.REPAIRED], (), Status.REPAIRED),
        ([Status.OK, Status.FAILED], (), Status.PARTIAL),
        ([Status.OK], (1,), Status.PARTIAL),
        ([Status.FAILED, Status.FAILED], (0, 1, 2), Status.FAILED),
    ],
)
def test_the_status_of_a_whole(statuses, unjudged, whole):
    ranking = Ranking.of(REQUEST, range(3), unjudged=unjudged)
    assert account(ranking, [turn(status) for status in statuses]).status is whole


def test_what_turns_tell():
    turns = [
        turn(reasoning="because", truncated=(0, 2), usage=Usage(1, 10, 2)),
        turn(Status.FAILED, problems=("no digits",), error="timed out", truncated=(2,), usage=Usage(1, 5, 0)),
        turn(Status.FAILED, problems=("no digits",)),
    ]
    ranking = account(Ranking.of(REQUEST, range(3)), turns)
    assert ranking.problems == ("timed out", "no digits (×2)")
    assert ranking.reasoning == ("because",)
    assert ranking.usage == Usage(3, 15, 2)
    assert ranking.truncated == 2  # two passages, one of them shown cut twice


def test_problems_are_bounded():
    turns = [turn(Status.REPAIRED, problems=(f"problem {i}",)) for i in range(25)]
    told = account(Ranking.of(REQUEST, range(3)), turns).problems
    assert len(told) == MAX_PROBLEMS
    assert told[-1] == "6 more kinds of problem"


def test_reporting_and_raising():
    reranker = Reranker(policy=silent("judgement"), strategy=WholeList())
    (ranking,) = reranker.rerank([REQUEST])
    assert (ranking.status, ranking.order) == (Status.FAILED, (0, 1, 2))
    for driver in (reranker.driver, Freely(2)):
        raising = Reranker(policy=silent("judgement"), strategy=WholeList(), on_error="raise", driver=driver)
        with pytest.raises(JudgementFailed, match="query 'q': no reply could be read"):
            list(raising.rerank([REQUEST]))
    with pytest.raises(InvalidInput, match="on_error is 'ignore'"):
        Reranker(policy=silent("judgement"), strategy=WholeList(), on_error="ignore")


def test_rollouts_keep_every_turn():
    reranker = Reranker(policy=scorer(lambda c: float(ord(c.document.text))), strategy=Pointwise())
    rollout = next(reranker.rollouts([REQUEST]))
    assert rollout.ranking.order == (2, 1, 0)
    assert [t.slate.documents[0].text for t in rollout.turns] == ["a", "b", "c"]


def test_identity_names_all_that_decides():
    one = Reranker(policy=ScriptedPolicy(lambda s: ScoredJudgement.of([0.0]), "model 1"), strategy=Pointwise())
    assert one.identity == "Pointwise() model 1"


def test_the_contract_of_rankers():
    policy = ScriptedPolicy(lambda slate: ScoredJudgement.of([float(c.id[1:]) for c in slate.candidates]))
    check_reranker(Reranker(policy=policy, strategy=Pointwise()))
    check_reranker(Reranker(policy=policy, strategy=Pointwise(), driver=Freely(3)))


class Odd:
    """A ranker with one fault."""

    name = "odd"

    def __init__(self, fault):
        self.fault = fault
        self.seen = 0

    def rerank(self, requests):
        if self.fault == "greedy":
            requests = list(requests)
        for request in requests:
            self.seen += 1
            order = list(range(len(request)))
            if self.fault == "moody" and self.seen % 2:
                order.reverse()
            other = RerankRequest(Query(text="other"), request.candidates)
            yield Ranking.of(other if self.fault == "swapped" else request, order)


@pytest.mark.parametrize(
    ("fault", "told"), [("greedy", "were read before"), ("moody", "alone is ranked"), ("swapped", "another request")]
)
def test_the_contract_finds_what_is_broken(fault, told):
    check_reranker(Odd(""))
    with pytest.raises(AssertionError, match=told):
        check_reranker(Odd(fault), lazy=100)
