"""Count the calls and the rounds that each kind needs for a list of n: the table of docs/rerankers.md, from the code.

The model is a stand-in that is always right; what a strategy asks for may depend on the answers (those marked ~).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from shortlist.rerankers.base import Reranker
from shortlist.rerankers.designs import balanced
from shortlist.rerankers.mergers import anchored
from shortlist.rerankers.strategies import (
    AllPairs,
    DynamicK,
    Groups,
    Hops,
    PairwiseSort,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)
from shortlist.testing.rerankers import chooser, orderer, scorer
from shortlist.types import Candidate, RerankRequest, Slate

SIZES = (10, 20, 50, 100)
ROWS: tuple[tuple[str, Callable[..., Any], Any], ...] = (
    ("`cross-encoder`, `pointwise`, `likelihood`", scorer, Pointwise()),
    ("`hops`", scorer, Hops()),
    ("`pairwise` ~", chooser, PairwiseSort()),
    ("`pairwise?top=10` ~", chooser, PairwiseSort(top=10)),
    ("`pairwise?strategy=all`", chooser, AllPairs()),
    ("`setwise` (3 children, top 10) ~", chooser, SetwiseHeap()),
    ("`listwise` (window 20, stride 10)", orderer, SlidingWindow()),
    ("`listwise?strategy=whole`", orderer, WholeList()),
    ("`listwise?strategy=tournament` ~", orderer, Tournament()),
    ("`groupwise` (groups of 10)", scorer, Groups()),
    ("`groupwise?anchors=2`", scorer, Groups(anchors=2, merger=anchored)),
    ("`groupwise?repeat=3`", scorer, Groups(repeats=3, design=balanced)),
    ("`dynamic` (window 20) ~", orderer, DynamicK()),
)


def count(make: Callable[..., Any], strategy: Any, n: int) -> tuple[int, int]:
    """Calls and rounds for one request of n passages, whose best ones the first stage has scattered."""
    worth = random.Random(0).sample(range(n), n)

    def grade(candidate: Candidate) -> float:
        return worth[int(candidate.id)]

    policy, rounds = make(grade), []

    class Counting:
        identity = "counting"

        def judge(self, slates: Sequence[Slate], /) -> Any:
            rounds.append(len(slates))
            return policy.judge(slates)

    (ranking,) = Reranker[Any](policy=Counting(), strategy=strategy).rerank([RerankRequest.of("q", ["x"] * n)])
    return ranking.usage.calls, len(rounds)


def table() -> str:
    """The table in Markdown: calls, and in brackets the rounds they come in."""
    head = ["| kind | " + " | ".join(f"n = {n}" for n in SIZES) + " |", "|---" * (len(SIZES) + 1) + "|"]
    for name, make, strategy in ROWS:
        cells = [count(make, strategy, n) for n in SIZES]
        head.append(f"| {name} | " + " | ".join(f"{calls:,} ({rounds})" for calls, rounds in cells) + " |")
    return "\n".join(head)


if __name__ == "__main__":
    print(table())
