"""What a pick was worth: credit forms and the baselines they subtract, each a pure function of float64 arrays.

Shapes: S samples of one query, K steps. ``r_SK`` are **levels**: ``r[s, t]`` is the quality of the answer that the reader
gives from the first t + 1 documents of sample s. NaN means "could not be scored": whatever rests on it becomes NaN in turn
(masked, never zero), and a credit form keeps the steps that do not need it.

A list that stops early keeps its reward: call :func:`carry` first, and its last level stands at every later step. So
"the others at step t", in :func:`leave_one_out`, means the first t + 1 documents of each other list, or all of it if it
has fewer; and to-go sums run to K for every sample, so that stopping is neither paid nor punished by itself. What a
finished list holds past its stop has no pick to credit; the loss masks it (``losses.live``).

A *baseline* ``v`` broadcasts against (S, K). Whatever does not depend on the sample's own picks leaves the gradient
unbiased: none, both greedy ones, leave-one-out, mixtures of these. The group's mean holds the sample itself and shrinks
the gradient by 1 - 1/S; z-scores and whitening divide by what depends on it, and bias it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist.errors import InvalidInput

Floats: TypeAlias = NDArray[np.float64]


def carry(r_SK: ArrayLike, lengths_S: ArrayLike, *, before: float = 0.0) -> Floats:
    """Let each finished list keep its reward: from step ``lengths[s]`` on, the level of its last document.

    ``before`` is the level of the empty list, which a sample of length 0 keeps. A last level that is NaN is carried too.

    >>> carry([[0.2, 0.6, 0.4], [0.2, np.nan, np.nan], [np.nan] * 3], [3, 1, 0]).tolist()
    [[0.2, 0.6, 0.4], [0.2, 0.2, 0.2], [0.0, 0.0, 0.0]]
    """
    r_SK = _levels(r_SK)
    lengths_S = np.asarray(lengths_S)
    if lengths_S.shape != r_SK.shape[:1] or np.any((lengths_S < 0) | (lengths_S > r_SK.shape[1])):
        raise InvalidInput(
            f"lengths {lengths_S.tolist()} for levels of shape {r_SK.shape}; give one in [0, K] a sample"
        )
    with_empty = np.concatenate([np.full((len(r_SK), 1), before), r_SK], axis=1)
    place_SK = np.minimum(np.arange(1, r_SK.shape[1] + 1), lengths_S[:, None])
    return np.take_along_axis(with_empty, place_SK, axis=1)


# ------------------------------------------------------------------------------------------------ credit forms


def marginal(r_SK: ArrayLike, before: ArrayLike = 0.0) -> Floats:
    """Turn levels into gains, ``r_t - r_{t-1}``; ``before`` is the level of the empty list.

    Gains take the place of levels in every other form, with a baseline made of gains.

    >>> marginal([[0.5, 0.25, 1.0]]).tolist()
    [[0.5, -0.25, 0.75]]
    """
    r_SK = _levels(r_SK)
    first = np.broadcast_to(np.asarray(before, dtype=np.float64), (len(r_SK),))[:, None]
    return np.diff(np.concatenate([first, r_SK], axis=1), axis=1)


def prefix(r_SK: ArrayLike, v: ArrayLike) -> Floats:
    """``A_t = r_t - v_t``: a pick answers for its own prefix alone."""
    r_SK = _levels(r_SK)
    return r_SK - _broadcast(v, r_SK)


def to_go(r_SK: ArrayLike, v: ArrayLike, eta: float) -> Floats:
    """``A_t = sum_{j=t..K} eta^(j-t) (r_j - v_j)``, eta in [0, 1]: 0 is :func:`prefix`, 1 the whole reward to come.

    >>> to_go([[1.0, 0.0, 1.0]], 0.5, 0.5).tolist()
    [[0.375, -0.25, 0.5]]
    """
    _unit("eta", eta)
    return _discounted(prefix(r_SK, v), eta)


def terminal(r_SK: ArrayLike, v: ArrayLike) -> Floats:
    """``A_t = r_K - v_K`` at every step: only the finished list counts (the outcome reward of GRPO)."""
    r_SK = _levels(r_SK)
    return np.repeat(prefix(r_SK, v)[:, -1:], r_SK.shape[1], axis=1)


def literal_gae(r_SK: ArrayLike, v: ArrayLike, gamma: float, lam: float) -> Floats:
    """RRPO's advantage as printed: ``A_t = sum_{j=t..K-1} (gamma lam)^(j-t) (r_j + gamma v_{j+1} - v_j)``.

    The sum ends at K - 1 and leaves the last pick nothing: A_K = 0, and with K = 1 nothing is ever learnt. The reward of
    the whole list credits no pick, so the gradient is not that of the reward. Here for comparison;
    :func:`terminal_gae` keeps the last term.

    >>> literal_gae([[1.0, 0.0, 1.0]], [[0.5, 0.5, 0.0]], 1.0, 0.5).tolist()
    [[0.75, -0.5, 0.0]]
    """
    deltas_SK = _deltas(r_SK, v, gamma, lam)
    deltas_SK[:, -1] = 0.0
    return _discounted(deltas_SK, gamma * lam)


def terminal_gae(r_SK: ArrayLike, v: ArrayLike, gamma: float, lam: float) -> Floats:
    """``A_t = sum_{j=t..K} (gamma lam)^(j-t) (r_j + gamma v_{j+1} - v_j)`` with ``v_{K+1} = 0``.

    As v depends on the step alone it is a baseline, not a value function: the gradient is that of the
    (gamma lam)-discounted reward to go, but the level is off: with gamma lam = 1 the v's telescope to one v_t against
    K - t + 1 rewards, which whitening has to repair.

    >>> terminal_gae([[1.0, 0.0, 1.0]], [[0.5, 0.5, 0.0]], 1.0, 0.5).tolist()
    [[1.0, 0.0, 1.0]]
    """
    return _discounted(_deltas(r_SK, v, gamma, lam), gamma * lam)


def _deltas(r_SK: ArrayLike, v: ArrayLike, gamma: float, lam: float) -> Floats:
    _unit("gamma", gamma)
    _unit("lambda", lam)
    r_SK = _levels(r_SK)
    v_SK = _broadcast(v, r_SK)
    after_SK = np.concatenate([v_SK[:, 1:], np.zeros((len(r_SK), 1))], axis=1)
    return r_SK + gamma * after_SK - v_SK


def _discounted(terms_SK: Floats, eta: float) -> Floats:
    """``sum_{j>=t} eta^(j-t) x_j``; with eta = 0 a NaN ahead masks nothing."""
    sums_SK = terms_SK.copy()
    for t in range(terms_SK.shape[1] - 2, -1, -1) if eta else ():
        sums_SK[:, t] += eta * sums_SK[:, t + 1]
    return sums_SK


# ------------------------------------------------------------------------------------------------ baselines


def none() -> Floats:
    """No baseline: plain REINFORCE."""
    return np.zeros((1, 1))


def reference_greedy(v_K: ArrayLike) -> Floats:
    """The levels of the frozen reference's greedy list (RRPO), (1, K): the same for all samples."""
    v_K = np.asarray(v_K, dtype=np.float64)
    if v_K.ndim != 1:
        raise InvalidInput(f"levels of one greedy list have shape (K,), not {v_K.shape}")
    return v_K[None, :]


