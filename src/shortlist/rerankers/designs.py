"""Which passages meet in which group: each design is one function.

A design takes n places (0 is the first stage's best), the largest group wanted, how often each place is to be graded,
and a random generator; it gives groups of places, each in the order in which it is to be shown. Groups of one repeat
are as even in size as they can be, and hold every place exactly once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Groupings: TypeAlias = list[list[int]]
Design: TypeAlias = Callable[[int, int, int, random.Random], Groupings]
"""``(n, size, repeats, rng) -> groups``."""


def _count(n: int, size: int) -> int:
    return -(-n // size)


def _shuffled(places: Sequence[int], rng: random.Random) -> list[int]:
    return rng.sample(places, len(places))


def _split(places: Sequence[int], size: int) -> Groupings:
    count = _count(len(places), size)
    return [list(places[i * len(places) // count : (i + 1) * len(places) // count]) for i in range(count)]


def disjoint(n: int, size: int, repeats: int, rng: random.Random) -> Groupings:
    """Neighbours in the first stage's order meet; a repeat shows the same groups in another inner order."""
    blocks = _split(range(n), size)
    return [_shuffled(block, rng) for _ in range(repeats) for block in blocks]


def interval(n: int, size: int, repeats: int, rng: random.Random) -> Groupings:
    """Every group takes one passage from every stretch of the first stage's order, and is shown in that order.

    The first repeat takes every m-th place (m groups); later ones draw anew who of each stretch goes where.
    """
    count = _count(n, size)
    groups: Groupings = []
    for repeat in range(repeats):
        fresh: Groupings = [[] for _ in range(count)]
        for start in range(0, n, count):
            stretch = list(range(start, min(start + count, n)))
            seats = rng.sample(range(count), len(stretch)) if repeat else range(len(stretch))
            for seat, place in zip(seats, stretch, strict=True):
                fresh[seat].append(place)
        groups += fresh
    return groups


def random_repeated(n: int, size: int, repeats: int, rng: random.Random) -> Groupings:
    """Each repeat is a random split of its own (GroupRank, arXiv 2511.11653)."""
    return [group for _ in range(repeats) for group in _split(_shuffled(range(n), rng), size)]


def balanced(n: int, size: int, repeats: int, rng: random.Random) -> Groupings:
    """Over the repeats, pairs of passages meet about equally often; who takes which part is drawn at random."""
    names = _shuffled(range(n), rng)
    return [_shuffled([names[i] for i in group], rng) for group in _balanced_plan(n, size, repeats)]


@lru_cache(maxsize=64)
def _balanced_plan(n: int, size: int, repeats: int) -> tuple[tuple[int, ...], ...]:
    """Greedy: each place in turn goes to the group with room whose members it has met least."""
    rng = np.random.default_rng(0)  # any plan will do: the caller relabels it
    met = np.zeros((n, n), dtype=np.int32)
    plan: list[tuple[int, ...]] = []
    for _ in range(repeats):
        groups = _least_met(met, [len(group) for group in _split(range(n), size)], rng)
        for group in groups:
            met[np.ix_(group, group)] += 1
        plan += [tuple(group) for group in groups]
    return tuple(plan)


def _least_met(met: npt.NDArray[np.int32], sizes: list[int], rng: np.random.Generator) -> Groupings:
    groups: Groupings = [[] for _ in sizes]
    # the cost of a meeting grows with the square of how often the two have met
    costs = met.astype(np.float64) ** 2
    cost = np.zeros((len(met), len(sizes)))
    for place in rng.permutation(len(met)).tolist():
        room = [g for g, group in enumerate(groups) if len(group) < sizes[g]]
        chosen = min(room, key=lambda g: (cost[place, g], len(groups[g])))
        groups[chosen].append(place)
        cost[:, chosen] += costs[:, place]
    return groups


DESIGNS: dict[str, Design] = {
    "disjoint": disjoint,
    "interval": interval,
    "random": random_repeated,
    "balanced": balanced,
}
"""By the names that a reranker's options use."""
