"""What replies are worth: a recipe's words made into rewards, and a step's replies put through them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.rerankers.spec import read_options
from shortlist.rewards.text import Reply, Tools, WeightedTextReward, make_weighted, needs, shaped
from shortlist.rewards.text.base import Credited, Shape
from shortlist.training.text.advantages import flat_share
from shortlist.training.text.development import FORMAT
from shortlist.training.text.forms import completion
from shortlist.types import Judgement, Status, Verdict

_MOST_DRY = 2
"""So many first calls in which nothing can be scored are no accident."""

_PLACES = 9
"""Rewards that agree to so many decimal places are shaped as equals, or rounding alone would tell a best from a worst."""

_PART = re.compile(r"\s*(?:([-+]?[0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s+)?([\w.@-]+)(?:\?(\S*))?\s*")


def read_parts(words: str) -> list[tuple[float, str, dict[str, Any]]]:
    """Weight, name and options of each part of ``0.8 relative-ndcg?k=10 + 0.1 rearank-form``; a weight left out is 1."""
    parts = []
    for piece in re.split(r"\s\+\s", words):
        found = _PART.fullmatch(piece)
        if found is None:
            raise InvalidInput(f"the reward {piece.strip()!r} cannot be read; write WEIGHT NAME?option=value + …")
        options = read_options(found[3], piece) if found[3] else {}
        parts.append((float(found[1] or 1), found[2], {name: yaml.safe_load(value) for name, value in options.items()}))
    return parts


def weighted(words: str, tools: Tools | None = None) -> WeightedTextReward:
    """The weighted reward that a recipe names; ``tools`` are the models that its parts ask."""
    named: dict[str, dict[str, Any]] = {}
    for weight, name, options in read_parts(words):
        called = str(options.pop("name", name))
        if called in named:
            raise InvalidInput(f"the reward {called!r} comes twice in {words!r}; name one, as {name}?name=other")
        named[called] = {"kind": name, "weight": weight, **options}
    return make_weighted(named, tools)


def tools_needed(words: str) -> frozenset[str]:
    """The models that a recipe's reward asks: desk (a reader), embedder, judge."""
    return frozenset(tool for _, name, _ in read_parts(words) for tool in needs(name))


def unscorable(prompt: Any, lessons: Sequence[Lesson], reward: WeightedTextReward) -> list[int]:
    """The places of lessons that hold nothing the reward could score a reply by: a well-formed one has no level."""
    replies = []
    for lesson in lessons:
        shown = tuple(range(len(lesson)))
        target = Target(order=shown, scores=(0.0,) * len(shown), subset=shown, reasoning="-")
        text = completion(prompt, target, lesson.slate)
        replies.append(Reply(lesson, text, prompt.parse(text, lesson.slate)))
    return [place for place, one in enumerate(reward.score_parts(replies)) if one.total is None]


@dataclass
class StepScorer:
    """Scores a step's replies in one call; ``facts`` then holds what the log is told of them.

    ``reward`` gives the reward of the moment: one that asks the policy itself is another after every step. ``shape`` turns
    a group's rewards into what is learnt from (the replies to one lesson are a group); the log is told the rewards
    themselves.
    """

    lessons: Sequence[Lesson]
    prompt: Any
    reward: Callable[[], WeightedTextReward]
    samples: int
    shape: Shape | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    _dry: int = 0
    _seen: bool = False

    def replies(
        self, places: Sequence[int], texts: Sequence[str], lengths: Sequence[int], weights: Sequence[float]
    ) -> list[Reply]:
        """The texts, read by the prompt's own parser."""
        return [
            Reply(self.lessons[place], text, self.prompt.parse(text, self.lessons[place].slate), length, weight)
            for place, text, length, weight in zip(places, texts, lengths, weights, strict=True)
        ]

    def __call__(
        self,
        places: Sequence[int],
        texts: Sequence[str],
        lengths: Sequence[int],
        weights: Sequence[float] | None = None,
    ) -> list[float | None]:
        """What each is worth, in its shape; ``None`` where it cannot be scored. ``weights``: none where replies were drawn."""
        replies = self.replies(places, texts, lengths, weights or [1.0] * len(texts))
        scored = self.reward().score_parts(replies)
        totals = [one.total for one in scored]
        self._seen |= any(total is not None for total in totals)
        self._dry += not self._seen
        if self._dry == _MOST_DRY:
            raise InvalidInput(
                f"no reply of the first {_MOST_DRY} steps can be scored by the reward ({', '.join(scored[0].parts)}): "
                "do the lessons hold what it needs (grades, a teacher, answers)?"
            )
        self.facts.clear()
        self.facts.update(self._told(replies, totals))
        shares = [reply.weight for reply in replies]
        self.facts["parts"] = {n: weighted_mean([one.parts[n] for one in scored], shares) for n in scored[0].parts}
        return totals if self.shape is None else shaped(replies, _rounded(totals), self.shape)

    def credit(self, places: Sequence[int], texts: Sequence[str]) -> list[Credited]:
        """What the passages' scores add, of the same replies."""
        return self.reward().credit(self.replies(places, texts, [0] * len(texts), [1.0] * len(texts)))

    def _told(self, replies: Sequence[Reply], totals: Sequence[float | None]) -> dict[str, Any]:
        kept = [_kept(reply.verdict) for reply in replies]
        counts = Counter(k for k in kept if k is not None)
        shares = [reply.weight for reply in replies]
        told = len(replies) if set(shares) == {1.0} else len(replies) / self.samples  # likelihoods: 1 a lesson at most
        return {
            "reward": weighted_mean(totals, shares),
            "failed": sum(total is None for total in totals) / len(totals),
            "zero_variance": flat_share(totals, self.samples),
            FORMAT: math.fsum(share for reply, share in zip(replies, shares, strict=True) if _well(reply)) / told,
            "length": weighted_mean([float(reply.tokens) for reply in replies], shares),
            **(
                {"kept": weighted_mean(kept, shares), "k": {str(k): counts[k] for k in sorted(counts)}}
                if counts
                else {}
            ),
        }


def weighted_mean(values: Sequence[float | None], weights: Sequence[float]) -> float:
    """Over what is known; NaN where nothing is."""
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None and not math.isnan(v)]
    whole = math.fsum(weight for _, weight in known)
    return math.fsum(value * weight for value, weight in known) / whole if whole else math.nan


def _rounded(totals: Sequence[float | None]) -> list[float | None]:
    return [None if total is None else round(total, _PLACES) for total in totals]


def _well(reply: Reply) -> bool:
    return reply.verdict.status is Status.OK


def _kept(verdict: Verdict) -> int | None:
    return verdict.cutoff if isinstance(verdict, Judgement) else None
