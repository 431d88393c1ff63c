"""Experts for dynamic k: the smallest set of passages that a reader needs, in the order of what each adds.

DynamicRAG (arXiv 2505.07233) imitates random ids padded with noise, so that k says nothing of need. Here a passage is
dropped, from the end of the list on, if the reader's score without it does not fall, and comes back if that raises the
score of what is left. The set is put in order by marginal gain: first the passage that does most alone, then the one
that adds most to it, and so on. A question without gold answers is unanswerable: its expert is the empty set.

Choosing is apart from reading: an expert is a generator that yields the shortlists whose scores it wants. Many run at
once, and their shortlists go to the reader together, through the environment that caches and counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.synthesis.common import Tally, slate_of
from shortlist.types import Document, Qrels, RerankRequest

Places: TypeAlias = tuple[int, ...]
Search: TypeAlias = Generator[list[Places], list[float], "Found"]
"""Yields shortlists (places), is sent their scores (NaN: could not be read), and returns what it found."""

REJECTED = ("all", "fixed", "none")


@dataclass(frozen=True, slots=True)
class Found:
    """An expert's shortlist, its score, and that of all passages together; scores are NaN if a reading failed."""

    subset: Places
    score: float
    score_of_all: float


def minimal_set(count: int, *, tolerance: float = 0.0) -> Search:
    """A small set that scores well among passages ``0 … count - 1``: removal, growth, removal again, then ordering.

    A passage goes if the score without it is no lower than the score with it, less ``tolerance``; a higher score without
    it is the new one to hold. As a distractor may have hidden what a passage is worth, the one whose return raises the
    score most comes back, as long as there is one. Reads about ``2 * count`` shortlists, and at most k²/2 more to order
    the k that are left.
    """
    (whole,) = yield [tuple(range(count))]
    if np.isnan(whole):
        return Found(tuple(range(count)), whole, whole)
    kept, best = yield from _removed(tuple(range(count)), whole, tolerance)
    grown, best = yield from _grown(kept, best, count, tolerance)
    if grown != kept:
        kept, best = yield from _removed(grown, best, tolerance)
    order = yield from _by_gain(kept)
    (score,) = yield [order]
    return Found(order, score, whole) if score >= best - tolerance else Found(kept, best, whole)


def _removed(kept: Places, best: float, tolerance: float) -> Generator[list[Places], list[float], tuple[Places, float]]:
    """What is left when no passage can go, from the last to the first; and its score."""
    for place in reversed(kept):
        without = tuple(other for other in kept if other != place)
        (score,) = yield [without]
        if score >= best - tolerance:
            kept, best = without, max(best, score)
    return kept, best


def _grown(
    kept: Places, best: float, count: int, tolerance: float
) -> Generator[list[Places], list[float], tuple[Places, float]]:
    """With passages added one by one, the best first, while one raises the score; and that score."""
    while others := [place for place in range(count) if place not in kept]:
        longer = [tuple(sorted((*kept, place))) for place in others]
        scores = [-1.0 if np.isnan(score) else score for score in (yield longer)]
        top = max(range(len(scores)), key=lambda i: (scores[i], -i))
        if scores[top] <= best + tolerance:
            break
        kept, best = longer[top], scores[top]
    return kept, best


def _by_gain(kept: Places) -> Generator[list[Places], list[float], Places]:
    """The same places, each next one that whose addition scores best; ties keep the first-stage order."""
    order: Places = ()
    left = list(kept)
    while len(left) > 1:
        longer = [(*order, place) for place in left]
        scores = yield longer
        best = max(range(len(left)), key=lambda i: (-1.0 if np.isnan(scores[i]) else scores[i], -i))
        order = longer[best]
        del left[best]
    return (*order, *left)


