"""Rewards of an order or of scores, against gold: nDCG, relative nDCG, recall, overlap, alignment.

One rule about ties: passages of equal height (a tie of scores, everything a choice did not choose, what an order left
out) have no order among them, and a level is its mean over all their orders, or with ``ties="worst"`` that of the worst.
So neither the slate's order nor chance is ever paid for, and "all tens" is not a ranking.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics.overlap import jensen_shannon, rbo_ties, softmax
from shortlist.metrics.ranking import GAINS, TieRule, gains_by_rank, ndcg_ties
from shortlist.rewards.text.base import Reply, grouped, readable
from shortlist.rewards.text.gold import Gold, check_gold, check_rel, gold_levels, relevant_places
from shortlist.rewards.text.heights import heights, scores
from shortlist.text.groupwise import TOP

_TIES = ("mean", "worst")


class GoldReward(ABC):
    """The common part: what the lesson says, whether the reply counts, and the level if both do."""

    name: str
    strict: bool
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply; ``None``: the lesson has nothing to score by."""
        return [self._one(reply) for reply in replies]

    def _one(self, reply: Reply) -> float | None:
        if not self._can(reply):
            return None
        if not readable(reply.verdict, strict=self.strict):
            return self._failed()
        low, high = self.bounds
        return min(high, max(low, self._level(reply)))

    def _failed(self) -> float:
        """What a reply that does not count is worth: the least there is."""
        return self.bounds[0]

    @abstractmethod
    def _can(self, reply: Reply) -> bool:
        """Whether the lesson has what is needed."""

    @abstractmethod
    def _level(self, reply: Reply) -> float:
        """The level of a reply that counts."""


@dataclass(frozen=True)
class NDCG(GoldReward):
    """nDCG@k of the reply, its ideal over the passages shown: in [0, 1].

    ``dcg``: the gain is the grade (``log2``) or ``2**grade - 1`` (``exp-log2``); of a teacher or target it is the level
    of :func:`~shortlist.rewards.text.gold.gold_levels`. A slate with nothing relevant cannot be scored.
    """

    k: int = 10
    _: KW_ONLY
    gold: Gold = "grades"
    dcg: str = "log2"
    ties: TieRule = "mean"
    strict: bool = True
    name: str = "ndcg"

    def __post_init__(self) -> None:
        _check(self.k, self.ties)
        check_gold(self.gold)
        if self.dcg not in GAINS:
            raise UnknownName("dcg", self.dcg, GAINS)

    def _can(self, reply: Reply) -> bool:
        return any(gold_levels(reply.lesson, self.gold) or ())

    def _level(self, reply: Reply) -> float:
        return self._at(reply, heights(reply))

    def credit(self, replies: Sequence[Reply], /) -> list[list[float] | None]:
        """What each passage's score adds, by place: the level, less its mean with the scores that the group's replies give
        *that passage*, all other scores of the reply as they are.

        Their mean over what a policy draws is 0, and so the gradient that they weigh is that of the expected level, without
        the noise of the other passages' scores: the counterfactual baseline of multi-agent learning (COMA, arXiv 1705.08926),
        passages for agents. ``None``: it cannot be scored, or does not count.
        """
        told: list[list[float] | None] = [None] * len(replies)
        for places in grouped(replies):
            known = [i for i in places if self._can(replies[i]) and readable(replies[i].verdict, strict=self.strict)]
            given = {i: scores(replies[i]) for i in known}
            for i in known:
                told[i] = [
                    self._added(replies[i], place, [given[j][place] for j in known]) for place in range(len(given[i]))
                ]
        return told

    def _added(self, reply: Reply, place: int, drawn: Sequence[float]) -> float:
        height, levels = heights(reply), {}
        for score in set(drawn):
            height[place] = -math.inf if math.isnan(score) else score
            levels[score] = self._at(reply, height)
        own = scores(reply)[place]
        return levels[own] - math.fsum(levels[score] for score in drawn) / len(drawn)

    def _at(self, reply: Reply, height: Sequence[float]) -> float:
        """The level of these heights."""
        return self._ndcg(reply, height)

    def _ndcg(self, reply: Reply, height: Sequence[float]) -> float:
        return ndcg_ties(height, self._gains(reply), self.k, self.ties)

    def _gains(self, reply: Reply) -> Sequence[float]:
        """The gains by place, over the highest: nDCG is the same, and nothing overflows."""
        levels = gold_levels(reply.lesson, self.gold) or ()
        if self.dcg == "log2":
            return levels
        grades = reply.lesson.gains if self.gold == "grades" else levels
        top = max(grades)
        if top > 64:
            return [2.0 ** (grade - top) if grade else 0.0 for grade in grades]
        return [math.expm1(grade * _LN2) / math.expm1(top * _LN2) for grade in grades]


