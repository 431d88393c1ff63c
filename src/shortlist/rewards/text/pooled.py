"""Rewards of pointwise scores by where they stand among all scores of one query: ERank's (arXiv 2509.00520, section 3.3).

A *pool* is all replies of a step to lessons of one query (its id and text, and ``meta["pool"]`` if lessons of one query
are to be kept apart): of 20 passages and 5 replies each, 100 scores. So a step has to hold a query's lessons together,
its relevant ones among them; a pool without any cannot be scored.

What a score is ranked among is ``ranks``: ``"rollout"`` as published, all scores of the pool, so that a level depends on
how many replies there are of each passage and five replies of one good passage push the next down to rank 6; or
``"document"`` (the default), the mean scores of the *other* passages, which does not.

Ties count against the reply (``ties="worst"``, the default): a relevant passage stands below the others that have its score,
and another that has a relevant one's score stands above it. As published (``"best"``) equal scores share the best rank: one
score for all passages then earns more than any honest order, and a policy under training finds that within ten steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics.ranking import linear_gains
from shortlist.rewards.text.base import Reply, readable
from shortlist.rewards.text.gold import check_rel
from shortlist.rewards.text.heights import scores
from shortlist.text.pointwise import TOP

Floats: TypeAlias = npt.NDArray[np.float64]
Ranks: TypeAlias = Literal["document", "rollout"]
Ties: TypeAlias = Literal["worst", "best"]
_RANKS: Final = ("document", "rollout")
_TIES: Final = ("worst", "best")


@dataclass(frozen=True)
class PooledRank:
    """ERank's reward: of a relevant passage ``1 / rank``; of another -1 above all relevant ones, -1/2 above some.

    Below all relevant ones a passage earns ``(1 - ((score - teacher) / top)**2) / 2``. The teacher's score
    is the target's, else the lesson's, on the policy's scale of 0 to ``top``; 0 for a passage that it did not score. A reply
    that does not count earns ``unformatted``, below all else. A slate of several passages earns their mean. In
    ``[unformatted, 1]``. Relevant is a grade of ``rel`` or more.

    The published constants are lost (an image); these are ours, of the same shape, bounded.
    """

    unformatted: float = -1.5
    _: KW_ONLY
    ranks: Ranks = "document"
    ties: Ties = "worst"
    rel: float = 1.0
    top: float = float(TOP)
    strict: bool = True
    name: str = "pooled-rank"

    def __post_init__(self) -> None:
        _check(self.ranks, self.rel, self.top, self.ties)
        if not -100 <= self.unformatted <= -1:
            raise InvalidInput(f"unformatted is {self.unformatted}; give a level of at most -1")

    @property
    def bounds(self) -> tuple[float, float]:
        """From a reply that does not count to the best rank."""
        return self.unformatted, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply; ``None``: its pool holds nothing relevant."""
        levels: list[float | None] = [None] * len(replies)
        for pool in _pools(replies, self.rel, strict=self.strict):
            for place, told in pool.by_reply() if pool.relevant else ():
                levels[place] = math.fsum(self._one(pool, entry) for entry in told) / len(told)
        return levels

    def _one(self, pool: _Pool, entry: _Entry) -> float:
        if entry.score is None:
            return self.unformatted
        if entry.relevant:
            return 1 / pool.rank(entry, self.ranks, self.ties)
        above = pool.above_relevant(entry, self.ranks, self.ties)
        if any(above):
            return -1.0 if all(above) else -0.5
        return (1 - _square(entry.score, _on_scale(entry.teacher or 0.0, self.top), self.top)) / 2


