"""Policies and strategies that go together: mypy must accept all of this."""

from collections.abc import Sequence
from typing import assert_type

from shortlist.rerankers.base import Policy, Ranker, Reranker, Strategy
from shortlist.rerankers.compose import Cascade, FirstStage, Keep
from shortlist.rerankers.cutoffs import LargestGap, Rule, TopK
from shortlist.rerankers.designs import balanced
from shortlist.rerankers.fusion import Ensemble, Fused, z_score
from shortlist.rerankers.mergers import anchored
from shortlist.rerankers.strategies import (
    AllPairs,
    DynamicK,
    Groups,
    PairwiseSort,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)
from shortlist.testing.rerankers import ScriptedPolicy, chooser, orderer, scorer
from shortlist.types import Choice, Flow, Judgement, Ranking, RerankRequest, ScoredJudgement, Slate, Turn


def grade(candidate: object) -> float:
    return float(len(str(candidate)))


chooses: Policy[Choice] = chooser(grade)
orders: Policy[Judgement] = orderer(grade)
scores: Policy[ScoredJudgement] = scorer(grade)

# a policy that says more will do where less is needed
less: Policy[Judgement] = scores

Reranker(policy=chooses, strategy=AllPairs())
Reranker(policy=orders, strategy=AllPairs())
Reranker(policy=chooses, strategy=PairwiseSort(top=10))
Reranker(policy=scores, strategy=PairwiseSort())
Reranker(policy=chooses, strategy=SetwiseHeap(children=9))
Reranker(policy=orders, strategy=SetwiseHeap())
Reranker(policy=orders, strategy=WholeList())
Reranker(policy=scores, strategy=WholeList())
Reranker(policy=orders, strategy=SlidingWindow(size=10, stride=5))
Reranker(policy=scores, strategy=SlidingWindow())
Reranker(policy=orders, strategy=Tournament())
Reranker(policy=orders, strategy=DynamicK())
Reranker(policy=scores, strategy=Pointwise())
Reranker(policy=scores, strategy=Groups(design=balanced, repeats=3, merger=anchored))


class OwnStrategy:
    """Someone else's strategy: one method."""

    def flow(self, request: RerankRequest, /) -> Flow[Judgement]:
        (judgement,) = yield [Slate(request.query, request.candidates)]
        return Ranking.of(request, judgement.order)


class OwnPolicy:
    """Someone else's policy: one method and a name."""

    identity = "own"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[ScoredJudgement]]:
        return [Turn(slate, ScoredJudgement.of([0.0] * len(slate))) for slate in slates]


strategy: Strategy[Judgement] = OwnStrategy()
own = Reranker(policy=OwnPolicy(), strategy=OwnStrategy())
ranker: Ranker = own
rule: Rule = lambda ranking: len(ranking) // 2  # noqa: E731
rankers: list[Ranker] = [
    FirstStage(),
    Keep(own, rule),
    Keep(own, TopK(3)),
    Keep(Fused(own, z_score, 0.2), LargestGap(maximum=5)),
    Cascade(((own, 100), (FirstStage(), None))),
    Ensemble((own, FirstStage())),
]
assert_type([ranking for r in rankers for ranking in r.rerank([])], list[Ranking])
assert_type(ScriptedPolicy(lambda slate: Choice(best=0)).judge([])[0].verdict, Choice)