@dataclass(frozen=True, kw_only=True)
class Experts:
    """How experts are found.

    Args:
        size: from how many of the best candidates a set is chosen.
        floor: questions that have answers, and whose set scores no more than this, teach nothing and are left out.
        tolerance: how much score a dropped passage may cost.
        rejected: the worse set of a preference pair: ``all`` passages, ``fixed`` (the first ``k``), or ``none``.
        at_once: how many searches run side by side (their shortlists make the reader's batches).
    """

    size: int = 10
    floor: float = 0.0
    tolerance: float = 0.0
    rejected: str = "all"
    k: int = 5
    at_once: int = 32

    def __post_init__(self) -> None:
        if min(self.size, self.k, self.at_once) < 1 or self.tolerance < 0:
            told = f"size {self.size}, k {self.k}, at_once {self.at_once}, tolerance {self.tolerance}"
            raise InvalidInput(f"{told}: give 1 or more (a tolerance of 0 or more)")
        if self.rejected not in REJECTED:
            raise UnknownName("rejected set", self.rejected, REJECTED)

    def lessons(
        self, requests: Iterable[RerankRequest], environment: ReaderEnvironment, qrels: Qrels, tally: Tally
    ) -> Iterator[Lesson]:
        """A lesson for each question that the reader can answer from its candidates, or that has no answer."""
        heads = (request.head(self.size) for request in requests)
        for request, found in _searched(heads, environment, self.at_once, self.tolerance):
            reason = self._wrong(request, found)
            tally[reason or ("kept" if found.subset else "kept, empty")] += 1
            if reason is None:
                yield self._lesson(request, found, qrels)

    def _wrong(self, request: RerankRequest, found: Found) -> str | None:
        if np.isnan(found.score) or np.isnan(found.score_of_all):
            return "the reader failed"
        if request.query.answers and found.score <= self.floor:
            return "not answered with any passages"
        return None

    def _lesson(self, request: RerankRequest, found: Found, qrels: Qrels) -> Lesson:
        grades = qrels.get(request.query.id, {})
        meta = {"id": request.query.id, "qid": request.query.id, "input_order": "first-stage", "k": len(found.subset)}
        return Lesson(
            slate=slate_of(request.query, request.candidates),
            grades={c.id: float(max(0, grades[c.id])) for c in request.candidates if c.id in grades},
            target=Target(subset=found.subset, rejected=self._worse(found.subset, len(request))),
            meta={**meta, "score": round(found.score, 4), "score_of_all": round(found.score_of_all, 4)},
        )

    def _worse(self, subset: Places, count: int) -> Target | None:
        """The rejected set, unless it is the chosen one."""
        if self.rejected == "none":
            return None
        worse = tuple(range(count if self.rejected == "all" else min(self.k, count)))
        return None if worse == subset else Target(subset=worse)


# ------------------------------------------------------------------------------------------------ many at once


@dataclass(eq=False)
class _Running:
    """A search under way: the shortlists it waits for, or what it found."""

    request: RerankRequest
    search: Search | None
    wanted: list[Places]
    found: Found | None = None

    @classmethod
    def begun(cls, request: RerankRequest, tolerance: float) -> _Running:
        if not request.query.answers:  # unanswerable: nothing is needed
            return cls(request, None, [], Found((), 1.0, 0.0))
        search = minimal_set(len(request), tolerance=tolerance)
        return cls(request, search, next(search))

    def send(self, scores: list[float]) -> None:
        if self.search is not None:
            try:
                self.wanted = self.search.send(scores)
            except StopIteration as end:
                self.found, self.wanted = end.value, []

    def documents(self, places: Places) -> tuple[Document, ...]:
        return tuple(self.request.candidates[place].document for place in places)


def _searched(
    requests: Iterable[RerankRequest], environment: ReaderEnvironment, at_once: int, tolerance: float
) -> Iterator[tuple[RerankRequest, Found]]:
    """Every request with what its search found, in order; ``at_once`` searches share each round of reading."""
    source = iter(requests)
    while block := [_Running.begun(request, tolerance) for request in itertools.islice(source, at_once)]:
        while waiting := [running for running in block if running.found is None]:
            _round(waiting, environment)
        for running in block:
            if running.found is not None:
                yield running.request, running.found


def _round(waiting: Sequence[_Running], environment: ReaderEnvironment) -> None:
    """Read all that is wanted, shortlists of one length together, and send every search its scores."""
    asked = [(running, places) for running in waiting for places in running.wanted]
    scores: dict[int, float] = {}
    by_length: dict[int, list[int]] = {}
    for i, (_, places) in enumerate(asked):
        by_length.setdefault(len(places), []).append(i)
    for length, rows in sorted(by_length.items()):
        lists = [(asked[i][0].request.query, asked[i][0].documents(asked[i][1])) for i in rows]
        totals = environment.evaluate(lists, [length]).totals[:, 0]
        scores |= dict(zip(rows, map(float, totals), strict=True))
    each = iter(range(len(asked)))
    for running in waiting:
        running.send([scores[i] for i in itertools.islice(each, len(running.wanted))])
