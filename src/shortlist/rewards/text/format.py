"""Rewards of form: the published ladders, read from the reply's own text and its verdict.

They say nothing of what was chosen, so they can always score; put one beside a reward of content, which gives a reply
that does not count its least. ``strict`` asks that the reply be well-formed *and whole*, as a reward should; without it
the form alone counts, as the published code reads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from shortlist.errors import InvalidInput
from shortlist.rewards.text.base import Reply
from shortlist.text.parsing import named, read_list
from shortlist.text.reasoning import split_reply
from shortlist.types import Status


@dataclass(frozen=True)
class RearankFormat:
    """``blocks`` for reasoning followed by a tagged answer, and ``listing`` for an answer like ``[2] > [1]``: added up.

    ``strict``: the listing must name every passage once, too. REARANK, arXiv 2505.20046, section 3.3: 0.1 each.
    """

    blocks: float = 0.1
    listing: float = 0.1
    _: KW_ONLY
    strict: bool = True
    name: str = "rearank-format"

    def __post_init__(self) -> None:
        _check_levels(blocks=self.blocks, listing=self.listing)
        if min(self.blocks, self.listing) < 0 or self.blocks + self.listing == 0:
            raise InvalidInput(f"blocks {self.blocks}, listing {self.listing}: give levels from 0, not both 0")

    @property
    def bounds(self) -> tuple[float, float]:
        """From neither to both."""
        return 0.0, self.blocks + self.listing

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [
            self.blocks * has_blocks(reply.text) + self.listing * has_listing(reply, whole=self.strict)
            for reply in replies
        ]


@dataclass(frozen=True)
class GroupRankFormat:
    """0 for a reply in form; ``scores`` if its tags are right and its scores are not; else ``tags``.

    ``tagged`` says whether the prompt asks for reasoning and tags at all; if not, ``tags`` is for replies that no score
    can be read from. ``strict``: all scores in the form asked for, for every passage; otherwise some could be read.
    GroupRank, arXiv 2511.11653 (v3), section 3.3.
    """

    tags: float = -0.5
    scores: float = -0.1
    _: KW_ONLY
    tagged: bool = True
    strict: bool = True
    name: str = "grouprank-format"

    def __post_init__(self) -> None:
        _check_levels(tags=self.tags, scores=self.scores)
        if not self.tags <= self.scores <= 0 or self.tags == 0:
            raise InvalidInput(
                f"tags {self.tags}, scores {self.scores}: give a ladder from tags up to scores, at most 0"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """From the lowest rung to well-formed."""
        return self.tags, 0.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [self._one(reply) for reply in replies]

    def _one(self, reply: Reply) -> float:
        status = reply.verdict.status
        tags = has_blocks(reply.text) if self.tagged else status is not Status.FAILED
        if not tags:
            return self.tags
        whole = status is Status.OK if self.strict else status is not Status.FAILED
        return 0.0 if whole else self.scores


@dataclass(frozen=True)
class ReasonRankFormat:
    """``tags`` without the right tags, ``incomplete`` if its list is not whole (wrong count, doubles), else ``whole``.

    The published ladder is -1, 0, and then what the list earns: a strict reward of content beside this one gives that.
    ReasonRank, arXiv 2508.07050.
    """

    tags: float = -1.0
    incomplete: float = 0.0
    whole: float = 0.0
    _: KW_ONLY
    name: str = "reasonrank-format"

    def __post_init__(self) -> None:
        _check_levels(tags=self.tags, incomplete=self.incomplete, whole=self.whole)
        if not self.tags < self.whole or not self.tags <= self.incomplete <= self.whole:
            told = f"tags {self.tags}, incomplete {self.incomplete}, whole {self.whole}"
            raise InvalidInput(f"{told}: give a ladder that rises from tags to whole")

    @property
    def bounds(self) -> tuple[float, float]:
        """From the lowest rung to the highest."""
        return self.tags, self.whole

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [self._one(reply) for reply in replies]

    def _one(self, reply: Reply) -> float:
        if not has_blocks(reply.text):
            return self.tags
        return self.whole if reply.verdict.status is Status.OK else self.incomplete


@dataclass(frozen=True, kw_only=True)
class StatusFormat:
    """A level for each status of the verdict: for prompts that ask for no tags, and for small models."""

    ok: float = 1.0
    repaired: float = 0.5
    partial: float = 0.25
    failed: float = 0.0
    name: str = "status-format"

    def __post_init__(self) -> None:
        _check_levels(ok=self.ok, repaired=self.repaired, partial=self.partial, failed=self.failed)
        levels = (self.failed, self.partial, self.repaired, self.ok)
        if list(levels) != sorted(levels) or self.failed == self.ok:
            raise InvalidInput(f"levels {levels} from failed to ok: give a ladder that rises")

    @property
    def bounds(self) -> tuple[float, float]:
        """From failed to ok."""
        return self.failed, self.ok

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply."""
        return [float(getattr(self, reply.verdict.status.value)) for reply in replies]


@dataclass(frozen=True)
class ReplyCost:
    """``-tokens / scale``, never below -1: what the reply itself costs to write."""

    scale: float = 1024.0
    _: KW_ONLY
    name: str = "reply-cost"

    def __post_init__(self) -> None:
        if not (self.scale > 0 and math.isfinite(self.scale)):
            raise InvalidInput(f"scale is {self.scale}; give how many tokens cost 1, a number above 0")

    @property
    def bounds(self) -> tuple[float, float]:
        """From ``scale`` tokens or more to none."""
        return -1.0, 0.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """The cost of each reply."""
        return [-min(1.0, max(0, reply.tokens) / self.scale) for reply in replies]


def has_blocks(text: str) -> bool:
    """Whether a whole block of reasoning and one whole tagged answer are there (an opening in the prompt counts)."""
    reply = split_reply(text)
    return reply.tagged and reply.reasoned and not reply.problems


def has_listing(reply: Reply, *, whole: bool) -> bool:
    """Whether the answer is a list like ``[2] > [1]``; ``whole``: and names every passage of the slate once."""
    answer = split_reply(reply.text).answer
    listed = None if answer is None else read_list(answer, ">")
    if listed is None or not listed.asked:
        return False
    positions, problems = named(listed.identifiers, len(reply.lesson))
    return not whole or (not problems and len(positions) == len(reply.lesson))


def _check_levels(**levels: float) -> None:
    for name, level in levels.items():
        if not math.isfinite(level):
            raise InvalidInput(f"{name} is {level}; give a finite level")