@dataclass(frozen=True)
class PooledNDCG:
    """What a passage adds to the nDCG of its pool: ``(1 / log2(rank + 1)) / IDCG`` if relevant, in [-1, 1].

    Another passage takes as much away if it stands above a relevant one, else it earns 0; a reply that does not count
    earns -1. The ideal holds every relevant passage once (with ``ranks="rollout"``, every reply to one). ERank's
    alternative reward; what passages that are not relevant earn is ours.
    """

    _: KW_ONLY
    ranks: Ranks = "document"
    ties: Ties = "worst"
    rel: float = 1.0
    strict: bool = True
    name: str = "pooled-ndcg"

    def __post_init__(self) -> None:
        _check(self.ranks, self.rel, 1.0, self.ties)

    @property
    def bounds(self) -> tuple[float, float]:
        """From the worst of others, or a reply that does not count, to the only relevant one at the top."""
        return -1.0, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply; ``None``: its pool holds nothing relevant."""
        levels: list[float | None] = [None] * len(replies)
        for pool in _pools(replies, self.rel, strict=self.strict):
            if not pool.relevant:
                continue
            ideal = math.fsum(_discount(rank) for rank in range(1, pool.count(self.ranks) + 1))
            for place, told in pool.by_reply():
                levels[place] = math.fsum(self._one(pool, entry, ideal) for entry in told) / len(told)
        return levels

    def _one(self, pool: _Pool, entry: _Entry, ideal: float) -> float:
        if entry.score is None:
            return -1.0
        gain = _discount(pool.rank(entry, self.ranks, self.ties)) / ideal
        if entry.relevant:
            return gain
        return -gain if any(pool.above_relevant(entry, self.ranks, self.ties)) else 0.0


@dataclass(frozen=True)
class CounterfactualNDCG:
    """nDCG@k of the whole pool with this reply's score for its passage, in the mean over what the others draw: in [0, 1].

    What a reply is credited with is so what it changes: a passage far from any of another grade earns the same whatever its
    score, and one that crosses a better passage loses what the better one gains by crossing back. The rewards above give every
    passage that is not relevant a reason to score low, nine in ten of them, and nothing weighs against a policy that scores
    everything low. A reply that does not count puts its passage last and earns 0; ties count by their mean over all orders.
    Use it without dividing by the deviation (``loss.advantage=mean`` or ``leave_one_out``), which would make all changes
    equally large.

    The others' scores are drawn ``draws`` times from their replies (by ``Reply.weight``), the same for all replies of a pool.
    The mean of a passage's rewards over its own replies is then an estimate of the policy's expected nDCG, and its gradient
    is that of the expected nDCG. The counterfactual credit of multi-agent learning (COMA, arXiv 1705.08926) with the passages
    of a pool for agents.
    """

    k: int = 10
    _: KW_ONLY
    draws: int = 64
    strict: bool = True
    name: str = "counterfactual-ndcg"

    def __post_init__(self) -> None:
        for name, value in (("k", self.k), ("draws", self.draws)):
            if type(value) is not int or value < 1:
                raise InvalidInput(f"{name} is {value}; give a whole number from 1")

    @property
    def bounds(self) -> tuple[float, float]:
        """From nothing relevant in the first ``k`` to the ideal order."""
        return 0.0, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply; ``None``: its pool holds nothing relevant."""
        levels: list[float | None] = [None] * len(replies)
        for pool in _pools(replies, 0.0, strict=self.strict):
            if not any(entry.grade > 0 for entry in pool.entries):
                continue
            worth = self._worth(pool)
            for place, told in pool.by_reply():
                levels[place] = math.fsum(worth[entry.docid, entry.score] for entry in told) / len(told)
        return levels

    def _worth(self, pool: _Pool) -> dict[tuple[str, float | None], float]:
        """Of every passage and every score that a reply gives it."""
        others = pool.draw(self.draws)
        gains = np.array(linear_gains(pool.grades.values()))
        discounts = 1 / np.log2(np.arange(2, 2 + min(self.k, len(gains))))
        ideal = float((np.sort(gains)[::-1][: self.k] * discounts).sum())
        worth: dict[tuple[str, float | None], float] = {}
        for column, docid in enumerate(pool.grades):
            told = {entry.score for entry in pool.entries if entry.docid == docid}
            scores = sorted(score for score in told if score is not None)
            pools = np.repeat(others[None], len(scores), axis=0)
            pools[:, :, column] = np.array(scores)[:, None]
            for score, level in zip(scores, _dcg(pools, gains, discounts).mean(axis=1), strict=True):
                worth[docid, score] = float(level) / ideal
            worth[docid, None] = 0.0
        return worth


