"""Multi-draw: many training lists from few judged queries (REARANK, arXiv 2505.20046: 179 queries → 12k lists).

Each draw takes ``size`` of a query's first-stage candidates at random and shows them in one of several orders. The
paper draws 50 times a query, which for 179 queries is less than its 12k lists; so here the draws go round the queries
until ``target`` lists are there or no query gives a new one. The paper does not say how its lists are ordered; trained
on BM25 orders only, its reranker damages strong candidate lists, hence the mixture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.metrics.ranking import ndcg
from shortlist.synthesis.common import Tally, arranged, check_shares, generator, sampled, slate_of
from shortlist.synthesis.groups import TOP
from shortlist.types import Candidate, Qrels, RerankRequest

EQUAL_SHARES = {"first-stage": 1.0, "shuffled": 1.0, "near-ideal": 1.0}


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How lists are drawn.

    Args:
        size: passages a list; ``depth``: from how many of the best candidates they are drawn.
        target: how many lists to stop at; ``per_query``: the most draws of one query, kept or not.
        shares: how often each input order comes, see :data:`~shortlist.synthesis.common.ORDERS`.
        rel: the lowest grade that is relevant; lists without a relevant passage are left out.
        floor: lists whose nDCG@10, as shown, is below this are left out (REARANK: 0.1). The ideal is the list's own.
        ideal: give lists the judgements as a target to imitate: best grade first, equals as shown; scores from 0 to 10, the
            list's best grade at 10; the relevant ones as the subset.

    Unjudged passages count as 0. Lists whose passages all have one grade are left out, too: every order of them is worth
    the same.
    """

    size: int = 20
    depth: int = 100
    target: int = 12_000
    per_query: int = 200
    shares: Mapping[str, float] = field(default_factory=lambda: dict(EQUAL_SHARES))
    rel: int = 1
    floor: float = 0.1
    ideal: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.size, self.depth, self.target, self.per_query, self.rel) < 1 or self.size < 2:
            told = f"size {self.size}, depth {self.depth}, target {self.target}, per_query {self.per_query}"
            raise InvalidInput(f"{told}, rel {self.rel}: give 1 or more (size 2 or more)")
        if not 0 <= self.floor <= 1:
            raise InvalidInput(f"floor is {self.floor}; give an nDCG@10 between 0 and 1")
        check_shares(self.shares)

    def lessons(self, requests: Iterable[RerankRequest], qrels: Qrels, tally: Tally) -> Iterator[Lesson]:
        """The lists, round by round over the queries; the requests are held in memory."""
        asked = [request.head(self.depth) for request in requests if self._has_relevant(request, qrels, tally)]
        seen: set[tuple[str, ...]] = set()
        for draw in range(self.per_query):
            for request in asked:
                lesson = self._draw(request, qrels[request.query.id], draw)
                reason = self._wrong(lesson, seen)
                tally[reason or "kept"] += 1
                if reason is None:
                    yield lesson
                    if tally["kept"] == self.target:
                        return

    def _has_relevant(self, request: RerankRequest, qrels: Qrels, tally: Tally) -> bool:
        grades = qrels.get(request.query.id, {})
        found = any(grades.get(candidate.id, 0) >= self.rel for candidate in request.candidates[: self.depth])
        tally["queries with no relevant candidate"] += not found
        return found

    def _draw(self, request: RerankRequest, graded: Mapping[str, int], draw: int) -> Lesson:
        qid = request.query.id
        rng = generator(self.seed, "draw", qid, draw)
        (order,) = rng.choices(list(self.shares), weights=list(self.shares.values()))
        drawn = sampled(request.candidates, self.size, rng)
        grades = {c.id: float(max(0, graded[c.id])) for c in drawn if c.id in graded}
        slate = slate_of(request.query, arranged(drawn, order, grades, rng))
        meta = {"id": f"{qid}/{draw}", "qid": qid, "draw": draw, "input_order": order}
        meta["ndcg"] = round(initial_ndcg(slate.candidates, grades), 4)
        lesson = Lesson(slate=slate, grades=grades, meta=meta)
        return replace(lesson, target=_ideal(lesson.gains, self.rel)) if self.ideal and any(grades.values()) else lesson

    def _wrong(self, lesson: Lesson, seen: set[tuple[str, ...]]) -> str | None:
        """Why a list is left out, if it is."""
        gains = lesson.gains
        if not any(gain >= self.rel for gain in gains):
            return "no relevant passage"
        if len(set(gains)) == 1:
            return "all of one grade"
        if lesson.meta["ndcg"] < self.floor:
            return f"nDCG@10 below {self.floor}"
        key = (lesson.slate.query.id, *lesson.ids)
        if key in seen:
            return "drawn before"
        seen.add(key)
        return None


def _ideal(gains: Sequence[float], rel: int) -> Target:
    order = tuple(sorted(range(len(gains)), key=lambda place: -gains[place]))
    scores = tuple(float(round(TOP * gain / max(gains))) for gain in gains)
    return Target(order=order, scores=scores, subset=tuple(place for place in order if gains[place] >= rel))


def initial_ndcg(candidates: Iterable[Candidate], grades: Mapping[str, float], k: int = 10) -> float:
    """nDCG@k of candidates as they stand, linear gains, the ideal over themselves; 0 if none has a grade above 0."""
    gains = [int(grades.get(candidate.id, 0)) for candidate in candidates]
    return ndcg(gains, gains, k=k)
