"""Rewards made wrong on purpose: how much a noisy supervisor harms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rewards.base import Observation, ObservedReward, Observer, Prefix, PrefixReward


def flipped(reward: PrefixReward, rate: float, seed: int = 0) -> Flipped:
    """The reward with a share of its levels flipped, see :class:`Flipped`; what is observed stays as it is."""
    return FlippedObserved(reward, rate, seed) if isinstance(reward, ObservedReward) else Flipped(reward, rate, seed)


@dataclass(frozen=True)
class Flipped:
    """A reward of which a share ``rate`` of the prefixes has its level mirrored: ``lowest + highest - level``.

    Which ones is decided by ``seed``, the query's and the passages' ids: the same each time it is asked, and the same for
    all parts of a reward, whose supervisor is then wrong as a whole. Make it with
    :func:`flipped`, so that an environment goes on sharing what the reward's model said.
    """

    reward: PrefixReward
    rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise InvalidInput(f"rate is {self.rate}; give the share of levels to flip, from 0 to 1")

    @property
    def name(self) -> str:
        """The reward's."""
        return self.reward.name

    @property
    def bounds(self) -> tuple[float, float]:
        """The reward's."""
        return self.reward.bounds

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """One level a prefix."""
        levels = self.reward.score(prefixes)
        return [self._noisy(prefix, level) for prefix, level in zip(prefixes, levels, strict=True)]

    def _noisy(self, prefix: Prefix, level: float | None) -> float | None:
        if level is None or self._draw(prefix) >= self.rate:
            return level
        low, high = self.bounds
        return low + high - level

    def _draw(self, prefix: Prefix) -> float:
        """A number from 0 to below 1 that belongs to the prefix."""
        told = repr((self.seed, prefix.query.id, [document.id for document in prefix.documents]))
        return int.from_bytes(hashlib.sha256(told.encode("utf-8", "backslashreplace")).digest()[:7]) / 256**7


@dataclass(frozen=True)
class FlippedObserved(Flipped):
    """A flipped reward that has an observer."""

    reward: ObservedReward

    @property
    def observer(self) -> Observer:
        """The reward's: what it sees is true."""
        return self.reward.observer

    def judge(self, prefix: Prefix, seen: Observation, /) -> float | None:
        """The reward's level, or its mirror image."""
        return self._noisy(prefix, self.reward.judge(prefix, seen))
