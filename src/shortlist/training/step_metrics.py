"""The numbers of a step: taken query by query, so that they are the same however the queries were shared out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from shortlist.rewards.counters import Counters
from shortlist.training import plackett_luce as pl
from shortlist.training.experience import Experience, Sampler
from shortlist.training.losses import masked_mean

_EQUAL = 1e-9


def query_facts(
    one: Experience, scores_N: torch.Tensor, sampler: Sampler, *, loss: float, clipped: float
) -> dict[str, Any]:
    """What one query adds to a step's metrics, at the scores that were trained on.

    ``kl`` and ``entropy`` are nats a pick; ``greedy`` is the share of samples that keep the greedy set; ``parts`` are
    those of the reward; ``lengths`` say how many samples kept so many. NaN: not known.
    """
    logits_N, reference_N = sampler.logits(scores_N.detach()), sampler.logits(one.reference_N)
    picked_SK = one.picks_SK >= 0
    told: dict[str, Any] = {
        "loss": loss,
        "clipped": clipped,
        "kl": float(masked_mean(pl.step_kl(logits_N, reference_N, one.picks_SK), picked_SK)),
        "entropy": float(masked_mean(pl.step_entropy(logits_N, one.picks_SK), picked_SK)),
        "greedy": pl.greedy_share(one.picks_SK, sampler.greedy(one.scores_N)),
        "kept": float(one.lengths_S.mean()),
        "lengths": dict(Counter(one.lengths_S.tolist())),
    }
    return told | (_rewards(one) if one.levels_SK is not None else {"reward": _mean(one.alone_N)})


def _rewards(one: Experience) -> dict[str, Any]:
    last_S, known_SK = one.last_S, np.asarray(one.advantages_SK)[(one.picks_SK >= 0).numpy()]
    scored_S = last_S[~np.isnan(last_S)]
    return {
        "reward": _mean(last_S),
        "parts": {name: _mean(values) for name, values in (one.parts_SK or {}).items()},
        "zero_variance": float(len(scored_S) == 0 or np.ptp(scored_S) < _EQUAL),
        "failed": float(np.isnan(last_S).mean()),
        "advantage": _mean(known_SK),
        "advantage_size": _mean(np.abs(known_SK)),
    }


def step_facts(queries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the queries that have a number; ``k``: how many samples kept so many passages."""
    names = dict.fromkeys(name for told in queries for name in told)
    parts = dict.fromkeys(name for told in queries for name in told.get("parts", {}))
    counts: Counter[int] = Counter()
    for told in queries:
        counts.update(told["lengths"])
    means: dict[str, Any] = {
        name: _mean([told[name] for told in queries if name in told]) for name in names if name not in _NESTED
    }
    if parts:
        means["parts"] = {
            name: _mean([t["parts"][name] for t in queries if name in t.get("parts", {})]) for name in parts
        }
    return {**means, "k": {str(length): counts[length] for length in sorted(counts)}}


_NESTED = {"parts", "lengths"}


def cost_facts(before: Counters, now: Counters, *, spent: int, seconds: float, waiting: float) -> dict[str, Any]:
    """What was asked of the reader in a step and what was saved, and how long it took."""
    made, requested = now.made - before.made, now.requested - before.requested
    told = {"made": made, "saved": requested - made, "failed": now.failed - before.failed}
    told |= {"tokens": now.tokens - before.tokens, "spent": spent}
    return {**told, "seconds": seconds, "waiting": waiting, "reading": now.seconds - before.seconds}


def _mean(values: Any) -> float:
    known = (
        [float(value) for value in np.asarray(values, dtype=float).ravel() if not math.isnan(value)]
        if values is not None
        else []
    )
    return math.fsum(known) / len(known) if known else math.nan
