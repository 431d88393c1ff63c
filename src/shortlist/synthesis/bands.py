"""Difficulty bands and hard negatives (ERank, arXiv 2509.00520: ranks 1-10 hard, 11-100 medium, 101-1000 easy).

A list holds judged positives, and negatives drawn from each band of a run. What the judgements call no positive may
only be unjudged: a teacher guards against that. A negative that it scores above the best positive less ``margin`` is
taken for a false one and left out (the idea of NV-Retriever's positive-aware mining, arXiv 2407.15831). The target to
imitate has two levels: positives, and negatives.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Ranker
from shortlist.synthesis.common import Tally, arranged, generator, sampled, slate_of
from shortlist.synthesis.groups import TOP
from shortlist.types import Candidate, Document, Qrels, Query, Ranking, RerankRequest, Status


@dataclass(frozen=True, slots=True)
class Band:
    """Ranks ``first`` to ``last`` of a run (from 1, both ends included), and how many negatives a list gets of them."""

    name: str
    first: int
    last: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last or self.count < 0:
            told = f"band {self.name!r}: ranks {self.first}-{self.last}, count {self.count}"
            raise InvalidInput(f"{told}; give 1 ≤ first ≤ last, and a count of 0 or more")

    @classmethod
    def parse(cls, text: str) -> Band:
        """From ``hard=1-10:7``: a name, ranks and a count."""
        name, _, rest = text.strip().partition("=")
        ranks, _, count = rest.partition(":")
        first, _, last = ranks.partition("-")
        try:
            return cls(name, int(first), int(last), int(count))
        except ValueError as problem:
            if isinstance(problem, InvalidInput):
                raise
            raise InvalidInput(f"the band {text!r} is not of the form name=first-last:count, as hard=1-10:7") from None


BANDS = (Band("hard", 1, 10, 7), Band("medium", 11, 100, 6), Band("easy", 101, 1000, 6))


@dataclass(frozen=True, kw_only=True)
class Mining:
    """How negatives are mined.

    Args:
        bands: where from, and how many of each.
        positives: at most so many a list, best grade first; ``rel``: the lowest grade that is one.
        guard: scores query and passages; ``None``: judgements alone decide what is a negative.
        margin: how far below the guard's best-scored positive a negative has to be, in the guard's own units.
        spare: how many times the band's count are drawn, so that the guard can leave some out.
        order: the order that lists are shown in, ``shuffled`` or ``first-stage``.
    """

    bands: Sequence[Band] = BANDS
    positives: int = 1
    rel: int = 1
    guard: Ranker | None = None
    margin: float = 0.0
    spare: int = 3
    order: str = "shuffled"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.positives, self.rel, self.spare) < 1 or not self.bands:
            told = f"positives {self.positives}, rel {self.rel}, spare {self.spare}, {len(self.bands)} bands"
            raise InvalidInput(f"{told}: give 1 or more of each")
        if self.order == "near-ideal":
            raise InvalidInput("order is 'near-ideal'; mined lists are shown 'shuffled' or as 'first-stage'")

    def lessons(
        self,
        requests: Iterable[RerankRequest],
        qrels: Qrels,
        texts: Callable[[str], Document | None],
        tally: Tally,
    ) -> Iterator[Lesson]:
        """A lesson for each query that has a positive; ``texts`` gives positives that the run missed."""
        pools = (pool for request in requests if (pool := self._pool(request, qrels, texts, tally)) is not None)
        for pool, ranking in _ranked(self.guard, pools):
            lesson = self._lesson(pool, ranking, tally)
            if lesson is not None:
                tally["kept"] += 1
                yield lesson

    def _pool(
        self, request: RerankRequest, qrels: Qrels, texts: Callable[[str], Document | None], tally: Tally
    ) -> _Pool | None:
        """Positives, and more negatives than are needed."""
        query, grades = request.query, qrels.get(request.query.id, {})
        rng = generator(self.seed, "bands", query.id)
        positives = self._positives(request, grades, texts)
        if not positives:
            tally["no positive with a text"] += 1
            return None
        known = {docid for docid, grade in grades.items() if grade >= self.rel}
        banded: dict[str, list[Candidate]] = {}
        for band in self.bands:
            inside = [c for c in request.candidates[band.first - 1 : band.last] if c.id not in known]
            banded[band.name] = sampled(inside, band.count * (self.spare if self.guard else 1), rng)
        return _Pool(query, positives, banded, {d: float(g) for d, g in grades.items() if g > 0})

    def _positives(
        self, request: RerankRequest, grades: Mapping[str, int], texts: Callable[[str], Document | None]
    ) -> list[Candidate]:
        """The best-graded positives, with the first stage's score if it found them."""
        found = {candidate.id: candidate for candidate in request.candidates}
        best = sorted((d for d, grade in grades.items() if grade >= self.rel), key=lambda d: (-grades[d], d))
        kept: list[Candidate] = []
        for docid in best:
            document = None if docid in found else texts(docid)
            candidate = found.get(docid) or (Candidate(document) if document is not None else None)
            if candidate is not None and len(kept) < self.positives:
                kept.append(candidate)
        return kept

    def _lesson(self, pool: _Pool, ranking: Ranking | None, tally: Tally) -> Lesson | None:
        scores = _scores(ranking) if ranking is not None else {}
        if ranking is not None and (ranking.status is Status.FAILED or any(c.id not in scores for c in pool.positives)):
            tally["not scored by the guard"] += 1
            return None
        limit = max(scores[c.id] for c in pool.positives) - self.margin if scores else float("inf")
        chosen, names = list(pool.positives), dict.fromkeys((c.id for c in pool.positives), "positive")
        for band in self.bands:
            drawn = [c for c in pool.banded[band.name] if c.id not in names]
            good = [c for c in drawn if not scores or scores.get(c.id, limit) < limit]
            tally["false negatives, by the guard"] += len(drawn) - len(good)
            rng = generator(self.seed, "kept", pool.query.id, band.name)
            kept = sampled(good, band.count, rng)
            tally[f"short of {band.name} negatives"] += band.count - len(kept)
            names |= dict.fromkeys((c.id for c in kept), band.name)
            chosen += kept
        if len(chosen) == len(pool.positives):
            tally["no negative left"] += 1
            return None
        return self._shown(pool, chosen, names, scores)

    def _shown(
        self, pool: _Pool, chosen: list[Candidate], names: Mapping[str, str], scores: Mapping[str, float]
    ) -> Lesson:
        chosen.sort(key=lambda c: float("-inf") if c.score is None else c.score, reverse=True)
        shown = arranged(chosen, self.order, pool.grades, generator(self.seed, "order", pool.query.id))
        qid, good = pool.query.id, [names[c.id] == "positive" for c in shown]
        return Lesson(
            slate=slate_of(pool.query, shown),
            grades={c.id: pool.grades[c.id] for c in shown if c.id in pool.grades},
            teacher={c.id: scores[c.id] for c in shown if c.id in scores},
            target=_two_levels(good),
            meta={"id": qid, "qid": qid, "input_order": self.order, "bands": [names[c.id] for c in shown]},
        )


