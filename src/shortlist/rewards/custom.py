"""Rewards of yours: a plain function of a prefix, and keeping what a slow one said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from shortlist.errors import InvalidInput
from shortlist.rewards.base import Ledger, Observation, Observed, Prefix, PrefixReward
from shortlist.types import Usage


@dataclass(frozen=True)
class FunctionReward:
    """Scores with ``function``: a prefix in, a level within ``bounds`` out, ``None`` if it cannot say.

    It is asked again whenever a level is wanted; put :class:`Kept` around one that is slow.
    """

    function: Callable[[Prefix], float | None]
    name: str
    _: KW_ONLY
    bounds: tuple[float, float] = (0.0, 1.0)

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """One level a prefix."""
        return [self.function(prefix) for prefix in prefixes]


@dataclass(frozen=True)
class Kept(Observed):
    """A reward whose levels an environment asks for once and keeps, between runs too if it has a store.

    ``identity`` names everything that decides the levels: change it when the reward changes. It is its own observer;
    each level asked for counts as a call.
    """

    reward: PrefixReward
    identity: str
    ledger: Ledger = field(default_factory=Ledger, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.identity.strip():
            raise InvalidInput(f"reward {self.reward.name!r} is to be kept under no name; give an identity")

    @property
    def name(self) -> str:
        """The reward's."""
        return self.reward.name

    @property
    def bounds(self) -> tuple[float, float]:
        """The reward's."""
        return self.reward.bounds

    @property
    def observer(self) -> Kept:
        """Itself."""
        return self

    def observe(self, prefixes: Sequence[Prefix], /) -> list[Observation]:
        """The reward's levels."""
        self.ledger.add(Usage(calls=len(prefixes)))
        return list(self.reward.score(prefixes))

    def judge(self, _: Prefix, seen: Observation, /) -> float | None:
        """What was seen is the level."""
        return float(seen)
