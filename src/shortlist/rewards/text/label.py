"""Rewards of one choice from a slate: the best passage named (Rank-R1), or a bad one struck out (R1-Ranker)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from shortlist.errors import InvalidInput
from shortlist.rewards.text.base import Reply, readable
from shortlist.rewards.text.gold import Gold, check_gold, gold_levels
from shortlist.rewards.text.heights import top_places


@dataclass(frozen=True)
class ExactLabel:
    """1 if the reply names the best passage, else 0; of several best ones (equal grades) any will do.

    Of an order, its first passage is taken; of scores, the highest, and if several tie there the share of them that are
    best. A slate with nothing relevant cannot be scored, nor one whose passages are
    all equally good. Rank-R1, arXiv 2503.06034.
    """

    _: KW_ONLY
    gold: Gold = "grades"
    strict: bool = True
    name: str = "exact-label"

    def __post_init__(self) -> None:
        check_gold(self.gold)

    @property
    def bounds(self) -> tuple[float, float]:
        """From another passage, or none, to the best."""
        return 0.0, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [self._one(reply) for reply in replies]

    def _one(self, reply: Reply) -> float | None:
        best = _best_places(reply, self.gold)
        if best is None:
            return None
        return _share(reply, best) if readable(reply.verdict, strict=self.strict) else 0.0


@dataclass(frozen=True)
class Exclusion:
    """1 if the reply strikes out a passage that is not among the best, 0 if it is; ``invalid`` if it names none.

    The passage named is the one to go. Slates without anything relevant, or all of one worth, cannot be scored.
    R1-Ranker's iterative exclusion; its penalties for tags are :mod:`shortlist.rewards.text.format`'s business.
    """

    invalid: float = -0.5
    _: KW_ONLY
    gold: Gold = "grades"
    strict: bool = True
    name: str = "exclusion"

    def __post_init__(self) -> None:
        check_gold(self.gold)
        if not -100 <= self.invalid <= 0:
            raise InvalidInput(f"invalid is {self.invalid}; give a level of at most 0")

    @property
    def bounds(self) -> tuple[float, float]:
        """From an invalid reply to a passage that may go."""
        return self.invalid, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [self._one(reply) for reply in replies]

    def _one(self, reply: Reply) -> float | None:
        best = _best_places(reply, self.gold)
        if best is None:
            return None
        return 1 - _share(reply, best) if readable(reply.verdict, strict=self.strict) else self.invalid


def _best_places(reply: Reply, gold: Gold) -> frozenset[int] | None:
    """The places of the best passages; ``None`` if that is none or all."""
    levels = gold_levels(reply.lesson, gold) or ()
    best = frozenset(i for i, level in enumerate(levels) if level == max(levels))
    return best if len(best) < len(levels) else None


def _share(reply: Reply, best: frozenset[int]) -> float:
    top = top_places(reply)
    return len(top & best) / len(top)
