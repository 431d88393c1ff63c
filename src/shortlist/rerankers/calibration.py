"""From a ranker's raw scores to relevance in [0, 1], and what kind of number the raw score is.

Absolute kinds mean the same for every request: a cross-encoder's logit (its sigmoid, or the Platt calibration that came
with the checkpoint), a probability, a rating of ten. Relative kinds (fused scores, grades aligned within a request)
are spread over [0, 1] within their request. Where a ranker only orders, relevance falls evenly with the rank.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shortlist.errors import InvalidFile
from shortlist.rerankers.base import Ranker, Reranker
from shortlist.rerankers.compose import Cascade, FirstStage, Keep
from shortlist.rerankers.configuration import CONFIG
from shortlist.rerankers.merge import in_unit_range
from shortlist.rerankers.mergers import mean
from shortlist.rerankers.policies import PairPolicy
from shortlist.rerankers.strategies import AllPairs, Groups, Pointwise
from shortlist.text.groupwise import TOP
from shortlist.text.pointwise import PointwiseRating, PointwiseYesNo
from shortlist.types import Ranking

_RANK = "rank"


def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def logit(p: float) -> float:
    """ln(p / (1 − p)), p held within 10⁻⁶ of the ends."""
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


@dataclass(frozen=True, slots=True)
class Platt:
    """Platt's calibration (1999): P(relevant) = sigmoid(a · score + b), fitted on held-out judgements."""

    a: float
    b: float

    def __call__(self, score: float) -> float:
        """The probability."""
        return sigmoid(self.a * score + self.b)


@dataclass(frozen=True, slots=True)
class Scale:
    """A kind of score. ``unit`` takes one score to [0, 1]; ``None``: such scores mean something within a request only."""

    kind: str
    unit: Callable[[float], float] | None = None

    @property
    def absolute(self) -> bool:
        """Whether scores of different requests can be compared."""
        return self.unit is not None

    def relevance(self, scores: Sequence[float]) -> list[float]:
        """One number in [0, 1] a score, in the same order of size."""
        if self.unit is not None:
            return [_held(self.unit(score)) if math.isfinite(score) else float(score > 0) for score in scores]
        finite = [score for score in scores if math.isfinite(score)]
        if not finite or max(finite) == min(finite):
            return [0.5] * len(scores)
        low, high = min(finite), max(finite)
        return in_unit_range([min(max(score, low), high) for score in scores])


def _held(value: float) -> float:
    return min(max(value, 0.0), 1.0)


RANK = Scale(_RANK)


def by_rank(n: int) -> list[float]:
    """1, 1 − 1/n, … 1/n: all that an order tells."""
    return [(n - i) / n for i in range(n)]


def relevance(ranking: Ranking, scale: Scale) -> tuple[list[float], str]:
    """Relevance along the ranking, and the kind of the raw scores; ``rank`` where there are none, or where they do not
    fall along the ranking (a first stage's that was not sorted by them).
    """
    if ranking.scores is None or scale.kind == _RANK or any(a < b for a, b in itertools.pairwise(ranking.scores)):
        return by_rank(len(ranking)), _RANK
    return scale.relevance(ranking.scores), scale.kind


def scale_of(ranker: Ranker, calibration: Platt | None = None) -> Scale:
    """What a ranker's scores are, by how it is made."""
    if isinstance(ranker, Keep):
        return scale_of(ranker.ranker, calibration)
    if isinstance(ranker, Cascade):
        return scale_of(ranker.stages[-1][0], calibration)
    if isinstance(ranker, FirstStage):
        return Scale("first-stage")
    if not isinstance(ranker, Reranker):
        return Scale("fused" if hasattr(ranker, "method") else "unknown")
    if calibration is not None:
        return Scale("logit" if isinstance(ranker.policy, PairPolicy) else "score", calibration)
    return _of_reranker(ranker)


def _of_reranker(reranker: Reranker[Any]) -> Scale:
    strategy, prompt = reranker.strategy, getattr(reranker.policy, "prompt", None)
    if isinstance(strategy, Pointwise):
        if isinstance(reranker.policy, PairPolicy):
            return Scale("logit", sigmoid)
        if isinstance(prompt, PointwiseYesNo):
            return Scale("probability", float)
        return Scale("rating", _of_ten) if isinstance(prompt, PointwiseRating) else Scale("log-likelihood")
    if isinstance(strategy, Groups):
        return Scale("grade", _of_ten) if strategy.merger is mean else Scale("merged-grade")
    return Scale("win-share", float) if isinstance(strategy, AllPairs) else RANK


def _of_ten(score: float) -> float:
    return score / TOP


def read_calibration(spec: str) -> Platt | None:
    """The calibration of a checkpoint folder (``calibration: {"method": "platt", "a": …, "b": …}``), if it has one."""
    path = Path(spec.rpartition(">>")[2].partition("?")[0].strip()).expanduser() / CONFIG
    if not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8")).get("calibration")
    if told is None:
        return None
    try:
        if told.get("method", "platt") != "platt":
            raise InvalidFile(path, f"calibration by {told['method']!r}; platt is what is known")
        return Platt(float(told["a"]), float(told["b"]))
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        if isinstance(problem, InvalidFile):
            raise
        raise InvalidFile(path, f"not a calibration: {told!r}; give method, a and b") from problem
