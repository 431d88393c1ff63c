"""Arithmetic on scores that fusing, merging and filling in share: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence


def impute(scores: Sequence[float]) -> tuple[list[float], tuple[int, ...]]:
    """Scores with the missing ones (NaN) filled in so that each such passage keeps about its first-stage place.

    ``scores`` are in first-stage order. A missing score at place i of n becomes the quantile 1 − i/(n − 1) of the
    scores that are there: the first stage's opinion, in the model's units. Returns the scores, and the places filled
    in. With no score at all, all become 0 (ties keep the first-stage order).
    """
    missing = tuple(i for i, score in enumerate(scores) if math.isnan(score))
    if not missing:
        return list(scores), ()
    known = sorted((score for score in scores if not math.isnan(score)), reverse=True)
    if not known:
        return [0.0] * len(scores), missing
    filled = list(scores)
    for i in missing:
        place = i / (len(scores) - 1) * (len(known) - 1)  # a missing one beside a known one: at least two scores
        low = math.floor(place)
        drop = known[low] - known[min(low + 1, len(known) - 1)]
        filled[i] = known[low] - drop * (place - low) if math.isfinite(drop) else known[low]
    return filled, missing


def standardised(scores: Sequence[float]) -> list[float]:
    """(s − mean) / standard deviation (of the population); all 0 where all are equal."""
    if not scores:
        return []
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    # equal scores may differ from their mean by rounding; that is no deviation
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return [0.0] * len(scores)
    return [(score - mean) / deviation for score in scores]


def in_unit_range(scores: Sequence[float]) -> list[float]:
    """(s − min) / (max − min), in [0, 1]; all 0 where all are equal."""
    if not scores:
        return []
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 0.0 for score in scores]