def current_greedy(v_K: ArrayLike) -> Floats:
    """The levels of the current policy's greedy list, (1, K) (ReMax: Li et al. 2024)."""
    return reference_greedy(v_K)


def leave_one_out(r_SK: ArrayLike) -> Floats:
    """The mean level of the *other* samples at each step, (S, K) (RLOO: Kool et al. 2019; Ahmadian et al. 2024).

    Others that could not be scored are left out of the mean; where none of them could, NaN.

    >>> leave_one_out([[1.0, 0.0], [0.0, np.nan], [0.5, 1.0]]).tolist()
    [[0.25, 1.0], [0.75, 0.5], [0.5, 0.0]]
    """
    r_SK = _levels(r_SK)
    if len(r_SK) < 2:
        raise InvalidInput("leave-one-out needs at least 2 samples a query; draw more, or take another baseline")
    known_SK = ~np.isnan(r_SK)
    scored_SK = np.where(known_SK, r_SK, 0.0)
    others_SK = known_SK.sum(axis=0) - known_SK
    sums_SK = scored_SK.sum(axis=0) - scored_SK
    return _quotient(sums_SK, others_SK)


def group_mean(r_SK: ArrayLike) -> Floats:
    """The mean level of all samples at each step, (1, K); NaN where none could be scored."""
    r_SK = _levels(r_SK)
    known_SK = ~np.isnan(r_SK)
    counts_K = known_SK.sum(axis=0)
    sums_K = np.where(known_SK, r_SK, 0.0).sum(axis=0)
    return _quotient(sums_K, counts_K)[None, :]


