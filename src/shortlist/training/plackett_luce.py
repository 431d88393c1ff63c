"""A score model as a Plackett–Luce policy: rankings are drawn without replacement, one softmax over what is left a step.

    pi(c_1..c_K) = prod_t exp(u_{c_t}) / sum_{j left at t} exp(u_j)

One forward pass gives the scores, and from them come all samples (Gumbel-top-k: Yellott 1977; Kool, van Hoof & Welling,
ICML 2019), their log-probabilities and the exact divergences at every state that they visit.

Shapes: S samples of one query, N candidates, K steps. With a stop action the **null document** is one more column, the
last one; to pick it ends the list. Picks are column numbers (int64): candidates, perhaps the null document once, and
-1 after it. Further axes may stand in front (queries of equal N): ``logits_N`` is (..., N), ``picks_SK`` is (..., S, K).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import torch

from shortlist.errors import InvalidInput

Tensor: TypeAlias = torch.Tensor

ENDED: Final = -1
"""What stands in a row of picks after the null document."""
_LEAST_SPREAD: Final = 1e-3  # scores closer than this are all but equal: dividing by less would blow up their gradient
_LEAST_NOISE: Final = 1e-300  # an exponential draw of exactly 0 would give infinite noise


def logits(scores_N: Tensor, temperature: float, *, standardise: bool, stop: bool = False) -> Tensor:
    """Take ``u / T``, or ``(u - mean) / sd / T`` per query, differentiably.

    A cross-encoder's raw scores span some ±10, so that every sample would be the greedy list; a temperature, or scores
    brought to sd 1, lets the policy explore. With ``stop`` the last column is the null document: mean and (population)
    sd are of the candidates alone, and it is put on their scale.

    >>> logits(torch.tensor([3.0, 1.0]), 2.0, standardise=False).tolist()
    [1.5, 0.5]
    >>> logits(torch.tensor([3.0, 1.0, 2.0]), 1.0, standardise=True, stop=True).tolist()  # mean 2, sd 1
    [1.0, -1.0, 0.0]
    """
    if not temperature > 0:
        raise InvalidInput(f"temperature is {temperature}; give more than 0")
    if not standardise:
        return scores_N / temperature
    documents = scores_N[..., :-1] if stop else scores_N
    mean = documents.mean(dim=-1, keepdim=True)
    variance = documents.var(dim=-1, keepdim=True, correction=0).clamp_min(_LEAST_SPREAD**2)
    return (scores_N - mean) / (variance.sqrt() * temperature)


# ------------------------------------------------------------------------------------------------ drawing


def draw(logits_N: Tensor, k: int, samples: int, generator: Any, *, stop: bool = False) -> Tensor:
    """Draw ``samples`` rankings of ``k`` picks, (S, K); no gradient flows.

    The noise is drawn in float64 where ``generator`` (a ``torch.Generator``) lives, so that one on the CPU gives the
    same picks whatever device the logits are on, and logits of ±1e4 lose nothing. Raises :class:`InvalidInput` for
    logits that are not finite and for k beyond the candidates.
    """
    if samples < 1:
        raise InvalidInput(f"samples is {samples}; give 1 or more")
    _check(logits_N, k, stop=stop)
    known = logits_N.detach().to(generator.device, torch.float64)
    shape = (*known.shape[:-1], samples, known.shape[-1])
    noise = torch.empty(shape, dtype=torch.float64, device=generator.device).exponential_(generator=generator)
    keys = known.unsqueeze(-2) - noise.clamp_min(_LEAST_NOISE).log()  # -log of an exponential draw is Gumbel noise
    picks = keys.topk(k, dim=-1).indices
    return _end(picks, known.shape[-1] - 1, stop=stop).to(logits_N.device)


def greedy(logits_N: Tensor, k: int, *, stop: bool = False) -> Tensor:
    """Sort, best first, and cut at the null document: (K,). Equal scores keep the earlier column, so stopping loses.

    >>> greedy(torch.tensor([0.0, 2.0, 2.0, 1.0]), 3, stop=True).tolist()  # the null document is column 3
    [1, 2, 3]
    >>> greedy(torch.tensor([0.0, 2.0, 1.0]), 2, stop=True).tolist()
    [1, 2]
    """
    _check(logits_N, k, stop=stop)
    order = logits_N.detach().sort(dim=-1, descending=True, stable=True).indices[..., :k]
    return _end(order, logits_N.shape[-1] - 1, stop=stop)


def _check(logits_N: Tensor, k: int, *, stop: bool) -> None:
    candidates = logits_N.shape[-1] - int(stop)
    if not 1 <= k <= candidates:
        raise InvalidInput(f"k is {k} for {candidates} candidates; give 1 to {candidates}")
    if not bool(torch.isfinite(logits_N).all()):
        raise InvalidInput("the policy's logits are not all finite; the model has diverged or its input is broken")


def _end(picks_K: Tensor, null: int, *, stop: bool) -> Tensor:
    """Write ``ENDED`` after the null document."""
    if not stop:
        return picks_K
    is_null = picks_K == null
    return picks_K.masked_fill(is_null.cumsum(dim=-1) > is_null.long(), ENDED)


def lengths(picks_SK: Tensor, candidates: int) -> Tensor:
    """Count the documents kept by each sample, (S,), in [0, K]; ``candidates`` is N without the null document.

    >>> lengths(torch.tensor([[2, 0, 1], [1, 3, -1], [3, -1, -1]]), 3).tolist()
    [3, 1, 0]
    """
    return ((picks_SK >= 0) & (picks_SK < candidates)).sum(dim=-1)


def greedy_share(picks_SK: Tensor, greedy_K: Tensor) -> float:
    """Share of samples that picked the greedy *set*, whatever its order, in [0, 1]; healthy exploration has .1 to .5.

    >>> greedy_share(torch.tensor([[2, 0], [0, 1]]), torch.tensor([0, 2]))
    0.5
    """
    same = picks_SK.sort(dim=-1).values == greedy_K.sort(dim=-1).values.unsqueeze(-2)
    return float(same.all(dim=-1).double().mean())


# ------------------------------------------------------------------------------------------------ probabilities


def step_log_probs(logits_N: Tensor, picks_SK: Tensor) -> Tensor:
    """Log-probability of each pick among what was left, (S, K), differentiable; 0 where the list had ended.

    ``u_c - logsumexp(u over what is left)``: never ``1 - sum p``, which cancels to nothing for a peaked policy. Raises
    :class:`InvalidInput` if a row picks a column twice.

    >>> step_log_probs(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([[1, 0, 2]])).exp().tolist()
    [[0.333333..., 0.5, 1.0]]
    """
    left = _left(logits_N, picks_SK)
    chosen = picks_SK.clamp_min(0).unsqueeze(-1)
    if not bool(left.gather(-1, chosen).all()):
        raise InvalidInput("a row of picks holds the same column twice; picks are drawn without replacement")
    every = logits_N.unsqueeze(-2).unsqueeze(-2)
    total = every.masked_fill(~left, -torch.inf).logsumexp(dim=-1)
    picked = every.expand(left.shape).gather(-1, chosen).squeeze(-1)
    return (picked - total).masked_fill(picks_SK < 0, 0.0)


def step_kl(policy_logits_N: Tensor, reference_logits_N: Tensor, picks_SK: Tensor) -> Tensor:
    """KL(policy ‖ reference) over what is left at each visited state, exact, (S, K); 0 where the list had ended.

    Its gradient is that of the divergence at these states; how the policy's choices change the states is left out.

    >>> two = torch.tensor([0.0, 0.0]), torch.tensor([0.0, 3.0]).log1p()  # (1/2, 1/2) against (1/5, 4/5)
    >>> round(step_kl(*two, torch.tensor([[0]])).item(), 6)  # log(5/4)
    0.223144
    """
    left = _left(policy_logits_N, picks_SK)
    log_p = _log_softmax(policy_logits_N, left)
    log_q = _log_softmax(reference_logits_N, left)
    terms = log_p.exp() * (log_p - log_q).masked_fill(~left, 0.0)
    return terms.sum(dim=-1).masked_fill(picks_SK < 0, 0.0)


def step_entropy(logits_N: Tensor, picks_SK: Tensor) -> Tensor:
    """Entropy in nats over what is left at each visited state, (S, K), in [0, log N]; 0 where the list had ended.

    >>> step_entropy(torch.zeros(4), torch.tensor([[0, 1]])).exp().round().tolist()
    [[4.0, 3.0]]
    """
    left = _left(logits_N, picks_SK)
    log_p = _log_softmax(logits_N, left)
    terms = log_p.exp() * log_p.masked_fill(~left, 0.0)
    return -terms.sum(dim=-1).masked_fill(picks_SK < 0, 0.0)


def _left(logits_N: Tensor, picks_SK: Tensor) -> Tensor:
    """What each step could choose from, (S, K, N); all of it where the list had ended, where nothing is read."""
    ended = (picks_SK < 0).unsqueeze(-1)
    picked = torch.zeros((*picks_SK.shape, logits_N.shape[-1]), dtype=torch.bool, device=picks_SK.device)
    picked = picked.scatter(-1, picks_SK.clamp_min(0).unsqueeze(-1), ~ended)
    times = picked.cumsum(dim=-2, dtype=torch.int32) - picked.int()
    return (times == 0) | ended


def _log_softmax(logits_N: Tensor, left: Tensor) -> Tensor:
    return logits_N.unsqueeze(-2).unsqueeze(-2).masked_fill(~left, -torch.inf).log_softmax(dim=-1)