def _dcg(scores: Floats, gains: Floats, discounts: Floats) -> Floats:
    """DCG of scored passages (… × N), each tie by its mean over all orders: …"""
    above = (scores[..., None, :] > scores[..., :, None]).sum(-1)
    level = (scores[..., None, :] == scores[..., :, None]).sum(-1)
    summed = np.concatenate([[0.0], np.cumsum(discounts), np.full(len(gains) - len(discounts), discounts.sum())])
    return np.asarray(((summed[above + level] - summed[above]) / level * gains).sum(-1))


@dataclass(frozen=True)
class TeacherError:
    """``1 - mean(((score - teacher) / top)**2)`` over the passages that the teacher scored: in [0, 1].

    The teacher's scores are the target's, else the lesson's; they must be on the policy's scale, 0 to ``top``. ERank's
    squared-error reward.
    """

    _: KW_ONLY
    top: float = float(TOP)
    strict: bool = True
    name: str = "teacher-error"

    def __post_init__(self) -> None:
        _check("document", 1.0, self.top)

    @property
    def bounds(self) -> tuple[float, float]:
        """From the far end of the scale to the teacher's own scores."""
        return 0.0, 1.0

    def score(self, replies: Sequence[Reply], /) -> list[float | None]:
        """One level a reply; ``None``: the teacher scored none of the slate."""
        return [self._one(reply) for reply in replies]

    def _one(self, reply: Reply) -> float | None:
        told = [entry for entry in _entries(0, reply, 1.0, strict=self.strict) if entry.teacher is not None]
        if not told:
            return None
        return 1 - math.fsum(
            1.0 if entry.score is None else _square(entry.score, _on_scale(entry.teacher or 0.0, self.top), self.top)
            for entry in told
        ) / len(told)


# ------------------------------------------------------------------------------------------------ pools


@dataclass(frozen=True, slots=True)
class _Entry:
    """One passage in one reply; ``score`` of ``None``: the reply gives it none that counts."""

    place: int
    docid: str
    score: float | None
    grade: float
    relevant: bool
    teacher: float | None
    weight: float


