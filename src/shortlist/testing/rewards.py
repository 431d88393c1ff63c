"""The contract of rewards, as a check that anyone's reward can be put through: ours pass it first.

It returns nothing, or raises :class:`AssertionError` that says what is broken. It needs no test framework.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence

from shortlist.reading.base import Reading
from shortlist.rewards.base import ObservedReward, PrefixReward
from shortlist.types import Document, Query

_PASSAGES = (
    Document(id="a", text="Water boils at 100 degrees Celsius at sea level.", title="Boiling"),
    Document(id="b", text="The Danube flows through ten countries."),
    Document(id="c", text="Text beyond ASCII: Größe, 大きさ — and ‘quotes’."),
)
_QUERIES = (
    Query(id="one", text="at how many degrees does water boil", answers=("100", "100 degrees Celsius")),
    Query(id="two", text="who asked this question, and why?"),
)

PREFIXES = tuple(Reading(query, _PASSAGES[:length]) for query in _QUERIES for length in range(len(_PASSAGES) + 1))
"""What :func:`check_reward` scores, unless told otherwise: an answerable and an unanswerable question, 0–3 passages."""


def check_reward(reward: PrefixReward, prefixes: Sequence[Reading] = PREFIXES, *, tolerance: float = 1e-6) -> None:
    """Raise if ``reward`` breaks its contract. Levels may differ by ``tolerance`` with the batch."""
    _check_named(reward)
    _expect(list(reward.score([])) == [], "no prefixes did not give []")
    levels = _scored(reward, prefixes)
    low, high = reward.bounds
    for prefix, level in zip(prefixes, levels, strict=True):
        if level is not None:
            inside = math.isfinite(level) and low - 1e-9 <= level <= high + 1e-9
            _expect(inside, f"{prefix!r} has level {level!r}, not a number from {low} to {high}")
    turned = _scored(reward, prefixes[::-1])[::-1]
    twice = _scored(reward, [*prefixes, *prefixes])
    for i, prefix in enumerate(prefixes):
        (alone,) = _scored(reward, [prefix])
        for how, other in (
            ("alone", alone),
            ("in another order", turned[i]),
            ("beside its equal", twice[i]),
            ("as the second of two equals", twice[i + len(prefixes)]),
        ):
            _expect(_same(levels[i], other, tolerance), f"{how} {prefix!r} has level {other!r}, not {levels[i]!r}")
    if isinstance(reward, ObservedReward):
        _check_observed(reward, prefixes, levels, tolerance)


def _check_named(reward: PrefixReward) -> None:
    name: object = reward.name
    _expect(isinstance(name, str) and bool(name.strip()) and reward.name == name, f"the name is {name!r}")
    low, high = reward.bounds
    _expect(math.isfinite(low) and math.isfinite(high) and low < high, f"the bounds are {(low, high)}")
    _expect(tuple(reward.bounds) == (low, high), "the bounds differ from one look to the next")


def _check_observed(
    reward: ObservedReward, prefixes: Sequence[Reading], levels: Sequence[float | None], tolerance: float
) -> None:
    """What an observer saw survives JSON, and judging it is all that ``score`` does."""
    observer = reward.observer
    identity: object = observer.identity
    _expect(isinstance(identity, str) and bool(identity.strip()), f"the observer's identity is {identity!r}")
    seen = json.loads(json.dumps(list(observer.observe(list(prefixes))), allow_nan=False))
    _expect(len(seen) == len(prefixes), f"{len(seen)} observations of {len(prefixes)} prefixes")
    judged = [None if s is None else reward.judge(p, s) for p, s in zip(prefixes, seen, strict=True)]
    for prefix, level, other in zip(prefixes, levels, judged, strict=True):
        _expect(_same(level, other, tolerance), f"{prefix!r} has level {level!r}, judged from what was seen {other!r}")
    _expect(reward.observer.identity == identity, "the observer's identity changed with use")


def _scored(reward: PrefixReward, prefixes: Sequence[Reading]) -> list[float | None]:
    given = list(prefixes)
    before = copy.deepcopy(given)
    levels: object = reward.score(given)
    _expect(given == before, "the reward changed what it was given")
    _expect(isinstance(levels, list), f"the levels are a {type(levels).__name__}, not a list")
    _expect(len(levels) == len(before), f"{len(before)} prefixes, {len(levels)} levels")  # type: ignore[arg-type]
    return levels  # type: ignore[return-value]


def _same(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= tolerance


def _expect(condition: bool, otherwise: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(otherwise[:2000])