def _quotient(sums: Floats, counts: NDArray[np.int64]) -> Floats:
    """Means, NaN where there is nothing to take the mean of."""
    means: Floats = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def mixed(loo: ArrayLike, ref: ArrayLike, share: float = 0.5) -> Floats:
    """``share * leave-one-out + (1 - share) * reference``; unbiased as both are, steady where either is poor."""
    _unit("share", share)
    return share * np.asarray(loo, dtype=np.float64) + (1 - share) * np.asarray(ref, dtype=np.float64)


# ------------------------------------------------------------------------------------------------ scaling


def group_z_score(advantages_SK: ArrayLike, eps: float = 1e-6) -> Floats:
    """``(A - mean) / (sd + eps)`` over the samples of each step, sd with S - 1 (GRPO: Shao et al. 2024).

    A step with a single scored sample, or with equal ones, gives 0: a group of one says nothing about better or worse.

    >>> group_z_score([[1.0], [3.0]]).round(4).tolist()
    [[-0.7071], [0.7071]]
    >>> group_z_score([[0.7]]).tolist()
    [[0.0]]
    """
    advantages_SK = _levels(advantages_SK)
    centred_SK = advantages_SK - group_mean(advantages_SK)
    counts_K = (~np.isnan(centred_SK)).sum(axis=0)
    squares_K = np.nansum(centred_SK**2, axis=0)
    sd_K = np.sqrt(squares_K / np.maximum(counts_K - 1, 1))
    return np.where(counts_K > 1, centred_SK / (sd_K + eps), centred_SK * 0.0)


class SlidingWhitener:
    """``(A - mean) / (sd + eps)`` over the last ``window`` advantages of any query, these ones included (RRPO).

    Advantages that are NaN stay so and do not enter the window. While fewer than two are known, or all are equal, the
    result is 0.
    """

    def __init__(self, window: int = 1024, eps: float = 1e-6) -> None:
        if window < 2:
            raise InvalidInput(f"window is {window}; give 2 or more advantages")
        self.window, self.eps = window, eps
        self._recent: deque[float] = deque(maxlen=window)

    def __call__(self, advantages: ArrayLike, /) -> Floats:
        """Take these advantages into the window, and scale them by it; any shape."""
        advantages = np.asarray(advantages, dtype=np.float64)
        self._recent.extend(advantages[np.isfinite(advantages)].tolist())
        if not self._recent:
            return advantages.copy()
        recent = np.asarray(self._recent)
        whitened: Floats = (advantages - recent.mean()) / (recent.std() + self.eps)
        return whitened

    def state_dict(self) -> dict[str, Any]:
        """The window and what is in it, as JSON knows it."""
        return {"window": self.window, "eps": self.eps, "recent": list(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the other one stood. Raises :class:`InvalidInput` if it was configured otherwise."""
        if (state["window"], state["eps"]) != (self.window, self.eps):
            raise InvalidInput(
                f"the saved whitener has window {state['window']} and eps {state['eps']}, this one {self.window} and "
                f"{self.eps}; resume with the recipe that the run began with"
            )
        self._recent = deque((float(value) for value in state["recent"]), maxlen=self.window)


# ------------------------------------------------------------------------------------------------ checks


def _levels(r_SK: ArrayLike) -> Floats:
    r_SK = np.asarray(r_SK, dtype=np.float64)
    if r_SK.ndim != 2 or 0 in r_SK.shape:
        raise InvalidInput(f"levels of shape {r_SK.shape}; give (samples, steps), at least one of each")
    return r_SK


def _broadcast(v: ArrayLike, r_SK: Floats) -> Floats:
    v = np.asarray(v, dtype=np.float64)
    try:
        return np.broadcast_to(v, r_SK.shape)
    except ValueError:
        raise InvalidInput(f"a baseline of shape {v.shape} does not fit levels of shape {r_SK.shape}") from None


def _unit(name: str, value: float) -> None:
    if not 0 <= value <= 1 or math.isnan(value):
        raise InvalidInput(f"{name} is {value}; give a number in [0, 1]")
