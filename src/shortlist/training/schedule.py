"""What a step's number decides: which queries it takes, and its learning rate."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from shortlist.training.recipe import OptimiserRecipe


def batch_places(step: int, count: int, size: int, seed: int) -> list[int]:
    """The queries of a step (from 1): every query once an epoch, each epoch in an order of its own.

    >>> sorted(batch_places(1, 4, 2, 0) + batch_places(2, 4, 2, 0))
    [0, 1, 2, 3]
    """
    first = (step - 1) * size
    return [_epoch(count, at // count, seed)[at % count] for at in range(first, first + size)]


@lru_cache(maxsize=4)
def _epoch(count: int, epoch: int, seed: int) -> list[int]:
    return [int(place) for place in np.random.default_rng([seed, epoch]).permutation(count)]


def schedule(step: int, recipe: OptimiserRecipe) -> float:
    """The share of the peak rate at a step, from 1: up in a line, then as ``decay`` says, never quite 0.

    >>> told = OptimiserRecipe(steps=10, warmup=4, decay="linear")
    >>> [round(schedule(step, told), 3) for step in (1, 4, 7, 10)]
    [0.25, 1.0, 0.571, 0.143]
    """
    if step <= recipe.warmup:
        return step / recipe.warmup
    left = (recipe.steps - step + 1) / (recipe.steps - recipe.warmup + 1)
    if recipe.decay == "constant":
        return 1.0
    return left if recipe.decay == "linear" else 0.5 * (1 + math.cos(math.pi * (1 - left)))
