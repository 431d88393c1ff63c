"""Losses over rankings: each one formula, one pure function of tensors, differentiable in its first argument.

Shapes: S samples of one query, N candidates, K steps, P pairs. Functions of steps give (S, K); :func:`masked_mean` makes
one number a query of them. A *mask* is true where a step counts: :func:`live` makes it of picks and advantages.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import torch
from torch.nn import functional

from shortlist.errors import InvalidInput
from shortlist.training.plackett_luce import step_log_probs

Tensor: TypeAlias = torch.Tensor

_WIDEST: Final = 20.0  # log-ratios beyond this are cut: exp(20) = 5e8 still leaves room for products in float32
_LARGEST_K3: Final = 10.0


# ------------------------------------------------------------------------------------------------ steps


def live(picks_SK: Tensor, advantages_SK: Tensor) -> Tensor:
    """Where a step counts: something was picked (stopping is a pick), and its advantage is known (not NaN)."""
    return (picks_SK >= 0) & torch.isfinite(advantages_SK)


def masked_mean(values_SK: Tensor, mask_SK: Tensor) -> Tensor:
    """``mean over samples of (1/K) sum over live steps``: RRPO's ``E[1/K sum_t ...]`` for one query, a scalar.

    A list that stopped early is divided by K all the same: to divide by its own length would weigh its steps more, and
    bias the gradient (Liu et al., "Understanding R1-Zero-like training", 2025). Samples without any live step (nothing
    of them could be scored) leave the mean; 0 if there are no others.

    >>> masked_mean(torch.tensor([[4.0, 2.0], [6.0, 9.0]]), torch.tensor([[True, True], [True, False]])).item()
    3.0
    """
    samples = mask_SK.any(dim=-1).sum().clamp_min(1)
    return values_SK.masked_fill(~mask_SK, 0.0).sum() / (samples * mask_SK.shape[-1])


def ratio(logp: Tensor, old_logp: Tensor) -> Tensor:
    """``pi / pi_old`` of each step from log-probabilities; ``old_logp`` may be the old policy's or the reference's.

    Log-ratios are cut to ±20 so that nothing overflows.
    """
    return (logp - old_logp.detach()).clamp(-_WIDEST, _WIDEST).exp()


def clipped(
    ratio_SK: Tensor, advantage_SK: Tensor, epsilon: float, mask_SK: Tensor, *, dual: float | None = None
) -> Tensor:
    """PPO's clipped loss of each step, ``-min(rho A, clip(rho, 1 - eps, 1 + eps) A)``, (S, K), 0 where masked.

    Schulman et al. 2017. ``dual`` (above 1) also bounds the loss where A < 0: ``-max(that min, dual * A)``
    (Ye et al., AAAI 2020), so that one very unlikely pick cannot dominate a step.

    >>> on = torch.ones(4, dtype=torch.bool)
    >>> told = torch.tensor([1.5, 0.5, 1.5, 0.5]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    >>> [round(loss, 3) for loss in clipped(*told, 0.2, on).tolist()]
    [-1.2, -0.5, 1.5, 0.8]
    """
    if not epsilon > 0:
        raise InvalidInput(f"epsilon is {epsilon}; give more than 0")
    if dual is not None and not dual > 1:
        raise InvalidInput(f"dual is {dual}; give more than 1, or None")
    advantage_SK = advantage_SK.detach().masked_fill(~mask_SK, 0.0)
    least = torch.minimum(ratio_SK * advantage_SK, ratio_SK.clamp(1 - epsilon, 1 + epsilon) * advantage_SK)
    if dual is not None:
        least = torch.where(advantage_SK < 0, torch.maximum(least, dual * advantage_SK), least)
    return -least.masked_fill(~mask_SK, 0.0)


def clipped_share(ratio_SK: Tensor, advantage_SK: Tensor, epsilon: float, mask_SK: Tensor) -> float:
    """Share of live steps whose gradient the clip takes away, in [0, 1]."""
    high = (ratio_SK > 1 + epsilon) & (advantage_SK > 0)
    low = (ratio_SK < 1 - epsilon) & (advantage_SK < 0)
    return float(((high | low) & mask_SK).sum() / mask_SK.sum().clamp_min(1))


def kl_k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """``log pi - log pi_ref``: KL(pi ‖ ref) of one draw from pi, unbiased, of either sign (Schulman's k1).

    As in Ouyang et al. 2022 it belongs in the reward (``r - beta * k1``, detached): added to the loss, its gradient on
    the policy's own samples is zero on average.
    """
    return logp - ref_logp.detach()


def kl_k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """``exp(d) - d - 1`` with ``d = log pi_ref - log pi``: unbiased too, never negative (Schulman's k3; GRPO).

    d is cut to ±20 and the result to 10, as verl does: a single step cannot blow up the loss.
    """
    difference = (ref_logp.detach() - logp).clamp(-_WIDEST, _WIDEST)
    return (difference.exp() - difference - 1).clamp_max(_LARGEST_K3)


# ------------------------------------------------------------------------------------------------ rankings and pairs


def list_mle(logits_N: Tensor, order: Tensor) -> Tensor:
    """``-log pi(order)`` under Plackett–Luce: of one order (K,) a scalar, of several (S, K) one each (Xia et al. 2008).

    The order may be shorter than the list (top-K) and may end with the null document.

    >>> list_mle(torch.zeros(3), torch.tensor([2, 0, 1])).exp().item()  # 3! orders, all alike
    6.0...
    """
    rows = order if order.ndim > 1 else order.unsqueeze(0)
    loss_S = -step_log_probs(logits_N, rows).sum(dim=-1)
    return loss_S if order.ndim > 1 else loss_S.squeeze(0)


def dpo(logp_w: Tensor, logp_l: Tensor, ref_w: Tensor, ref_l: Tensor, beta: float) -> Tensor:
    """``-log sigmoid(beta * ((logp_w - ref_w) - (logp_l - ref_l)))`` of each pair, (P,) (Rafailov et al. 2023).

    Arguments are log-probabilities of whole rankings: of the better (w) and the worse (l), under policy and reference.

    >>> zero = torch.zeros(1)
    >>> round(dpo(zero, zero, zero, zero, 0.1).item(), 6)  # log 2
    0.693147
    """
    if not beta > 0:
        raise InvalidInput(f"beta is {beta}; give more than 0")
    margin = (logp_w - ref_w.detach()) - (logp_l - ref_l.detach())
    return -functional.logsigmoid(beta * margin)


# ------------------------------------------------------------------------------------------------ supervision


def reader_distillation(logits_N: Tensor, reader_scores_N: Tensor, tau: float) -> Tensor:
    """``KL(softmax(reader / tau) ‖ softmax(logits))`` of one query, a scalar.

    ``reader_scores_N`` is what the reader makes of each passage alone, e.g. the log-likelihood of the gold answer
    (RePlug: Shi et al. 2024; Atlas' PDist: Izacard et al. 2023). Passages with NaN could not be scored and leave both
    sides; 0 if fewer than two are left.

    >>> told = torch.tensor([2.0, 1.0]).log()
    >>> reader_distillation(told, told + 3, 1.0).abs().item() < 1e-6
    True
    """
    if not tau > 0:
        raise InvalidInput(f"tau is {tau}; give more than 0")
    known = ~reader_scores_N.isnan()
    reader = (reader_scores_N.detach()[known] / tau).softmax(dim=-1)
    return functional.kl_div(logits_N[known].log_softmax(dim=-1), reader, reduction="sum")


def answer_bce(logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """Binary cross-entropy, mean over labelled passages, a scalar; 1: holds an answer, 0: does not, NaN: not known.

    >>> round(answer_bce(torch.tensor([0.0, 7.0]), torch.tensor([1.0, float("nan")])).item(), 6)  # log 2
    0.693147
    """
    known = ~labels_N.isnan()
    total = functional.binary_cross_entropy_with_logits(logits_N[known], labels_N[known], reduction="sum")
    return total / known.sum().clamp_min(1)


def answer_softmax(logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """``-log`` of the softmax mass on passages that hold an answer, a scalar; labels as in :func:`answer_bce`.

    A query without a passage that holds one says nothing, and gives 0.

    >>> round(answer_softmax(torch.zeros(4), torch.tensor([1.0, 0.0, 0.0, 1.0])).item(), 6)  # log 2
    0.693147
    """
    known = ~labels_N.isnan()
    positive = labels_N == 1
    if not bool(positive.any()):
        return logits_N.sum() * 0.0
    return logits_N[known].logsumexp(dim=-1) - logits_N[positive].logsumexp(dim=-1)
