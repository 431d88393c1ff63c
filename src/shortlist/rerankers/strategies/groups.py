"""Groups: passages are graded group by group, all groups in one round (GroupRank, arXiv 2511.11653)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import named
from shortlist.rerankers.designs import Design, disjoint, interval
from shortlist.rerankers.merge import impute
from shortlist.rerankers.mergers import Graded, Merger, anchored, mean
from shortlist.rerankers.strategies.common import slate
from shortlist.types import Flow, Ranking, RerankRequest, ScoredJudgement


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Groups:
    """Grades passages in groups of at most ``size`` and merges the grades.

    A model grades within its group, so grades of different groups are not on one scale; the ranking's scores are
    relative to this request too, and mean nothing across requests. What helps: ``design`` (which passages meet; see
    :mod:`~shortlist.rerankers.designs`), ``repeats`` (how often each is graded), ``anchors`` (so many passages, evenly
    spaced from the first stage's first to its last, sit in every group) and ``merger`` (see
    :mod:`~shortlist.rerankers.mergers`). A passage that no group graded keeps its place; ties keep the first-stage
    order. The groups depend on ``seed`` and the query's id alone.
    """

    size: int = 10
    design: Design = interval
    repeats: int = 1
    anchors: int = 0
    merger: Merger = mean
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 2 or self.repeats < 1:
            raise InvalidInput(f"size {self.size}, repeats {self.repeats}: give at least 2 and 1")
        if not 0 <= self.anchors < self.size - 1:
            raise InvalidInput(f"{self.anchors} anchors in groups of {self.size}: at least two places must be free")
        links = self.anchors > 0 or (self.repeats > 1 and self.design is not disjoint)
        if self.merger is anchored and not links:
            raise InvalidInput(
                "the merger 'anchored' aligns groups by the passages they share, and these share none: "
                "give anchors=2 or 3, or an overlapping design with repeats"
            )

    def __repr__(self) -> str:  # functions by their names: a repr is part of a reranker's identity
        return (
            f"Groups(size={self.size}, design={named(self.design)}, repeats={self.repeats}, "
            f"anchors={self.anchors}, merger={named(self.merger)}, seed={self.seed})"
        )

    def flow(self, request: RerankRequest, /) -> Flow[ScoredJudgement]:
        """The flow for one request."""
        n = len(request)
        groups = self.groups(n, request.query.id)
        judgements = yield [slate(request, group) for group in groups]
        graded = [Graded(tuple(g), j.scores) for g, j in zip(groups, judgements, strict=True)]
        # rounded, so that the last bit of a mean of 3 or of 10 equal grades does not break their tie
        scores, unjudged = impute([round(score, 12) for score in self.merger(n, graded)])
        return Ranking.by_scores(request, scores, unjudged=unjudged)

    def groups(self, n: int, query_id: str) -> list[list[int]]:
        """The groups for a list of n, each in the order in which it is shown."""
        if not n:
            return []
        rng = random.Random(f"{self.seed}/{query_id}")
        if n <= self.size or not self.anchors:
            return self.design(n, self.size, self.repeats, rng)
        anchors = anchor_places(n, self.anchors)
        others = [i for i in range(n) if i not in anchors]
        drawn = self.design(len(others), self.size - len(anchors), self.repeats, rng)
        return [_with_anchors([others[i] for i in group], anchors, rng) for group in drawn]


def anchor_places(n: int, count: int) -> tuple[int, ...]:
    """Places spread evenly from the first to the last of n; the middle one if there is to be only one."""
    if count == 1:
        return (n // 2,)
    return tuple(i * (n - 1) // (count - 1) for i in range(count))


def _with_anchors(group: list[int], anchors: tuple[int, ...], rng: random.Random) -> list[int]:
    """The group with the anchors at random places in it, so that no place on the page is always an anchor's."""
    mixed = list(group)
    for anchor in anchors:
        mixed.insert(rng.randrange(len(mixed) + 1), anchor)
    return mixed
