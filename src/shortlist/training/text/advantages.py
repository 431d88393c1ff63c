"""What a reply is credited with: its reward against those of the other replies to the same prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from shortlist.errors import InvalidInput, UnknownName
from shortlist.rewards.text.base import Credited

Floats = npt.NDArray[np.float64]
_EPSILON = 1e-6
_EQUAL = 1e-9


def z_score(rewards_G: Floats) -> Floats:
    """``(r − mean) / (std + ε)``, the unbiased deviation (GRPO, arXiv 2402.03300).

    >>> z_score(np.array([1.0, 0.0, 0.5])).round(4).tolist()
    [1.0, -1.0, 0.0]
    """
    return np.asarray(mean(rewards_G) / (rewards_G.std(ddof=1) + _EPSILON))


def mean(rewards_G: Floats) -> Floats:
    """``r − mean``: no division, which would weigh easy and hard groups alike (Dr. GRPO, arXiv 2503.20783)."""
    return np.asarray(rewards_G - rewards_G.mean())


def leave_one_out(rewards_G: Floats) -> Floats:
    """``r − mean of the others`` (RLOO, arXiv 2402.14740).

    >>> leave_one_out(np.array([1.0, 0.0, 0.5])).tolist()
    [0.75, -0.75, 0.0]
    """
    return mean(rewards_G) * len(rewards_G) / (len(rewards_G) - 1)


FORMS: dict[str, Callable[[Floats], Floats]] = {"z_score": z_score, "mean": mean, "leave_one_out": leave_one_out}


def advantages(rewards: Sequence[float | None], group: int, form: str = "z_score") -> list[float]:
    """One advantage a reply; replies of a prompt stand together, ``group`` of them each.

    A reply that could not be scored (``None`` or NaN) has 0 and is left out of its group's statistics; a group of one,
    and a group of equals, has 0: never the raw reward, as some public code has it.
    """
    if form not in FORMS:
        raise UnknownName("advantage", form, FORMS)
    if group < 1 or len(rewards) % group:
        raise InvalidInput(f"{len(rewards)} rewards are no whole groups of {group}")
    values = np.array([np.nan if reward is None else reward for reward in rewards], dtype=np.float64)
    told = np.zeros_like(values)
    for start in range(0, len(values), group):
        place = np.arange(start, start + group)
        known = place[~np.isnan(values[place])]
        if len(known) > 1 and np.ptp(values[known]) > _EQUAL:
            told[known] = FORMS[form](values[known])
    return [float(value) for value in told]


def expected(
    rewards: Sequence[float | None],
    weights: Sequence[float],
    group: int,
    *,
    before: Sequence[float] | None = None,
    beta: float = 0.0,
) -> list[float]:
    """One advantage a reply where all replies of a prompt are told: ``n · p · (r − Σ p r)``, p its weight among its group's.

    The mean over the n replies is then the exact gradient of the expected reward (all-action policy gradient, Sutton et
    al. 2001), with no draw in it. What could not be scored has 0 and is left out of its group's mean.

    ``before``: the replies' likelihoods by the model before training, ``beta`` the weight of the divergence KL(before ‖ now),
    whose gradient ``n · (before − p)`` is added. It does not vanish with p, as those of rewards and entropy do: a policy that
    has come to say one thing whatever it is asked is drawn back.

    >>> expected([1.0, 0.0], [0.75, 0.25], 2)
    [0.375, -0.375]
    """
    if group < 1 or len(rewards) % group or len(weights) != len(rewards):
        raise InvalidInput(f"{len(rewards)} rewards and {len(weights)} weights are no whole groups of {group}")
    values_UG = np.array([np.nan if reward is None else reward for reward in rewards]).reshape(-1, group)
    known_UG = ~np.isnan(values_UG)
    now_UG = _shares(weights, known_UG)
    values_UG = np.where(known_UG, values_UG, 0.0)
    told_UG = now_UG * (values_UG - (now_UG * values_UG).sum(axis=1, keepdims=True))
    if beta and before is not None:
        told_UG = told_UG + beta * (_shares(before, known_UG) - now_UG)
    return [float(value) for value in (group * told_UG * known_UG).ravel()]


def by_passage(
    rewards: Sequence[float | None], credited: Sequence[Credited], group: int
) -> list[tuple[float, tuple[float, ...]]]:
    """Of each reply, what its tokens at large are credited with, and what those of each passage's score are, by place.

    At large it is the rest of the reward (its form) against the mean of the group. A reply that does not count is credited
    with its whole reward at large, one that could not be scored with 0.

    >>> by_passage([1.5, 0.5], [Credited(1.0, (0.25, -0.25)), Credited(0.5, (0.0, 0.0))], 2)
    [(0.25, (0.25, -0.25)), (-0.25, (0.0, 0.0))]
    """
    rest = [None if reward is None else reward - told.level for reward, told in zip(rewards, credited, strict=True)]
    forms, wholes = advantages(rest, group, "mean"), advantages(rewards, group, "mean")
    return [
        (form, told.passages) if told.passages and reward is not None else (whole, ())
        for form, whole, told, reward in zip(forms, wholes, credited, rewards, strict=True)
    ]


def spread(at_large: float, passages: Sequence[float], places: Sequence[int | None]) -> list[float]:
    """One advantage a token: the reply's and its passage's; of a token that is of no passage, the passages' sum.

    ``places``: of each token, the place of the passage whose score it is part of.

    >>> spread(0.0, (0.5, -0.25), [None, 0, 1])
    [0.25, 0.5, -0.25]
    """
    return [at_large + (sum(passages) if place is None else passages[place]) for place in places]


_NAME = re.compile(r"\[([0-9]{1,9}+)\]")


def owners(pieces: Sequence[str], passages: int) -> list[int | None]:
    """Of each token of a reply, the place of the passage whose number stands last before it, or in it.

    ``pieces``: the text of the reply up to and with each token. Numbers beyond the ``passages`` of the slate own nothing.

    >>> owners(["[", "[1", "[1]", "[1]7", "[1]7 [", "[1]7 [2", "[1]7 [2]", "[1]7 [2]0"], 2)
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    names = [(found.start(), int(found[1]) - 1) for found in _NAME.finditer(pieces[-1] if pieces else "")]
    told: list[int | None] = []
    for piece in pieces:
        before = [place for start, place in names if start < len(piece)]
        told.append(before[-1] if before and 0 <= before[-1] < passages else None)
    return told


def _shares(weights: Sequence[float], known_UG: npt.NDArray[np.bool_]) -> Floats:
    """Of each group's whole, over what is known."""
    told_UG = np.where(known_UG, np.reshape(weights, known_UG.shape), 0.0)
    return np.asarray(told_UG / np.maximum(told_UG.sum(axis=1, keepdims=True), np.finfo(float).tiny))


def with_surprise(rewards: Sequence[float | None], logps: Sequence[float], weight: float) -> list[float | None]:
    """Rewards with ``−weight · log p`` of each reply added: their mean is that of the rewards plus weighted entropy."""
    return [None if reward is None else reward - weight * logp for reward, logp in zip(rewards, logps, strict=True)]


def flat_share(rewards: Sequence[float | None], group: int) -> float:
    """The share of groups whose replies are all worth the same, and so teach nothing."""
    values = np.array([np.nan if reward is None else reward for reward in rewards], dtype=np.float64).reshape(-1, group)
    flat = [len(row) < 2 or bool(np.ptp(row) <= _EQUAL) for row in (row[~np.isnan(row)] for row in values)]
    return sum(flat) / len(flat)
