"""Reading likelihoods: total functions from the log-probabilities of fixed replies to shares."""

from __future__ import annotations

import math
from collections.abc import Sequence


def shares_of(logprobs: Sequence[float]) -> tuple[float, ...] | None:
    """The probabilities of the replies among themselves, ``softmax(logprobs)``; ``None`` if nothing is known of any.

    A reply that the model was not seen to give (``-inf``, NaN) has share 0.

    >>> shares_of((0.0, 0.0))
    (0.5, 0.5)
    """
    known = [value if value < math.inf else -math.inf for value in logprobs]  # NaN and +inf: unknown
    top = max(known, default=-math.inf)
    if top == -math.inf:
        return None
    weights = [math.exp(value - top) for value in known]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def exclusive(labels: Sequence[str], logprobs: Sequence[float], tokens: Sequence[int]) -> tuple[float, ...]:
    """Log-probabilities of saying each label *and no longer one*.

    Where a tokenizer spells "10" as "1", "0", the probability of "1" holds that of "10": a sure ten would look like an
    even split. So from each label the probability is taken of those labels that go on from it, token by token (they
    begin with it and have more tokens). Labels of one token are left alone, and so is all if ``tokens`` are not known.

    >>> [round(math.exp(p), 2) for p in exclusive(("1", "10"), (math.log(0.9), math.log(0.8)), (1, 2))]
    [0.1, 0.8]
    """
    if not len(labels) == len(logprobs) == len(tokens) or len(set(tokens)) < 2:
        return tuple(logprobs)
    left = list(logprobs)
    for i, label in enumerate(labels):
        longer = [j for j, other in enumerate(labels) if tokens[j] > tokens[i] and other.startswith(label)]
        nested = _minimal(longer, labels)
        if nested and logprobs[i] > -math.inf:
            rest = 1 - math.fsum(math.exp(min(0.0, logprobs[j] - logprobs[i])) for j in nested)
            left[i] = logprobs[i] + math.log(rest) if rest > 0 else -math.inf
    return tuple(left)


def _minimal(longer: Sequence[int], labels: Sequence[str]) -> list[int]:
    """Those that go on from no other of them, lest a probability be taken twice."""
    return [j for j in longer if not any(k != j and labels[j].startswith(labels[k]) for k in longer)]
