"""Agreement of two sets of scores of the same passages: as rankings with ties, and as distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shortlist.errors import InvalidInput


def rbo_ties(one: Sequence[float], other: Sequence[float], p: float = 0.9) -> float:
    """Compute the rank-biased overlap of the rankings that two lists of scores make, the mean over all orders of ties.

    ``(1 - p) * sum_{d=1..n} p**(d-1) A_d + p**n`` with ``A_d`` the expected overlap of the two first ``d`` over ``d``:
    a passage tied over the places ``a + 1 .. a + m`` is among the first ``d`` with probability ``(d - a) / m``, cut to
    [0, 1]. Without ties it is :func:`~shortlist.metrics.ranking.rbo`; two empty lists agree.

    Corsi & Urbano, "The treatment of ties in rank-biased overlap", SIGIR 2024, the variant RBO^a.

    >>> round(rbo_ties([2, 1], [1, 2]), 6), round(rbo_ties([1, 1], [2, 1]), 6)  # 0.09 + 0.81; 0.1 / 2 + 0.9
    (0.9, 0.95)
    """
    if len(one) != len(other) or not 0 < p < 1:
        raise InvalidInput(f"{len(one)} and {len(other)} scores, p {p}: give as many of both, and p between 0 and 1")
    n = len(one)
    spans, others = _spans(one), _spans(other)
    total = 0.0
    for d in range(1, n + 1):
        shared = math.fsum(_among(d, a) * _among(d, b) for a, b in zip(spans, others, strict=True))
        total += p ** (d - 1) * shared / d
    return float((1 - p) * total + p**n)


def _spans(scores: Sequence[float]) -> list[tuple[int, int]]:
    """Of each passage: how many stand above it, and how many stand with it (itself included)."""
    if any(math.isnan(score) for score in scores):
        raise InvalidInput("a score is NaN, which has no place in an order")
    return [(sum(s > score for s in scores), sum(s == score for s in scores)) for score in scores]


def _among(depth: int, span: tuple[int, int]) -> float:
    above, tied = span
    return min(1.0, max(0.0, (depth - above) / tied))


def softmax(values: Sequence[float], temperature: float = 1.0) -> list[float]:
    """The distribution ``exp(value / temperature)``, normalised.

    >>> softmax([1.0, 1.0])
    [0.5, 0.5]
    """
    top = max(values, default=0.0)
    weights = [math.exp((value - top) / temperature) for value in values]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def jensen_shannon(p: Sequence[float], q: Sequence[float]) -> float:
    """Compute the Jensen–Shannon divergence of two distributions in bits: 0 where equal, 1 where disjoint.

    ``(KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``. Lin, IEEE Trans. Inf. Theory 37(1), 1991.

    >>> jensen_shannon([1.0, 0.0], [0.0, 1.0]), round(jensen_shannon([1.0, 0.0], [0.5, 0.5]), 6)
    (1.0, 0.311278)
    """
    return math.fsum(_bits(a, (a + b) / 2) + _bits(b, (a + b) / 2) for a, b in zip(p, q, strict=True)) / 2


def _bits(a: float, m: float) -> float:
    return a * math.log2(a / m) if a > 0 and m > 0 else 0.0
