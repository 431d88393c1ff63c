"""What a reward is: prefixes of shortlists in, a level each out; and weighted sums of them.

A level says how good a prefix *is*, not what its last passage brought. ``None`` is "cannot be scored" (the model did not
answer, nothing is known of the query): counted and masked by whoever uses it, never zero.

A reward that has to ask a model is in two parts, so that nothing is asked twice: an :class:`Observer` asks, and what it
saw (an answer, log-likelihoods) is kept; ``judge`` makes a level of it. So EM and F1 of one reader cost one reading.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from shortlist.errors import InvalidInput
from shortlist.reading.base import Reading
from shortlist.types import Usage

Prefix: TypeAlias = Reading
"""A query and the passages, in order, that a shortlist begins with; maybe none."""

Observation: TypeAlias = Any
"""What a model said of a prefix, a JSON value; ``None``: it did not answer."""


T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Reward(Protocol[T_contra]):
    """Scores items of one kind. A level lies within ``bounds``."""

    @property
    def name(self) -> str:
        """What logs and sums call it."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest level there can be."""

    def score(self, items: Sequence[T_contra], /) -> list[float | None]:
        """One level an item, in order; ``None``: it cannot be scored."""


class PrefixReward(Reward[Prefix], Protocol):
    """Scores prefixes; equal prefixes have equal levels."""


class Observer(Protocol):
    """Asks a model about prefixes. ``ledger`` is told what it cost and what went wrong."""

    @property
    def identity(self) -> str:
        """Everything beside the prefix that decides what is seen: model, prompt, decoding."""

    @property
    def ledger(self) -> Ledger:
        """What the asking came to so far."""

    def observe(self, prefixes: Sequence[Prefix], /) -> list[Observation]:
        """One observation a prefix, in order."""


@runtime_checkable
class ObservedReward(PrefixReward, Protocol):
    """A reward whose levels are a function of what an observer saw."""

    @property
    def observer(self) -> Observer:
        """Who asks; rewards whose observers have one identity share what was seen."""

    def judge(self, prefix: Prefix, seen: Observation, /) -> float | None:
        """The level of a prefix, from what was seen of it (never ``None``)."""


class Ledger:
    """What an observer's calls came to: usage, and the last failure. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage = Usage()
        self._error: str | None = None

    def add(self, usage: Usage, error: str | None = None) -> None:
        """Book one call."""
        with self._lock:
            self._usage += usage
            self._error = error or self._error

    @property
    def usage(self) -> Usage:
        """All that was booked."""
        with self._lock:
            return self._usage

    @property
    def error(self) -> str | None:
        """What the last failure said."""
        with self._lock:
            return self._error


class Observed:
    """The ``score`` of a reward that has an observer: ask, then judge."""

    def score(self: ObservedReward, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """One level a prefix, asked anew; an environment asks only for what it has not seen."""
        seen = self.observer.observe(prefixes)
        return [None if told is None else self.judge(prefix, told) for prefix, told in zip(prefixes, seen, strict=True)]


@dataclass(frozen=True, slots=True)
class Scored:
    """An item's level, and the level of each part by its name, before weighting. ``None``: cannot be scored."""

    total: float | None
    parts: Mapping[str, float | None]


@dataclass(frozen=True)
class WeightedSum(Generic[T]):
    """A sum of rewards, each with its weight: ``total = sum of weight * level``. Itself a reward.

    A part that cannot be scored leaves the whole unscored: half a sum is another quantity. Weights are finite and not
    zero; a part counts by what it is named, so no two have one name.
    """

    parts: tuple[tuple[Reward[T], float], ...]
    name: str = field(default="reward", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise InvalidInput("a weighted reward has no parts; give (reward, weight) pairs")
        names = [part.name for part, _ in self.parts]
        if len(set(names)) < len(names):
            raise InvalidInput(f"the parts are named {names}; each needs a name of its own")
        for part, weight in self.parts:
            check_bounds(part)
            if not math.isfinite(weight) or weight == 0:
                raise InvalidInput(f"the weight of {part.name!r} is {weight}; give a finite number other than 0")

    @property
    def bounds(self) -> tuple[float, float]:
        """The sums of the parts' own, by their weights."""
        ends = [sorted(weight * bound for bound in part.bounds) for part, weight in self.parts]
        return math.fsum(low for low, _ in ends), math.fsum(high for _, high in ends)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each part by its name."""
        return {part.name: weight for part, weight in self.parts}

    def score(self, items: Sequence[T], /) -> list[float | None]:
        """The totals."""
        return [scored.total for scored in self.score_parts(items)]

    def score_parts(self, items: Sequence[T], /) -> list[Scored]:
        """Totals and parts, one an item."""
        columns = {part.name: checked(part, part.score(items), len(items)) for part, _ in self.parts}
        return [self.combine({name: column[i] for name, column in columns.items()}) for i in range(len(items))]

    def combine(self, parts: Mapping[str, float | None]) -> Scored:
        """The sum of levels that are known already."""
        levels = [(parts[part.name], weight) for part, weight in self.parts]
        if any(level is None for level, _ in levels):
            return Scored(None, parts)
        return Scored(math.fsum(weight * level for level, weight in levels if level is not None), parts)


class WeightedReward(WeightedSum[Prefix]):
    """A weighted sum of rewards of prefixes."""


def check_bounds(reward: Reward[Any]) -> None:
    """Raise :class:`InvalidInput` if a reward's bounds bound nothing."""
    low, high = reward.bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInput(f"the bounds of reward {reward.name!r} are {(low, high)}; give two numbers, lower first")


def checked(reward: Reward[Any], levels: Sequence[float | None], count: int) -> list[float | None]:
    """The levels, if there are so many and each is ``None`` or within the reward's bounds.

    Raises:
        InvalidInput: it broke its word; clipping what is out of bounds would hide a wrong reward.
    """
    if len(levels) != count:
        raise InvalidInput(f"reward {reward.name!r} gave {len(levels)} levels for {count} items; give one each")
    low, high = reward.bounds
    for level in levels:
        if level is not None and not low - 1e-9 <= level <= high + 1e-9:
            raise InvalidInput(f"reward {reward.name!r} gave {level}, outside its bounds {low} to {high}")
    return list(levels)
