"""Imitation: what any reranker says of a list becomes the target (the field's way with monoT5, MiniLM or a hosted model).

One pass gives all kinds of target at once: the order; scores, raw or as whole numbers; and the subset that
the reranker would keep. The prompt that learns from it writes down what it needs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.calibration import relevance, scale_of
from shortlist.synthesis.common import Tally
from shortlist.synthesis.groups import TOP, whole_scores
from shortlist.types import Ranking, Status

SCALES = ("spread", "absolute", "range", "raw")


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """Whom to imitate. What it thought is the target's reasoning where a single call saw the whole list.

    Args:
        ranker: the teacher. The subset is what it keeps (its cutoff, as of ``keep=…`` in its name); where it states no
            cutoff and its scores are absolute, the passages of relevance 0.5 or more (monoT5's "true"), best first.
        scale: what scores the target has. ``spread``: whole numbers from 0 to 10, from the list's lowest score to its
            highest. ``absolute``: ten times the relevance in [0, 1] (of a cross-encoder the sigmoid, which puts most of
            a good list at 10). ``range``: whole numbers, 0 at the first of ``ends`` and 10 at the second, in the ranker's
            own units. ``raw``: the ranker's own scores. A ranker that only orders has its places spread.
        most: at most so many passages in a subset; ``None``: any number.
    """

    ranker: Ranker
    scale: str = "spread"
    ends: tuple[float, float] | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UnknownName("scale", self.scale, SCALES)
        if (self.scale == "range") != (self.ends is not None) or (self.ends and not self.ends[0] < self.ends[1]):
            raise InvalidInput(f"scale {self.scale!r} with ends {self.ends}: 'range' needs two ends, lower first")

    def lessons(self, lists: Iterable[Lesson], tally: Tally) -> Iterator[Lesson]:
        """The same lessons with the teacher's scores and targets; those that it could not judge whole are left out."""
        mine, asked = itertools.tee(lists)
        for lesson, ranking in zip(mine, self.ranker.rerank(one.request for one in asked), strict=True):
            if ranking.status in {Status.FAILED, Status.PARTIAL}:
                tally["not judged whole"] += 1
                continue
            tally["kept"] += 1
            yield self._labelled(lesson, ranking)

    def _labelled(self, lesson: Lesson, ranking: Ranking) -> Lesson:
        shares, kind = relevance(ranking, scale_of(self.ranker))
        known = _by_place(ranking, ranking.scores or shares)
        scores = self._scores(known, _by_place(ranking, shares))
        thought = ranking.reasoning[0] if len(ranking.reasoning) == 1 else ""  # of several calls no one saw the whole
        target = Target(order=ranking.order, scores=scores, subset=self._subset(ranking, shares), reasoning=thought)
        teacher = dict(zip(lesson.ids, known, strict=True))
        meta = {**lesson.meta, "teacher": self.ranker.name, "scores": kind}
        return replace(lesson, teacher=teacher, target=target, meta=meta)

    def _scores(self, known: list[float], shares: list[float]) -> tuple[float, ...]:
        """The target's scores by place."""
        if not known or self.scale == "raw":
            return tuple(known)
        if self.scale == "spread":
            return tuple(map(float, whole_scores(known, TOP)))
        low, high = self.ends or (0.0, 1.0)
        given = known if self.ends else shares
        return tuple(float(math.floor(TOP * min(max((x - low) / (high - low), 0.0), 1.0) + 0.5)) for x in given)

    def _subset(self, ranking: Ranking, shares: list[float]) -> tuple[int, ...] | None:
        if ranking.cutoff is not None:
            return ranking.order[: ranking.cutoff][: self.most]
        if not scale_of(self.ranker).absolute:
            return None
        return ranking.order[: sum(share >= 0.5 for share in shares)][: self.most]


def _by_place(ranking: Ranking, along: Sequence[float]) -> list[float]:
    """Numbers along the ranking, by place in the slate."""
    by_place = dict(zip(ranking.order, along, strict=True))
    return [float(by_place[place]) for place in range(len(by_place))]
