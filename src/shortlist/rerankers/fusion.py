"""Fusing rankings of the same request: a reranker with its first stage, or several rankers.

A method is a function from rankings and weights to scores, one a candidate by its place in the request. Weights are
the caller's and are stated: the published ones differ (0.2 of the first stage to 0.8 of z-scores in ERank, arXiv
2509.00520; 0.1 to 0.9 of min–max in Rank-R1; 0.4 to 0.6 raw in GroupRank's code), and most of some papers' gain is this
step.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import mul
from typing import TypeAlias

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Ranker, identity_of, named
from shortlist.rerankers.compose import first_stage
from shortlist.rerankers.merge import in_unit_range, standardised
from shortlist.types import Ranking, RerankRequest, Status, Usage

Method: TypeAlias = Callable[[Sequence[Ranking], Sequence[float]], list[float]]
"""``(rankings of one request, a weight each) -> a score for each place in the request``."""


def rrf(rankings: Sequence[Ranking], weights: Sequence[float], *, k: float = 60.0) -> list[float]:
    """Σ weight / (k + rank), ranks from 1: reciprocal rank fusion (Cormack et al. 2009); needs no scores."""
    fused = [0.0] * len(rankings[0])
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, place in enumerate(ranking.order, 1):
            fused[place] += weight / (k + rank)
    return fused


def z_score(rankings: Sequence[Ranking], weights: Sequence[float]) -> list[float]:
    """Σ weight · (score − mean) / standard deviation, each over the request's candidates."""
    return _weighted([standardised(_by_place(ranking)) for ranking in rankings], weights)


def min_max(rankings: Sequence[Ranking], weights: Sequence[float]) -> list[float]:
    """Σ weight · (score − min) / (max − min), each over the request's candidates."""
    return _weighted([in_unit_range(_by_place(ranking)) for ranking in rankings], weights)


METHODS: dict[str, Method] = {"rrf": rrf, "z-score": z_score, "min-max": min_max}
"""By the names that a reranker's options use."""


def _by_place(ranking: Ranking) -> list[float]:
    """The scores by place in the request, if there are any and all are finite."""
    if ranking.scores is None:
        raise InvalidInput(
            f"query {ranking.query.id!r}: one of the rankings to be fused has no scores (a first stage without them, "
            "or a strategy that only orders); fuse by rrf, which needs ranks alone"
        )
    scores = [0.0] * len(ranking)
    for place, score in zip(ranking.order, ranking.scores, strict=True):
        scores[place] = score
    if not all(map(math.isfinite, scores)):
        raise InvalidInput(f"query {ranking.query.id!r}: scores to be fused are not finite; fuse by rrf")
    return scores


def _weighted(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    return [math.fsum(map(mul, column, weights)) for column in zip(*rows, strict=True)]


@dataclass(frozen=True, slots=True)
class Fused:
    """A ranker fused with the first stage, whose share is ``weight``; the ranker's is 1 − weight.

    The ranking's scores are the fused ones; status, cutoff, usage and all else are the ranker's.
    """

    ranker: Ranker
    method: Method = rrf
    weight: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InvalidInput(f"weight is {self.weight}; give the first stage's share, from 0 to 1")

    @property
    def name(self) -> str:
        """The ranker's, marked as fused."""
        return f"{self.ranker.name} + first stage"

    @property
    def identity(self) -> str:
        """The ranker's, with method and weight."""
        return f"{identity_of(self.ranker)} fused by {named(self.method)}, first stage's share {self.weight}"

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in order."""
        return map(self._fuse, self.ranker.rerank(requests))

    def _fuse(self, ranking: Ranking) -> Ranking:
        rankings = (first_stage(ranking.request), ranking)
        return _resorted(ranking, self.method(rankings, (self.weight, 1 - self.weight)))


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Several rankers of the same requests, fused; ``weights`` are one a ranker, all equal if not given.

    Its cutoff is the weighted mean of the rankers' cutoffs, if all state one. Usage, problems and reasoning add up, and
    a passage is unjudged where every ranker left it so.
    """

    rankers: tuple[Ranker, ...]
    method: Method = rrf
    weights: tuple[float, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if not self.rankers:
            raise InvalidInput("an ensemble needs at least one ranker")
        if not self.weights:
            object.__setattr__(self, "weights", (1 / len(self.rankers),) * len(self.rankers))
        if len(self.weights) != len(self.rankers) or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise InvalidInput(
                f"weights {self.weights} for {len(self.rankers)} rankers: give one each, none below 0 and not all 0"
            )
        if not self.name:
            object.__setattr__(self, "name", " + ".join(ranker.name for ranker in self.rankers))

    @property
    def identity(self) -> str:
        """Those of its rankers, with method and weights."""
        rankers = " + ".join(str(identity_of(ranker)) for ranker in self.rankers)
        return f"{rankers} fused by {named(self.method)}, weights {self.weights}"

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in order; requests are held only until the slowest ranker has taken them."""
        copies = itertools.tee(requests, len(self.rankers))
        streams = [ranker.rerank(copy) for ranker, copy in zip(self.rankers, copies, strict=True)]
        del copies  # a copy held here would keep every request
        return map(self._fuse, zip(*streams, strict=True))

    def _fuse(self, rankings: tuple[Ranking, ...]) -> Ranking:
        together = dataclasses.replace(
            rankings[0],
            cutoff=self._cutoff([ranking.cutoff for ranking in rankings]),
            status=Status.of_many(ranking.status for ranking in rankings),
            unjudged=tuple(sorted(set.intersection(*(set(ranking.unjudged) for ranking in rankings)))),
            skipped=tuple(sorted(set.intersection(*(set(ranking.skipped) for ranking in rankings)))),
            problems=tuple(problem for ranking in rankings for problem in ranking.problems),
            reasoning=tuple(thought for ranking in rankings for thought in ranking.reasoning),
            usage=Usage.total(ranking.usage for ranking in rankings),
            truncated=max(ranking.truncated for ranking in rankings),
        )
        return _resorted(together, self.method(rankings, self.weights))

    def _cutoff(self, cutoffs: Sequence[int | None]) -> int | None:
        stated = [cutoff for cutoff in cutoffs if cutoff is not None]
        if len(stated) < len(cutoffs):
            return None
        return math.floor(math.fsum(map(mul, stated, self.weights)) / math.fsum(self.weights) + 0.5)


def _resorted(ranking: Ranking, scores: Sequence[float]) -> Ranking:
    """The ranking sorted by other scores; ties keep the first-stage order."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return dataclasses.replace(ranking, order=tuple(order), scores=tuple(scores[i] for i in order))