class _Pool:
    """All entries of one query."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self.entries = entries
        self.relevant = {entry.docid for entry in entries if entry.relevant}
        self.grades = {entry.docid: entry.grade for entry in entries}
        known: dict[str, list[tuple[float, float]]] = {}
        for entry in entries:
            if entry.score is not None:
                known.setdefault(entry.docid, []).append((entry.score, entry.weight))
        self.means = {docid: _mean(told) for docid, told in known.items()}

    def draw(self, count: int) -> Floats:
        """Scores of all passages, drawn from their replies: count × passages; what does not count stands below all."""
        generator = np.random.default_rng(0)  # the same pool draws the same, in whatever order it came
        drawn: dict[str, Floats] = {}
        for docid in sorted(self.grades):
            told = sorted((-1.0 if e.score is None else e.score, e.weight) for e in self.entries if e.docid == docid)
            scores, weights = np.array(told).T
            shares = weights / weights.sum() if weights.sum() > 0 else None
            drawn[docid] = generator.choice(scores, size=count, p=shares)
        return np.stack([drawn[docid] for docid in self.grades], axis=1)

    def by_reply(self) -> list[tuple[int, list[_Entry]]]:
        """Each reply's place, and its entries."""
        told: dict[int, list[_Entry]] = {}
        for entry in self.entries:
            told.setdefault(entry.place, []).append(entry)
        return list(told.items())

    def rivals(self, entry: _Entry, ranks: Ranks, *, relevant: bool) -> list[float]:
        """The scores of relevant passages, or of the others, that an entry is ranked among."""
        if ranks == "document":
            return [
                mean
                for docid, mean in self.means.items()
                if docid != entry.docid and (docid in self.relevant) is relevant
            ]
        return [e.score for e in self.entries if e.score is not None and e.relevant is relevant]

    def rank(self, entry: _Entry, ranks: Ranks, ties: Ties) -> int:
        """From 1. Equal scores share the best rank, or stand below the passages that are not relevant."""
        score, others = entry.score or 0.0, self.rivals(entry, ranks, relevant=False)
        above = sum(other > score for other in (*others, *self.rivals(entry, ranks, relevant=True)))
        return 1 + above + (sum(other == score for other in others) if ties == "worst" else 0)

    def above_relevant(self, entry: _Entry, ranks: Ranks, ties: Ties) -> list[bool]:
        """For each relevant passage's score, whether an entry that is not relevant stands above it."""
        score = entry.score or 0.0
        relevant = self.rivals(entry, ranks, relevant=True)
        return [score > other or (ties == "worst" and score == other) for other in relevant]

    def count(self, ranks: Ranks) -> int:
        """How many relevant things an ideal ranking begins with."""
        return len(self.relevant) if ranks == "document" else sum(entry.relevant for entry in self.entries)


def _pools(replies: Sequence[Reply], rel: float, *, strict: bool) -> list[_Pool]:
    pools: dict[str, list[_Entry]] = {}
    for place, reply in enumerate(replies):
        query = reply.lesson.slate.query
        key = repr((query.id, query.text, reply.lesson.meta.get("pool")))
        pools.setdefault(key, []).extend(_entries(place, reply, rel, strict=strict))
    return [_Pool(entries) for entries in pools.values()]


def _entries(place: int, reply: Reply, rel: float, *, strict: bool) -> list[_Entry]:
    lesson, told = reply.lesson, scores(reply)
    counts = readable(reply.verdict, strict=strict)
    return [
        _Entry(
            place, docid, score if counts and math.isfinite(score) else None, grade, grade >= rel, teacher, reply.weight
        )
        for docid, score, grade, teacher in zip(lesson.ids, told, lesson.gains, _teacher(lesson), strict=True)
    ]


def _teacher(lesson: Lesson) -> Sequence[float | None]:
    """The teacher's scores by place: the target's, which are on the policy's scale, else what the teacher said."""
    if lesson.target is not None and lesson.target.scores is not None:
        return lesson.target.scores
    return [lesson.teacher.get(docid) for docid in lesson.ids]


def _on_scale(teacher: float, top: float) -> float:
    if not 0 <= teacher <= top:
        raise InvalidInput(
            f"a teacher's score is {teacher:g}, off the policy's scale of 0 to {top:g}; make targets on it "
            "(shortlist data imitate --scale spread, shortlist data groups), or give top"
        )
    return teacher


def _square(score: float, teacher: float, top: float) -> float:
    return min(1.0, abs(score / top - teacher / top)) ** 2


def _mean(told: Sequence[tuple[float, float]]) -> float:
    """Of (score, weight) pairs; the plain mean where nothing has weight."""
    whole = math.fsum(weight for _, weight in told)
    if not whole:
        return math.fsum(score / len(told) for score, _ in told)
    return math.fsum(score * (weight / whole) for score, weight in told)


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def _check(ranks: str, rel: float, top: float, ties: str = "worst") -> None:
    if ranks not in _RANKS:
        raise UnknownName("ranks", ranks, _RANKS)
    if ties not in _TIES:
        raise UnknownName("ties", ties, _TIES)
    check_rel(rel)
    if not (top >= 1e-3 and math.isfinite(top)):
        raise InvalidInput(f"top is {top}; give the highest score of the scale, a number from 0.001")
