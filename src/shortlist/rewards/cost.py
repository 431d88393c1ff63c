"""Rewards of length: what a prefix costs whoever reads it, from 0 for nothing down to -1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from shortlist.errors import InvalidInput
from shortlist.rewards.base import Prefix
from shortlist.text.truncation import approximate_count


@dataclass(frozen=True)
class PassageCost:
    """``-passages / scale``, never below -1: with weight ``w``, a passage costs ``w / scale``."""

    scale: float = 10.0
    _: KW_ONLY
    name: str = "passages"

    def __post_init__(self) -> None:
        _check_scale(self.scale, "passages")

    @property
    def bounds(self) -> tuple[float, float]:
        """From ``scale`` passages or more to none."""
        return -1.0, 0.0

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """The cost of each prefix."""
        return [-min(1.0, len(prefix.documents) / self.scale) for prefix in prefixes]


@dataclass(frozen=True)
class TokenCost:
    """``-tokens / scale``, never below -1; the tokens of titles and texts, uncut, as ``count`` counts them."""

    scale: float = 1024.0
    _: KW_ONLY
    count: Callable[[str], int] = approximate_count
    name: str = "tokens"

    def __post_init__(self) -> None:
        _check_scale(self.scale, "tokens")

    @property
    def bounds(self) -> tuple[float, float]:
        """From ``scale`` tokens or more to none."""
        return -1.0, 0.0

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """The cost of each prefix."""
        return [-min(1.0, self._tokens(prefix) / self.scale) for prefix in prefixes]

    def _tokens(self, prefix: Prefix) -> int:
        return sum(self.count(document.full_text) for document in prefix.documents)


def _check_scale(scale: float, what: str) -> None:
    if not scale > 0:
        raise InvalidInput(f"scale is {scale}; give how many {what} cost 1, a number above 0")
