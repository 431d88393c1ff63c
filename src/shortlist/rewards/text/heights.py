"""How high a verdict puts each passage of its slate: one reading of choices, orders and scores, ties included."""

from __future__ import annotations

import math

from shortlist.errors import InvalidInput
from shortlist.rewards.text.base import Reply
from shortlist.types import Choice, Judgement, ScoredJudgement


def heights(reply: Reply) -> list[float]:
    """A height for each place, higher is better; equal heights are tied, whatever the slate's order.

    Of a choice, the passage chosen stands over all others. Of an order, what is missing and what lies after the cutoff
    was given no order and is tied at the bottom. Scores are taken as they are; what has none stands under all.

    Raises:
        InvalidInput: the verdict is not one of this lesson's slate.
    """
    verdict, n = reply.verdict, len(reply.lesson)
    if isinstance(verdict, Choice) and verdict.best in range(n):
        return [float(i == verdict.best) for i in range(n)]
    if isinstance(verdict, ScoredJudgement):
        return [-math.inf if math.isnan(score) else score for score in scores(reply)]
    if not isinstance(verdict, Judgement) or sorted(verdict.order) != list(range(n)):
        raise InvalidInput(
            f"a slate of {n} passages has the verdict {str(verdict)[:200]}; parse it with its own prompt"
        )
    stated = verdict.order[: n - len(verdict.missing)][: verdict.cutoff]
    rank = {place: rank for rank, place in enumerate(stated)}
    return [float(n - rank[i]) if i in rank else 0.0 for i in range(n)]


def top_places(reply: Reply) -> frozenset[int]:
    """The places that stand highest: one, unless some tie."""
    height = heights(reply)
    return frozenset(i for i, each in enumerate(height) if each == max(height))


def scores(reply: Reply) -> tuple[float, ...]:
    """The verdict's scores by place, NaN where there is none.

    Raises:
        InvalidInput: the prompt gives no scores, or the verdict is not one of this lesson's slate.
    """
    verdict, n = reply.verdict, len(reply.lesson)
    if not isinstance(verdict, ScoredJudgement):
        raise InvalidInput(
            f"the reward needs scores, and the prompt gives a {type(verdict).__name__}; use one that scores"
        )
    if len(verdict.scores) != n:
        raise InvalidInput(f"a slate of {n} passages has {len(verdict.scores)} scores; parse it with its own prompt")
    return verdict.scores
