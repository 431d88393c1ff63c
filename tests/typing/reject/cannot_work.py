"""Policies and strategies that cannot work together: mypy must find every marked line, and no other."""

from shortlist.rerankers.base import Policy, Reranker, Strategy
from shortlist.rerankers.compose import Cascade, FirstStage, Keep
from shortlist.rerankers.fusion import Fused
from shortlist.rerankers.mergers import Merger
from shortlist.rerankers.strategies import (
    DynamicK,
    Groups,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)
from shortlist.testing.rerankers import chooser, orderer, scorer
from shortlist.types import Choice, Judgement, Ranking, ScoredJudgement


def grade(candidate: object) -> float:
    return float(len(str(candidate)))


chooses: Policy[Choice] = chooser(grade)
orders: Policy[Judgement] = orderer(grade)
scores: Policy[ScoredJudgement] = scorer(grade)

# a choice is no order, and neither is a score
Reranker(policy=chooses, strategy=WholeList())  # wrong
Reranker(policy=chooses, strategy=SlidingWindow())  # wrong
Reranker(policy=chooses, strategy=Tournament())  # wrong
Reranker(policy=chooses, strategy=DynamicK())  # wrong
Reranker(policy=chooses, strategy=Pointwise())  # wrong
Reranker(policy=chooses, strategy=Groups())  # wrong
Reranker(policy=orders, strategy=Pointwise())  # wrong
Reranker(policy=orders, strategy=Groups())  # wrong

scored: Policy[ScoredJudgement] = orders  # wrong
needs_less: Strategy[Choice] = Pointwise()  # wrong

# a policy is no ranker, a strategy neither
Keep(scores, len)  # wrong
Fused(SlidingWindow())  # wrong
Cascade(((FirstStage(), 10), (SetwiseHeap(), 10)))  # wrong
Cascade((FirstStage(), 10))  # wrong


def merge(n: int) -> list[float]:
    return [0.0] * n


merger: Merger = merge  # wrong


def half(ranking: Ranking) -> float:
    return len(ranking) / 2


Keep(FirstStage(), half)  # wrong
