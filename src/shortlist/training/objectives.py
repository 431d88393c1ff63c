"""What is minimised, query by query: RRPO's clipped objective, and four others on the same samples to compare it with.

Each is a function of logits that take a gradient, an :class:`Experience` and the recipe; a :class:`Method` says what has
to be read for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import torch

from shortlist.training import losses
from shortlist.training import plackett_luce as pl
from shortlist.training.experience import Experience, Floats, Sampler
from shortlist.training.recipe import LossRecipe

Tensor: TypeAlias = torch.Tensor
Objective: TypeAlias = Callable[[Tensor, Experience, Sampler, LossRecipe], tuple[Tensor, float]]
"""Logits (N,) → the loss of a query, and the share of its steps that the clip left without gradient."""


@dataclass(frozen=True, slots=True)
class Method:
    """An objective and what the reader has to be asked for it.

    ``prefixes``: of the sampled lists and of what they are compared with, to credit every pick; ``lists``: the sampled
    lists, finished; ``alone``: the sampled passages, each by itself.
    """

    objective: Objective
    reads: Literal["prefixes", "lists", "alone", "nothing"]


def rrpo(logits_N: Tensor, one: Experience, sampler: Sampler, recipe: LossRecipe) -> tuple[Tensor, float]:
    """``E[1/K sum_t -min(rho A, clip(rho) A)] + beta KL(pi || reference) - entropy bonus``."""
    advantages_SK = _tensor(one.advantages_SK)
    mask_SK = losses.live(one.picks_SK, advantages_SK)
    logp_SK = pl.step_log_probs(logits_N, one.picks_SK)
    reference_N = sampler.logits(one.reference_N)
    reference_SK = pl.step_log_probs(reference_N, one.picks_SK)
    before_SK = (
        reference_SK if recipe.ratio == "reference" else pl.step_log_probs(sampler.logits(one.scores_N), one.picks_SK)
    )
    ratio_SK = losses.ratio(logp_SK, before_SK)
    terms_SK = losses.clipped(ratio_SK, advantages_SK, recipe.clip, mask_SK)
    loss = losses.masked_mean(terms_SK, mask_SK)
    picked_SK = one.picks_SK >= 0
    if recipe.beta and recipe.kl == "exact":
        loss = loss + recipe.beta * losses.masked_mean(pl.step_kl(logits_N, reference_N, one.picks_SK), picked_SK)
    if recipe.beta and recipe.kl == "k3":
        loss = loss + recipe.beta * losses.masked_mean(losses.kl_k3(logp_SK, reference_SK), picked_SK)
    if recipe.entropy:
        loss = loss - recipe.entropy * losses.masked_mean(pl.step_entropy(logits_N, one.picks_SK), picked_SK)
    return loss, losses.clipped_share(ratio_SK.detach(), advantages_SK, recipe.clip, mask_SK)


def dpo(logits_N: Tensor, one: Experience, sampler: Sampler, recipe: LossRecipe) -> tuple[Tensor, float]:
    """The best of the samples against the worst; nothing to learn where all are worth the same."""
    last_S = one.last_S
    if _alike(last_S):
        return logits_N.sum() * 0.0, 0.0
    pair = one.picks_SK[[int(np.nanargmax(last_S)), int(np.nanargmin(last_S))]]
    logp = pl.step_log_probs(logits_N, pair).sum(-1)
    reference = pl.step_log_probs(sampler.logits(one.reference_N), pair).sum(-1)
    return losses.dpo(logp[:1], logp[1:], reference[:1], reference[1:], recipe.dpo_beta).mean(), 0.0


def list_mle(logits_N: Tensor, one: Experience, _: Sampler, __: LossRecipe) -> tuple[Tensor, float]:
    """Towards the best of the samples, whole (ListMLE on what the reader likes most; best-of-n imitation)."""
    if _alike(one.last_S):
        return logits_N.sum() * 0.0, 0.0
    return losses.list_mle(logits_N, one.picks_SK[int(np.nanargmax(one.last_S))]), 0.0


def distil(logits_N: Tensor, one: Experience, sampler: Sampler, recipe: LossRecipe) -> tuple[Tensor, float]:
    """Towards what the reader makes of each sampled passage alone (RePlug, Atlas)."""
    alone_N = _tensor(one.alone_N)
    if torch.isfinite(alone_N).sum() < 2:
        return logits_N.sum() * 0.0, 0.0
    return losses.reader_distillation(_passages(logits_N, sampler), alone_N, recipe.tau), 0.0


def supervised(logits_N: Tensor, one: Experience, sampler: Sampler, _: LossRecipe) -> tuple[Tensor, float]:
    """Towards the passages that hold a gold answer (that are judged relevant)."""
    return losses.answer_softmax(_passages(logits_N, sampler), _tensor(one.labels_N)), 0.0


METHODS: Final[Mapping[str, Method]] = {
    "rrpo": Method(rrpo, "prefixes"),
    "dpo": Method(dpo, "lists"),
    "list_mle": Method(list_mle, "lists"),
    "distil": Method(distil, "alone"),
    "supervised": Method(supervised, "nothing"),
}


def _alike(last_S: Floats) -> bool:
    """Whether nothing tells the samples apart."""
    return bool(np.isnan(last_S).all() or np.nanmax(last_S) == np.nanmin(last_S))


def _passages(logits_N: Tensor, sampler: Sampler) -> Tensor:
    """Without the null document."""
    return logits_N[:-1] if sampler.stop else logits_N


def _tensor(values: Floats | None) -> Tensor:
    assert values is not None  # noqa: S101 - the method's reads have been made
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
