"""From the grades of many groups to one score a passage: each merger is one function.

A merger takes n and the graded groups; it gives n scores, NaN for a passage that no group graded. Grades that are NaN
or infinite count as not given, and a passage missing from one group is scored by its other ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.rerankers.merge import standardised

Vector: TypeAlias = npt.NDArray[np.float64]


class Graded(NamedTuple):
    """A group: its places, and the grade of each (NaN where none was given)."""

    places: tuple[int, ...]
    grades: tuple[float, ...]

    @property
    def known(self) -> list[tuple[int, float]]:
        """Place and grade of those that were graded."""
        return [(p, g) for p, g in zip(self.places, self.grades, strict=True) if math.isfinite(g)]


Merger: TypeAlias = Callable[[int, Sequence[Graded]], list[float]]
"""``(n, groups) -> scores``."""


def _averages(n: int, told: Sequence[tuple[int, float]]) -> list[float]:
    sums, counts = [0.0] * n, [0] * n
    for place, value in told:
        sums[place] += value
        counts[place] += 1
    return [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]


def mean(n: int, groups: Sequence[Graded]) -> list[float]:
    """The mean of a passage's grades."""
    return _averages(n, [told for group in groups for told in group.known])


def z_score(n: int, groups: Sequence[Graded]) -> list[float]:
    """The mean of a passage's grades, each group standardised first; takes groups to be equally good on average."""
    told: list[tuple[int, float]] = []
    for group in groups:
        known = group.known
        told += zip((p for p, _ in known), standardised([g for _, g in known]), strict=True)
    return _averages(n, told)


def rrf(n: int, groups: Sequence[Graded], *, k: float = 60.0) -> list[float]:
    """The mean of 1/(k + rank) over a passage's groups; equal grades share the mean of their ranks.

    Ranks of smaller groups are stretched to the largest one's, so that the middle of each is the same rank.
    """
    ranked = [group.known for group in groups]
    largest = max(map(len, ranked), default=0)
    told: list[tuple[int, float]] = []
    for known in ranked:
        for place, grade in known:
            above = sum(g > grade for _, g in known)
            equal = sum(g == grade for _, g in known)
            rank = (above + equal / 2) * largest / len(known) + 0.5
            told.append((place, 1 / (k + rank)))
    return _averages(n, told)


# --------------------------------------------------------------------------------------------- aligning the groups


def anchored(n: int, groups: Sequence[Graded], *, rounds: int = 25, pull: float = 3.0) -> list[float]:
    """Groups are aligned by the passages that they share, then averaged.

    Least squares over grade = offset_g + scale_g · score_p, scales and scores in turn. Only shared passages decide
    offset and scale: anchors, which every group holds, or any passage of an overlapping design. With two or three
    of them a free scale would fit noise, so scales are drawn towards 1 as by ``pull`` more shared passages.
    """
    place, member, grade = _flat(groups)
    counts = np.bincount(place, minlength=n)
    shared = counts[place] > 1
    offset, scale = np.zeros(len(groups)), np.ones(len(groups))
    score = _solve_scores(n, place, grade, offset[member], scale[member])
    for _ in range(rounds if shared.any() else 0):
        offset, scale = _fit_groups(len(groups), member[shared], score[place[shared]], grade[shared], pull)
        score = _solve_scores(n, place, grade, offset[member], scale[member])
    return [float(s) if count else math.nan for s, count in zip(score, counts, strict=True)]


def _flat(groups: Sequence[Graded]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Vector]:
    """Place, group and grade of every grade given."""
    told = [(place, g, grade) for g, group in enumerate(groups) for place, grade in group.known]
    table = np.array(told, dtype=np.float64).reshape(-1, 3)
    return table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), table[:, 2]


def _solve_scores(n: int, place: npt.NDArray[np.intp], grade: Vector, offset: Vector, scale: Vector) -> Vector:
    """Scores given the groups' offsets and scales."""
    above = np.bincount(place, weights=scale * (grade - offset), minlength=n)
    below = np.bincount(place, weights=scale**2, minlength=n)
    return above / np.where(below > 0, below, 1.0)


def _fit_groups(
    m: int, member: npt.NDArray[np.intp], score: Vector, grade: Vector, pull: float
) -> tuple[Vector, Vector]:
    """Offsets and scales given the scores; offsets average 0 and scales average 1, which fixes the units."""

    def average(values: Vector) -> Vector:
        return np.bincount(member, weights=values, minlength=m) / np.maximum(counts, 1)

    counts = np.bincount(member, minlength=m)
    x, y = score - average(score)[member], grade - average(grade)[member]
    weight = pull * float(np.mean(x * x))
    spread = counts * average(x * x) + weight
    scale = np.where(spread > 0, (counts * average(x * y) + weight) / np.where(spread > 0, spread, 1.0), 1.0)
    scale = np.clip(scale, 0.2, 5.0)
    scale /= np.mean(scale)
    offset = average(grade) - scale * average(score)
    held = counts > 0  # a group that shares nothing stays as it is
    offset = np.where(held, offset - np.mean(offset[held]), 0.0)
    return offset, np.where(held, scale, 1.0)


# ------------------------------------------------------------------------------------------------ paired comparison


def bradley_terry(n: int, groups: Sequence[Graded], *, rounds: int = 100, prior: float = 0.5) -> list[float]:
    """Log strengths of the Bradley–Terry model, fitted to who stands above whom in each group; a tie counts ½.

    Minorisation–maximisation (Hunter 2004): p_i = wins_i / Σ_j 1/(p_i + p_j). ``prior`` wins and as many losses
    against an imagined passage of strength 1 keep the strengths finite where one wins always, or nothing links two
    groups. Knows nothing of the size of a grade, so offsets and scales of groups do not matter.
    """
    first, second, share = _duels(groups)
    won = np.bincount(first, share, n) + np.bincount(second, 1 - share, n) + prior
    strength = np.ones(n)
    for _ in range(rounds):
        inverse = 1 / (strength[first] + strength[second])
        met = np.bincount(first, inverse, n) + np.bincount(second, inverse, n) + 2 * prior / (strength + 1)
        before, strength = strength, won / met
        if np.max(np.abs(np.log(strength / before)), initial=0.0) < 1e-4:
            break
    seen = {place for group in groups for place, _ in group.known}
    return [math.log(strength[i]) if i in seen else math.nan for i in range(n)]


def _duels(groups: Sequence[Graded]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Vector]:
    """All pairs within groups: the one, the other, and the first one's share of the win (1, ½ or 0)."""
    duels = [pair for group in groups for pair in combinations(group.known, 2)]
    first = np.fromiter((a[0] for a, _ in duels), np.intp, len(duels))
    second = np.fromiter((b[0] for _, b in duels), np.intp, len(duels))
    share = np.fromiter(((a[1] > b[1]) + (a[1] == b[1]) / 2 for a, b in duels), np.float64, len(duels))
    return first, second, share


MERGERS: dict[str, Merger] = {
    "mean": mean,
    "z-score": z_score,
    "anchored": anchored,
    "bradley-terry": bradley_terry,
    "rrf": rrf,
}
"""By the names that a reranker's options use."""
