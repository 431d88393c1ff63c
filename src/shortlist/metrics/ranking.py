"""Ranking measures: each one formula, over grades alone.

Every formula takes two things. ``ranked`` are the grades of the ranking's passages, best first, ``None`` where a
passage is unjudged (it then counts as not relevant). ``judged`` are the grades of *all* judged passages of the query,
retrieved or not, in any order. A passage is relevant if its grade is at least ``rel``; negative grades bring no gain.
Values lie in [0, 1]. Where a query has nothing relevant they are 0, as in trec_eval; only the share of judged passages
does not ask for relevance.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, compress
from operator import mul
from typing import Final, Literal, TypeAlias, TypeVar

from shortlist.errors import InvalidInput, UnknownName

Ranked: TypeAlias = Sequence[int | None]
Judged: TypeAlias = Collection[int]
TieRule: TypeAlias = Literal["mean", "worst"]
_T = TypeVar("_T")


def linear_gains(grades: Iterable[float | None]) -> list[float]:
    """Take the grade itself as the gain (Järvelin & Kekäläinen 2002; trec_eval)."""
    return [grade if grade and grade > 0 else 0 for grade in grades]


def exponential_gains(grades: Iterable[int | None]) -> list[float]:
    """Take ``2**grade - 1`` as the gain (Burges et al. 2005; gdeval)."""
    return [2**grade - 1 if grade and grade > 0 else 0 for grade in grades]


GAINS: Final[Mapping[str, Callable[[Iterable[int | None]], list[float]]]] = {
    "log2": linear_gains,
    "exp-log2": exponential_gains,
}


def ndcg(ranked: Ranked, judged: Judged, /, *, k: int | None = None, dcg: str = "log2") -> float:
    """Compute the normalised discounted cumulative gain.

    ``nDCG@k = DCG@k(ranked) / DCG@k(judged, best first)`` with ``DCG@k = sum_{i=1..k} gain_i / log2(i + 1)``.
    ``dcg`` is ir_measures' name for the gain: ``"log2"`` takes the grade, ``"exp-log2"`` takes ``2**grade - 1``.

    Järvelin & Kekäläinen, TOIS 20(4), 2002; the ideal is over all judged passages, as in trec_eval's ``ndcg_cut``.

    >>> round(ndcg([1, None, 2], [2, 1, 1], k=3), 6)  # (1 + 2/2) / (2 + 1/1.58496 + 1/2)
    0.638788
    """
    if dcg not in GAINS:
        raise UnknownName("dcg", dcg, GAINS)
    gains = GAINS[dcg]
    ideal = _discounted(gains(_top(sorted(judged, reverse=True), k)))
    return _discounted(gains(_top(ranked, k))) / ideal if ideal else 0.0


def reciprocal_rank(ranked: Ranked, _judged: Judged, /, *, k: int | None = None, rel: int = 1) -> float:
    """Compute ``1 / rank`` of the first relevant passage among the first ``k``, else 0 (Kantor & Voorhees 2000)."""
    return next((1 / rank for rank, hit in enumerate(_hits(ranked, k, rel), start=1) if hit), 0.0)


def average_precision(ranked: Ranked, judged: Judged, /, *, k: int | None = None, rel: int = 1) -> float:
    """Compute the mean, over all relevant passages, of the precision at the rank where each is found (0 if it is not).

    ``AP@k = 1/R * sum_{i<=k, i relevant} P@i`` with ``R`` all relevant passages, also where ``R > k`` (trec_eval's
    ``map_cut``; Harman 1992).

    >>> round(average_precision([1, 0, 1], [1, 1, 0, 1]), 6)  # (1/1 + 2/3) / 3
    0.555556
    """
    hits = _hits(ranked, k, rel)
    precisions = (n / rank for rank, n in enumerate(accumulate(hits), start=1))
    return _ratio(sum(compress(precisions, hits)), _count(judged, rel))


def precision(ranked: Ranked, _judged: Judged, /, *, k: int, rel: int = 1) -> float:
    """Compute the share of relevant passages among the first ``k``; a shorter ranking still divides by ``k``."""
    return sum(_hits(ranked, k, rel)) / k


def recall(ranked: Ranked, judged: Judged, /, *, k: int, rel: int = 1) -> float:
    """Compute the share of all relevant passages that the first ``k`` hold."""
    return _ratio(sum(_hits(ranked, k, rel)), _count(judged, rel))


def success(ranked: Ranked, _judged: Judged, /, *, k: int, rel: int = 1) -> float:
    """Return 1 if any of the first ``k`` is relevant, else 0 (what some papers call Recall@k or Hit@k)."""
    return float(any(_hits(ranked, k, rel)))


def judged_share(ranked: Ranked, _judged: Judged, /, *, k: int | None = None) -> float:
    """Compute the share of judged passages among the first ``k``; a shorter ranking divides by its own length."""
    top = _top(ranked, k)
    return _ratio(sum(grade is not None for grade in top), len(top))


def set_precision(ranked: Ranked, _judged: Judged, /, *, rel: int = 1) -> float:
    """Compute the share of relevant passages in everything that was returned (trec_eval's ``set_P``)."""
    return _ratio(_count(ranked, rel), len(ranked))


def set_recall(ranked: Ranked, judged: Judged, /, *, rel: int = 1) -> float:
    """Compute the share of all relevant passages that were returned (trec_eval's ``set_recall``)."""
    return _ratio(_count(ranked, rel), _count(judged, rel))


def set_f1(ranked: Ranked, judged: Judged, /, *, rel: int = 1) -> float:
    """Compute the harmonic mean of set precision and set recall: ``2 * hits / (returned + relevant)``."""
    return _ratio(2 * _count(ranked, rel), len(ranked) + _count(judged, rel))


def compatibility(ranked: Ranked, judged: Judged, /, *, p: float = 0.95) -> float:
    """Compute the rank-biased overlap with the nearest ideal ranking, as a share of the best that is possible.

    The ideal holds the passages with a positive grade, best grade first; equal grades stand as the ranking has them,
    those that it lacks last. With ``X_d`` the overlap of the two first ``d`` and ``n`` passages in the ideal,
    ``sum_d p**(d-1) X_d / d`` is divided by its value for a perfect ranking, where ``X_d = min(d, n)``.

    Clarke, Vtyurina & Smucker, "Assessing top-k preferences", TOIS 39(3), 2021; ir_measures' ``Compat``.

    >>> round(compatibility([0, 1], [1, 0], p=0.5), 6)  # (0/1 + 0.5 * 1/2) / (1/1 + 0.5 * 1/2)
    0.2
    """
    _check_persistence(p)
    ideal = _nearest_ideal(ranked, judged)
    depth = max(len(ranked), len(ideal))
    overlap = _overlaps(ideal, depth)
    best = _overlaps(range(len(ideal)), depth)
    return _ratio(_persistent(_agreements(overlap), p), _persistent(_agreements(best), p))


def rbo(order_a: Sequence[str], order_b: Sequence[str], p: float = 0.9) -> float:
    """Compute the extrapolated rank-biased overlap of two orders, of equal length or not.

    ``(1 - p) * sum_{d=1..l} p**(d-1) A_d + p**l A_l`` where ``A_d = X_d / d``, the overlap of the two first ``d`` over
    ``d``, and past the end of the shorter order (length ``s``) ``A_d = (X_d + X_s (d - s) / s) / d``. Equal orders give
    1, orders with nothing in common 0; two empty orders are equal.

    Webber, Moffat & Zobel, "A similarity measure for indefinite rankings", TOIS 28(4), 2010, equation 32.

    >>> round(rbo(["a", "b"], ["b", "a"], p=0.9), 6)  # 0.1 * (0 + 0.9 * 1) + 0.81 * 1
    0.9
    """
    _check_persistence(p)
    short, long = sorted((order_a, order_b), key=len)
    if not short:
        return float(not long)
    place = _places(long)
    overlap = _overlaps([place.get(item) for item in _places(short)], len(long))
    shared, s = overlap[len(short) - 1], len(short)
    agreement = _agreements(n + max(0, d - s) * shared / s for d, n in enumerate(overlap, start=1))
    return (1 - p) * _persistent(agreement, p) + p ** len(long) * agreement[-1]


def ndcg_ties(scores: Sequence[float], grades: Sequence[float], k: int | None = None, how: TieRule = "mean") -> float:
    """Compute nDCG@k of scored passages so that the order among equal scores cannot matter.

    ``"mean"`` is the exact expectation over all orders of each tie (every place of a tie gains the tie's mean gain);
    ``"worst"`` puts the lowest grades of each tie first. ``scores[i]`` and ``grades[i]`` belong to one passage; the
    ideal is over ``grades``, the gain is the grade.

    McSherry & Najork, "Computing IR performance measures efficiently in the presence of tied scores", ECIR 2008.

    >>> round(ndcg_ties([5, 5], [1, 0]), 6), round(ndcg_ties([5, 5], [1, 0], how="worst"), 6)  # 0.5 + 0.5 * 0.63093
    (0.815465, 0.63093)
    """
    gains = gains_by_rank(scores, linear_gains(grades), how)
    ideal = _discounted(_top(sorted(linear_gains(grades), reverse=True), k))
    return _discounted(_top(gains, k)) / ideal if ideal else 0.0


def gains_by_rank(scores: Sequence[float], gains: Sequence[float], how: TieRule = "mean") -> list[float]:
    """The gains along the ranking that ``scores`` make, best first, equal scores by the rule ``how``.

    >>> gains_by_rank([1, 5, 5], [3, 1, 0])
    [0.5, 0.5, 3.0]
    """
    if how not in _TIE_RULES:
        raise UnknownName("tie rule", how, _TIE_RULES)
    if len(scores) != len(gains):
        raise InvalidInput(f"{len(scores)} scores for {len(gains)} grades; each passage needs one of each")
    return [gain for tie in _ties(scores, gains) for gain in _TIE_RULES[how](tie)]


def _top(ranked: Sequence[_T], k: int | None) -> Sequence[_T]:
    if k is not None and k < 1:
        raise InvalidInput(f"a cutoff counts passages from 1; got {k}")
    return ranked[:k]


def _hits(ranked: Ranked, k: int | None, rel: int) -> list[bool]:
    return [grade is not None and grade >= rel for grade in _top(ranked, k)]


def _count(grades: Iterable[int | None], rel: int) -> int:
    return sum(grade is not None and grade >= rel for grade in grades)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@lru_cache(maxsize=256)
def _discounts(depth: int) -> tuple[float, ...]:
    return tuple(1 / math.log2(rank + 1) for rank in range(1, depth + 1))


def _discounted(gains: Sequence[float]) -> float:
    return float(sum(map(mul, gains, _discounts(len(gains)))))


def _ties(scores: Sequence[float], grades: Sequence[float]) -> list[list[float]]:
    """Return the gains of equally scored passages together, highest score first."""
    groups: defaultdict[float, list[float]] = defaultdict(list)
    for score, grade in zip(scores, grades, strict=True):
        groups[score].append(grade)
    if any(math.isnan(score) for score in groups):
        raise InvalidInput("a score is NaN, which has no place in an order")
    return [groups[score] for score in sorted(groups, reverse=True)]


def _shared(gains: list[float]) -> list[float]:
    return [sum(gains) / len(gains)] * len(gains)


_TIE_RULES: Final[Mapping[str, Callable[[list[float]], list[float]]]] = {"mean": _shared, "worst": sorted}


def _nearest_ideal(ranked: Ranked, judged: Judged) -> list[int | None]:
    """Return the ideal ranking as places in ``ranked``, ``None`` for a passage that is not in it."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, grade in enumerate(ranked):
        if grade is not None:
            places[grade].append(place)
    counts = Counter(grade for grade in judged if grade > 0)
    ideal: list[int | None] = []
    for grade in sorted(counts, reverse=True):
        ideal += [*places[grade], *[None] * (counts[grade] - len(places[grade]))]
    return ideal


def _places(order: Sequence[str]) -> dict[str, int]:
    places = {item: place for place, item in enumerate(order)}
    if len(places) < len(order):
        raise InvalidInput(f"an order names an item once; got {list(order)!r}")
    return places


def _overlaps(places: Sequence[int | None], depth: int) -> list[int]:
    """Return ``X_1 .. X_depth``, where item ``i`` of one order stands at ``places[i]`` (from 0) of the other."""
    arrivals = [0] * depth
    for i, place in enumerate(places):
        if place is not None:
            arrivals[max(i, place)] += 1
    return list(accumulate(arrivals))


def _agreements(overlap: Iterable[float]) -> list[float]:
    return [n / depth for depth, n in enumerate(overlap, start=1)]


def _persistent(agreement: Sequence[float], p: float) -> float:
    return sum(p**i * a for i, a in enumerate(agreement))


def _check_persistence(p: float) -> None:
    if not 0 < p < 1:
        raise InvalidInput(f"the persistence p lies strictly between 0 and 1; got {p}")