def _two_levels(good: Sequence[bool]) -> Target:
    """Positives above negatives, with the highest score and the lowest: the first thing for a rater to learn."""
    best = tuple(place for place, positive in enumerate(good) if positive)
    order = (*best, *(place for place, positive in enumerate(good) if not positive))
    return Target(order=order, scores=tuple(float(TOP * positive) for positive in good), subset=best)


@dataclass(frozen=True, slots=True)
class _Pool:
    """What a list is drawn from."""

    query: Query
    positives: list[Candidate]
    banded: Mapping[str, list[Candidate]]
    grades: Mapping[str, float]

    @property
    def request(self) -> RerankRequest:
        everything = itertools.chain(self.positives, *self.banded.values())
        return RerankRequest(self.query, tuple({c.id: c for c in everything}.values()))


def _ranked(guard: Ranker | None, pools: Iterator[_Pool]) -> Iterator[tuple[_Pool, Ranking | None]]:
    if guard is None:
        yield from ((pool, None) for pool in pools)
        return
    mine, asked = itertools.tee(pools)
    yield from zip(mine, guard.rerank(pool.request for pool in asked), strict=True)


def _scores(ranking: Ranking) -> dict[str, float]:
    """The guard's scores by document id."""
    if ranking.scores is None:
        raise InvalidInput("the guard only orders passages; give one that scores them, as cross-encoder:minilm-l12")
    unjudged = {ranking.request.candidates[i].id for i in ranking.unjudged}
    return {d: s for d, s in zip(ranking.ids, ranking.scores, strict=True) if d not in unjudged}
