"""The contract of rewards of text replies, as a check that anyone's reward can be put through: ours pass it first.

It returns nothing, or raises :class:`AssertionError` that says what is broken. It needs no test framework.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

from shortlist.rewards.text.base import Reply, TextReward


def check_text_reward(
    reward: TextReward, replies: Sequence[Reply], *, alone: bool = True, tolerance: float = 1e-6
) -> None:
    """Raise if ``reward`` breaks its contract on these replies.

    It has a name and bounds; gives one level a reply, each ``None`` or within the bounds; does not change what it is
    given; does not mind the order of the batch; and, unless it looks at other replies (``alone=False``), scores a reply
    by itself as it does in the batch.
    """
    name: object = reward.name
    low, high = reward.bounds
    _expect(isinstance(name, str) and bool(name.strip()), f"the name is {name!r}")
    _expect(math.isfinite(low) and math.isfinite(high) and low < high, f"the bounds are {(low, high)}")
    _expect(list(reward.score([])) == [], "no replies did not give []")
    levels = _scored(reward, replies)
    for reply, level in zip(replies, levels, strict=True):
        inside = level is None or low - 1e-9 <= level <= high + 1e-9
        _expect(inside, f"{reply!r} has level {level!r}, not a number from {low} to {high}")
    turned = _scored(reward, replies[::-1])[::-1]
    for reply, level, other in zip(replies, levels, turned, strict=True):
        _expect(_same(level, other, tolerance), f"in another order {reply!r} has level {other!r}, not {level!r}")
    for reply, level in zip(replies, levels, strict=True) if alone else ():
        (other,) = _scored(reward, [reply])
        _expect(_same(level, other, tolerance), f"alone {reply!r} has level {other!r}, not {level!r}")


def _scored(reward: TextReward, replies: Sequence[Reply]) -> list[float | None]:
    given = list(replies)
    before = [copy.copy(reply) for reply in given]
    levels = reward.score(given)
    _expect(len(levels) == len(before), f"{len(before)} replies, {len(levels)} levels")
    same = len(given) == len(before) and all(
        one.lesson is other.lesson and (one.text, one.tokens) == (other.text, other.tokens)
        for one, other in zip(given, before, strict=True)
    )
    _expect(same, "the reward changed what it was given")
    return list(levels)


def _same(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= tolerance


def _expect(condition: bool, otherwise: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(otherwise[:2000])
