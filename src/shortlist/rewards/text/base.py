"""What a reward of text policies is: replies in, a level each out; and weighted sums of them.

A policy is shown a lesson's slate and replies; the prompt's own parser has read the reply into a verdict before it comes
here. All replies of a training step are scored in one call, so a reward may look at a whole group (the replies to one
lesson, known by the lesson's identity) or at a whole query.

``None`` is "cannot be scored" (nothing in the lesson to score by, a model that did not answer): counted and masked by
whoever uses it, never zero. A *reply* that says nothing is another thing: it is worth the least that the reward gives,
so that failing never pays and failures stay in the denominator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

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
    """A reward that knows what each passage's score adds."""

    def credit(self, replies: Sequence[Reply], /) -> list[list[float] | None]:
        """The advantage of each passage's score over those that the group's replies give the passage, by place.

        ``None``: the reply cannot be scored, or does not count.
        """


class Credited(NamedTuple):
    """What a reply has of rewards that know passages: their ``level``, and what each passage's score adds, by place.

    ``passages`` is empty where the reply cannot be scored, or does not count.
    """

    level: float
    passages: tuple[float, ...]


class WeightedTextReward(WeightedSum[Reply]):
    """A weighted sum of rewards of replies; ``score_parts`` tells every part, to be logged by its name."""

    @property
    def knows_passages(self) -> bool:
        """Whether any part is a :class:`PassageReward`."""
        return any(isinstance(part, PassageReward) for part, _ in self.parts)

    def credit(self, replies: Sequence[Reply], /) -> list[Credited]:
        """The weighted sum over the parts that know passages.

        Raises:
            InvalidInput: a part gives no level a passage.
        """
        levels, sums = [0.0] * len(replies), [[0.0] * len(reply.lesson) for reply in replies]
        for part, weight in self.parts:
            if not isinstance(part, PassageReward):
                continue
            for i, (level, told) in enumerate(zip(part.score(replies), part.credit(replies), strict=True)):
                levels[i] += weight * (level or 0.0)
                if told is not None and len(told) != len(replies[i].lesson):
                    known = f"{len(told)} passages of {len(replies[i].lesson)}"
                    raise InvalidInput(f"reward {part.name!r} credits {known}; give a level for each")
                sums[i] = (
                    [] if told is None else [one + weight * more for one, more in zip(sums[i], told, strict=False)]
                )
        return [Credited(level, tuple(told)) for level, told in zip(levels, sums, strict=True)]


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
