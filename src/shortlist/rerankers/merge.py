"""Merging verdicts of several slates into one ranking: pure functions."""

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
        place = i / (len(scores) - 1) * (len(known) - 1) if len(scores) > 1 else 0.0
        low = math.floor(place)
        high = min(low + 1, len(known) - 1)
        filled[i] = known[low] + (known[high] - known[low]) * (place - low)
    return filled, missing
