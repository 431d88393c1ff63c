"""Axes: from values to pixels, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDE_SPREAD = 25
"""Costs whose largest is so many times the smallest are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear from ``low``–``high`` to ``start``–``end`` pixels; with ``log``, linear in ``log10(1 + value / log)``."""

    low: float
    high: float
    start: float
    end: float
    log: float | None = None

    def __call__(self, value: float) -> float:
        """The pixel, to a tenth."""
        low, high = self._bent(self.low), self._bent(self.high)
        share = (self._bent(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def _bent(self, value: float) -> float:
        return value if self.log is None else math.log10(1 + max(0.0, value) / self.log)

    @property
    def ticks(self) -> list[float]:
        """Round values to mark."""
        if self.log is None:
            return ticks(self.low, self.high)
        first = math.ceil(math.log10(self.log) - 1e-9)
        powers = [10.0**p for p in range(first, math.floor(math.log10(self.high)) + 1)]
        clear = [power for power in powers if self._bent(power) > 0.15 * self._bent(self.high)]  # of the label of 0
        return [0.0, *clear[:: 1 + len(clear) // 5]]


def cost_scale(costs: Sequence[float], start: float, end: float) -> Scale:
    """From 0 to the largest; bent where costs differ by orders of magnitude, so that 0 still has a place."""
    positive = [cost for cost in costs if cost > 0]
    if not positive:
        return Scale(0, 1, start, end)
    high, low = max(positive), min(positive)
    return Scale(0, high * 1.06, start, end, low / 2 if high / low > WIDE_SPREAD else None)


def padded(values: Sequence[float], start: float, end: float) -> Scale:
    """Around the values with a margin, inside 0–1 where they are."""
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) or 0.05
    floor = max(0.0, low - margin) if low >= 0 else low - margin
    ceiling = min(1.0, high + margin) if high <= 1 else high + margin
    return Scale(floor, ceiling, start, end)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def short(value: float) -> str:
    """A number in few characters: 0.35, 12, 3.4k, 1.2M."""
    for size, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