@dataclass(frozen=True)
class RelativeNDCG(NDCG):
    """How much of what could be gained over the slate's own order the reply gained: REARANK's reward, in [-1, 1].

    ``(N - N0) / (1 - N0)`` with ``N`` the reply's nDCG@k and ``N0`` the slate's as shown. Where the slate is ideal as it
    is (``1 - N0 < 1e-6``): 1 if the reply keeps it so, else ``N - N0``. Clipped to ``[-1, 1]``; the paper's has no lower
    bound. ``failed`` is what a reply that does not count is worth; the paper's is the slate's own order, 0, which makes
    failing the better reply wherever the order shown is already good.

    Zhang et al., REARANK, arXiv 2505.20046, section 3.3; the rule for a zero denominator and the clip are ours.
    """

    _: KW_ONLY
    failed: float = -1.0
    name: str = "relative-ndcg"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1 <= self.failed <= 1:
            raise InvalidInput(f"failed is {self.failed}; give a level from -1 to 1")

    def _failed(self) -> float:
        return self.failed

    def _at(self, reply: Reply, height: Sequence[float]) -> float:
        level, shown = self._ndcg(reply, height), self._ndcg(reply, range(len(reply.lesson), 0, -1))
        room = 1.0 - shown
        if room < _TINY:
            return 1.0 if level >= shown - _TINY else level - shown
        return max(-1.0, (level - shown) / room)


@dataclass(frozen=True)
class Recall(GoldReward):
    """The share of the slate's relevant passages among the reply's first ``k``: in [0, 1].

    ``k`` of ``None`` is the number of relevant ones, where recall tells most. A ``k`` that a slate is no longer than is an
    error: recall would be 1 whatever the reply (the published reward has it at 10, for groups of 10). Where all are
    relevant the level is 1 for all replies; where none is, there is none. See
    :func:`~shortlist.rewards.text.gold.relevant_places` for what is relevant.
    """

    k: int | None = None
    _: KW_ONLY
    gold: Gold = "grades"
    rel: float = 1.0
    ties: TieRule = "mean"
    strict: bool = True
    name: str = "recall"

    def __post_init__(self) -> None:
        _check(1 if self.k is None else self.k, self.ties)
        check_gold(self.gold)
        check_rel(self.rel)

    def _can(self, reply: Reply) -> bool:
        n = len(reply.lesson)
        if self.k is not None and n and self.k >= n:
            told = f"recall@{self.k} of a slate of {n} passages is 1 whatever the reply"
            raise InvalidInput(f"{told}; give a smaller k, or none for the number of relevant passages")
        return relevant_places(reply.lesson, self.gold, self.rel) is not None

    def _level(self, reply: Reply) -> float:
        relevant = relevant_places(reply.lesson, self.gold, self.rel) or frozenset()
        hits = [float(i in relevant) for i in range(len(reply.lesson))]
        found = gains_by_rank(heights(reply), hits, self.ties)
        return math.fsum(found[: self.k or len(relevant)]) / len(relevant)


@dataclass(frozen=True)
class RankOverlap(GoldReward):
    """Rank-biased overlap with the gold order, over all of the slate: in [0, 1].

    ``p`` is how far down a look at the list goes on. Ties, the gold's too, count by their mean over all orders, so where the
    gold ties no reply reaches 1. A gold without any order (one passage, all tied) scores nothing.

    Webber, Moffat & Zobel, TOIS 28(4), 2010; ties: Corsi & Urbano, SIGIR 2024. ReasonRank (arXiv 2508.07050) rewards it.
    """

    p: float = 0.9
    _: KW_ONLY
    gold: Gold = "teacher"
    strict: bool = True
    name: str = "rbo"

    def __post_init__(self) -> None:
        check_gold(self.gold)
        if not 0 < self.p < 1:
            raise InvalidInput(f"p is {self.p}; give a number strictly between 0 and 1")

    def _can(self, reply: Reply) -> bool:
        return len(set(gold_levels(reply.lesson, self.gold) or ())) > 1

    def _level(self, reply: Reply) -> float:
        return rbo_ties(heights(reply), gold_levels(reply.lesson, self.gold) or (), self.p)


@dataclass(frozen=True)
class Alignment(GoldReward):
    """``1 - JS(P || Q)`` in bits, of the reply's scores and the gold's as distributions over the slate: in [0, 1].

    Both become distributions by ``softmax(level / temperature)``, the reply's levels being its scores over ``top`` (a
    missing one is 0). The level of all scores together makes no difference, only how they differ.

    GroupRank, arXiv 2511.11653 (v3), section 3.3, which does not say how scores become distributions: that is ours.
    """

    temperature: float = 0.2
    _: KW_ONLY
    gold: Gold = "grades"
    top: float = float(TOP)
    strict: bool = True
    name: str = "alignment"

    def __post_init__(self) -> None:
        check_gold(self.gold)
        for name, value in (("temperature", self.temperature), ("top", self.top)):
            if not (value >= 1e-3 and math.isfinite(value)):
                raise InvalidInput(f"{name} is {value}; give a number from 0.001")

    def _can(self, reply: Reply) -> bool:
        return gold_levels(reply.lesson, self.gold) is not None

    def _level(self, reply: Reply) -> float:
        said = [0.0 if math.isnan(score) else min(1.0, max(0.0, score / self.top)) for score in scores(reply)]
        gold = gold_levels(reply.lesson, self.gold) or ()
        return 1.0 - jensen_shannon(softmax(said, self.temperature), softmax(gold, self.temperature))


_LN2 = math.log(2)
_TINY = 1e-6


def _check(k: int, ties: str) -> None:
    if type(k) is not int or k < 1:
        raise InvalidInput(f"k is {k}; give a whole number from 1")
    if ties not in _TIES:
        raise UnknownName("tie rule", ties, _TIES)
