"""The solvability filter: which queries can be learnt from, at the price of a few readings each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.errors import InvalidInput
from shortlist.rewards.environment import Lists, ReaderEnvironment
from shortlist.types import RerankRequest

Utilities: TypeAlias = Callable[[RerankRequest], Sequence[float]]
"""A score for each candidate, for drawing shortlists: higher is likelier."""
Scores: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Solvable:
    """The requests whose reward depends on the shortlist, and the ids of the others by what was wrong with them.

    ``always``: at the highest level whatever was shown; ``never``: at the lowest; ``even``: at one level in between;
    ``unscored``: the reward could not say.
    """

    kept: tuple[RerankRequest, ...]
    always: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    even: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What was kept and dropped, and why, in a line."""
        dropped = (("always right", self.always), ("never right", self.never), ("no difference", self.even))
        told = [f"{len(ids)} {why}" for why, ids in (*dropped, ("not scored", self.unscored)) if ids]
        return f"{len(self.kept)} queries kept; dropped: {', '.join(told) or 'none'}"


def solvable(
    given: Sequence[RerankRequest],
    environment: ReaderEnvironment,
    *,
    samples: int = 8,
    k: int = 3,
    temperature: float = 1.0,
    utilities: Utilities | None = None,
    seed: int = 0,
    tolerance: float = 1e-6,
    on_progress: Callable[[int, int], None] | None = None,
) -> Solvable:
    """Keep the requests that can be learnt from: their reward at ``k`` varies over ``samples`` drawn shortlists.

    Shortlists are drawn without replacement by the softmax of ``utilities / temperature`` (by default ``-ln rank`` in
    the first stage: Zipf's law), the best ``k`` by utility always among them. The same seed draws the same ones,
    whatever the other requests. It costs up to ``samples`` calls a request, and what was asked is kept for training.

    BAR-RAG's filter: where every shortlist has the same reward, the policy gradient is zero and the calls are wasted.
    """
    if samples < 2 or k < 1 or not temperature > 0:
        raise InvalidInput(f"samples {samples}, k {k}, temperature {temperature}: give 2 or more, 1 or more, above 0")

    def scores(request: RerankRequest) -> Scores:
        known = _zipf(request) if utilities is None else utilities(request)
        return np.asarray(known, dtype=np.float64)

    told: dict[str, list[RerankRequest]] = {name: [] for name in ("kept", "always", "never", "even", "unscored")}
    for start in range(0, len(given), _TOGETHER):
        part = given[start : start + _TOGETHER]
        drawn = [_drawn(request, scores(request) / temperature, samples, k, seed) for request in part]
        flat: Lists = [item for lists in drawn for item in lists]
        rewards = _wholes(environment, flat)
        for request, lists in zip(part, drawn, strict=True):
            mine, rewards = rewards[: len(lists)], rewards[len(lists) :]
            told[_verdict(mine, environment.reward.bounds, tolerance)].append(request)
        if on_progress is not None:
            on_progress(start + len(part), len(given))
    ids = {name: tuple(r.query.id for r in told[name]) for name in ("always", "never", "even", "unscored")}
    return Solvable(tuple(told["kept"]), **ids)


_TOGETHER: Final = 16


def _zipf(request: RerankRequest) -> list[float]:
    return [-math.log(rank) for rank in range(1, len(request.candidates) + 1)]


def _drawn(request: RerankRequest, scores: Scores, samples: int, k: int, seed: int) -> Lists:
    """The greedy shortlist and ``samples - 1`` drawn by Gumbel-top-k; those equal are asked about once."""
    n = len(request.candidates)
    if len(scores) != n:
        raise InvalidInput(f"{len(scores)} utilities for the {n} candidates of query {request.query.id!r}")
    own = hashlib.sha256(request.query.id.encode("utf-8", "backslashreplace")).digest()
    generator = np.random.default_rng([seed, int.from_bytes(own[:8])])
    noise = np.vstack([np.zeros(n), generator.gumbel(size=(samples - 1, n))])
    picks = np.argsort(-(scores + noise), axis=1, kind="stable")[:, :k]
    return [(request.query, tuple(request.candidates[i].document for i in row)) for row in picks]


def _wholes(environment: ReaderEnvironment, lists: Lists) -> list[float]:
    """The level of each whole list; those of one length are asked about together."""
    totals = np.full(len(lists), np.nan)
    for length in sorted({len(documents) for _, documents in lists}):
        rows = [i for i, (_, documents) in enumerate(lists) if len(documents) == length]
        totals[rows] = environment.evaluate([lists[i] for i in rows], [length]).totals[:, 0]
    return totals.tolist()


def _verdict(rewards: Sequence[float], bounds: tuple[float, float], tolerance: float) -> str:
    known = [reward for reward in rewards if not math.isnan(reward)]
    if len(known) < 2:
        return "unscored"
    if max(known) - min(known) > tolerance:
        return "kept"
    low, high = bounds
    near = 0.01 * (high - low)
    return "always" if known[0] > high - near else "never" if known[0] < low + near else "even"
