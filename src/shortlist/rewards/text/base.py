"""What a reward of text policies is: replies in, a level each out; and weighted sums of them.

A policy is shown a lesson's slate and replies; the prompt's own parser has read the reply into a verdict before it comes
here. All replies of a training step are scored in one call, so a reward may look at a whole group (the replies to one
lesson, known by the lesson's identity) or at a whole query.

``None`` is "cannot be scored" (nothing in the lesson to score by, a model that did not answer): counted and masked by
whoever uses it, never zero. A *reply* that says nothing is another thing: it is worth the least that the reward gives,
so that failing never pays and failures stay in the denominator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput
from shortlist.rewards.base import Reward, WeightedSum
from shortlist.types import Status, Verdict


@dataclass(frozen=True, slots=True)
class Reply:
    """A policy's reply to a lesson: its text, what the prompt's parser says of it, and its length in tokens.

    Replies are a group if their ``lesson`` is one object. ``weight``: what it counts for among them, where all replies are
    told instead of some drawn: how likely it is.
    """

    lesson: Lesson
    text: str
    verdict: Verdict
    tokens: int = 0
    weight: float = 1.0


class TextReward(Reward[Reply], Protocol):
    """Scores replies, all of a step at once."""


@runtime_checkable
class PassageReward(TextReward, Protocol):
    """A reward that knows what each passage's score in a reply is worth."""

    def credit(self, replies: Sequence[Reply], /) -> list[list[float] | None]:
        """One level a passage, by the places of the reply's slate; ``None``: it cannot be scored. ``score`` is their mean."""


class WeightedTextReward(WeightedSum[Reply]):
    """A weighted sum of rewards of replies; ``score_parts`` tells every part, to be logged by its name."""

    @property
    def credits_passages(self) -> bool:
        """Whether any part knows what single passages are worth."""
        return any(isinstance(part, PassageReward) for part, _ in self.parts)

    def credit(self, replies: Sequence[Reply], /) -> list[list[float]]:
        """The weighted credit of each passage, by place, over the parts that know it; empty where one of them has none."""
        found = [(part.credit(replies), weight) for part, weight in self.parts if isinstance(part, PassageReward)]
        out: list[list[float]] = []
        for i in range(len(replies)):
            told = [(column[i], weight) for column, weight in found]
            known = [[weight * level for level in levels] for levels, weight in told if levels is not None]
            out.append([math.fsum(each) for each in zip(*known, strict=True)] if len(known) == len(told) else [])
        return out


Shape: TypeAlias = Callable[[Sequence[float | None]], Sequence[float | None]]
"""What turns a group's rewards into others, one for one; see :mod:`shortlist.rewards.text.shaping`."""


def grouped(replies: Sequence[Reply]) -> list[list[int]]:
    """The places of each group's replies, groups in the order they came."""
    places: dict[int, list[int]] = {}
    for place, reply in enumerate(replies):
        places.setdefault(id(reply.lesson), []).append(place)
    return list(places.values())


def shaped(replies: Sequence[Reply], rewards: Sequence[float | None], shape: Shape) -> list[float | None]:
    """The rewards of a step, each group's put through ``shape`` by itself."""
    if len(rewards) != len(replies):
        raise InvalidInput(f"{len(rewards)} rewards for {len(replies)} replies; give one each")
    out: list[float | None] = [None] * len(replies)
    for places in grouped(replies):
        for place, level in zip(places, shape([rewards[place] for place in places]), strict=True):
            out[place] = level
    return out


def readable(verdict: Verdict, *, strict: bool) -> bool:
    """Whether a verdict counts: ``strict`` takes only a well-formed, whole reply; otherwise whatever could be read.

    Training rewards are strict: what a lenient parser can still make out at inference is not what should be learnt.
    """
    return verdict.status is Status.OK if strict else verdict.status is not Status.FAILED
