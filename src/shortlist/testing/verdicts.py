"""What makes a verdict valid, whoever gives it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from shortlist.types import Choice, Judgement, ScoredJudgement, Status, Verdict


def check_verdict(verdict: Verdict, n: int) -> None:
    """Raise :class:`AssertionError` if a verdict on ``n`` passages contradicts itself."""
    for fault in faults(verdict, n):
        raise AssertionError(f"{fault}: {verdict!r}"[:2000])


def faults(verdict: Verdict, n: int) -> Iterator[str]:
    """What is wrong with a verdict on ``n`` passages; nothing if it is valid."""
    if (verdict.status is Status.OK) != (not verdict.problems):
        yield f"status {verdict.status} with problems {verdict.problems}"
    if isinstance(verdict, Choice):
        yield from _of_choice(verdict, n)
    elif isinstance(verdict, Judgement):
        yield from _of_judgement(verdict, n)
        if isinstance(verdict, ScoredJudgement):
            yield from _of_scores(verdict, n)
    else:
        yield f"a {type(verdict).__name__} is neither a choice nor a judgement"


def _of_choice(choice: Choice, n: int) -> Iterator[str]:
    if choice.best is not None and not 0 <= choice.best < n:
        yield f"the best of {n} is {choice.best}"
    if (choice.best is None) != (choice.status is Status.FAILED):
        yield f"status {choice.status} with best {choice.best}"
    shares = choice.shares
    if shares is not None and (len(shares) != n or min(shares) < 0 or not math.isclose(sum(shares), 1)):
        yield f"not {n} shares that sum to 1"


def _of_judgement(judgement: Judgement, n: int) -> Iterator[str]:
    order, missing = judgement.order, judgement.missing
    if len(order) != n or set(order) != set(range(n)):
        yield f"not a permutation of {n}"
    if judgement.cutoff is not None and not 0 <= judgement.cutoff <= n:
        yield f"cutoff {judgement.cutoff} of {n}"
    if order[n - len(missing) :] != missing or any(a >= b for a, b in itertools.pairwise(missing)):
        yield "the missing do not end the order, in the slate's order"
    lost = n > 0 and len(missing) == n
    if lost != (judgement.status is Status.FAILED) and n > 0:
        yield f"{judgement.status}, but {len(missing)} of {n} are missing"
    if missing and judgement.status not in {Status.PARTIAL, Status.FAILED}:
        yield f"{judgement.status}, but {len(missing)} of {n} are missing"


def _of_scores(judgement: ScoredJudgement, n: int) -> Iterator[str]:
    scores = judgement.scores
    if len(scores) != n or tuple(i for i, score in enumerate(scores) if math.isnan(score)) != judgement.missing:
        yield f"not {n} scores that are NaN exactly where a passage is missing"
        return
    known = [scores[i] for i in judgement.order[: n - len(judgement.missing)]]
    if any(a < b for a, b in itertools.pairwise(known)) or any(map(math.isinf, known)):
        yield "the order does not follow the scores, or a score is infinite"
