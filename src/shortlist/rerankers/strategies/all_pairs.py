"""All pairs: every passage against every other; all slates at once (PRP-allpair, arXiv 2306.17563)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

from shortlist.rerankers.merge import impute
from shortlist.rerankers.strategies.common import Pick, compare
from shortlist.types import Flow, Ranking, RerankRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPairs:
    """Sorts by the share of comparisons won, a tie counting ½; the scores are these shares, in [0, 1].

    n(n − 1) calls in one round, half as many without ``both_orders`` (each pair shown in both orders, which cancels
    position bias). Where the policy tells probabilities, they count instead of wins. Meant for short lists: put a
    cascade before it.
    """

    both_orders: bool = True

    def flow(self, request: RerankRequest, /) -> Flow[Pick]:
        """The flow for one request."""
        n = len(request)
        if n < 2:
            return Ranking.of(request, range(n))
        pairs = list(combinations(range(n), 2))
        heard: set[int] = set()
        shares = yield from compare(request, pairs, both_orders=self.both_orders, heard=heard)
        won = [0.0] * n
        for (first, second), share in zip(pairs, shares, strict=True):
            won[first] += share
            won[second] += 1 - share
        scores, unjudged = impute([won[i] / (n - 1) if i in heard else math.nan for i in range(n)])
        return Ranking.by_scores(request, scores, unjudged=unjudged)
