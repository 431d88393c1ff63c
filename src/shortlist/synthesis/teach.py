"""Dual-teacher labels (GroupRank, arXiv 2511.11653): a pointwise and a listwise teacher judge one pool, ranks fused.

A pool is the first stage's top ``head`` and ``tail`` more drawn from further down, up to rank ``last`` (10 + 40 from
11-200). With L the rank that a teacher gives, from 1, the fused score is ``S = -β ln L_p - (1 - β) ln L_l``; a lone
teacher's is ``-ln L``. Asked ``repeats`` times, a teacher sees the pool in another order each time, and L is the mean
of its ranks. Rankings that agree too little (below ``floor``) are left out: a teacher that contradicts itself, or the
other one, is guessing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.metrics.ranking import ndcg
from shortlist.rerankers.base import Ranker
from shortlist.synthesis.common import Tally, arranged, generator, sampled, slate_of
from shortlist.types import Qrels, Ranking, RerankRequest, Status

Ranks = Mapping[str, float]
"""Document id → rank, from 1; a mean rank need not be whole."""


def fused_score(ranks: Sequence[float], weights: Sequence[float]) -> float:
    """``-Σ weight · ln rank``: 0 for a passage that every teacher ranks first, below 0 for all others.

    >>> round(fused_score([1, 4], [0.5, 0.5]), 4)  # -ln(4) / 2
    -0.6931
    """
    return 0.0 - math.fsum(weight * math.log(rank) for rank, weight in zip(ranks, weights, strict=True))


def agreement(a: Sequence[str], b: Sequence[str], k: int = 10) -> float:
    """How far two orders of the same documents agree, in [0, 1]: nDCG@k of one, its gains from the other, both ways.

    The other's best document has the gain k, the next k - 1, … and those after its first k have 0. The lower of the two
    numbers counts. 1: the same first k; two random orders of 50 come to about 0.2.
    """
    return min(_ndcg_by(a, b, k), _ndcg_by(b, a, k)) if a else 1.0


def _ndcg_by(order: Sequence[str], reference: Sequence[str], k: int) -> float:
    gain = {docid: k - place for place, docid in enumerate(reference[:k])}
    gains = [gain.get(docid, 0) for docid in order]
    return ndcg(gains, gains, k=k)


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Who teaches, and on what.

    Args:
        pointwise: a ranker that judges passages one by one, or ``None``; ``listwise``: one that compares them.
        beta: the pointwise teacher's share, where there are two.
        head, tail, last: the pool: ranks 1 to ``head``, and ``tail`` drawn from those after it up to ``last``.
        repeats: how often each teacher is asked; a deterministic pointwise teacher says the same every time.
        floor: the lowest mean :func:`agreement` over all pairs of rankings that is kept; 0 keeps all.
        order: how the pool is shown, to the teachers and in the lesson.
    """

    pointwise: Ranker | None = None
    listwise: Ranker | None = None
    beta: float = 0.5
    head: int = 10
    tail: int = 40
    last: int = 200
    repeats: int = 1
    floor: float = 0.0
    order: str = "first-stage"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pointwise is None and self.listwise is None:
            raise InvalidInput("there is no teacher; give a pointwise one, a listwise one, or both")
        if not 0 <= self.beta <= 1 or not 0 <= self.floor <= 1:
            raise InvalidInput(f"beta {self.beta}, floor {self.floor}: give numbers between 0 and 1")
        if self.head < 1 or self.tail < 0 or self.last < self.head or self.repeats < 1:
            told = f"head {self.head}, tail {self.tail}, last {self.last}, repeats {self.repeats}"
            raise InvalidInput(
                f"{told}; give head 1 or more, tail 0 or more, last no less than head, repeats 1 or more"
            )
        if self.order == "near-ideal":
            raise InvalidInput(
                "order is 'near-ideal', which needs judgements; pools are shown 'first-stage' or 'shuffled'"
            )

    @property
    def teachers(self) -> dict[str, Ranker]:
        """The teachers there are, by their roles."""
        both = {"pointwise": self.pointwise, "listwise": self.listwise}
        return {role: ranker for role, ranker in both.items() if ranker is not None}

    @property
    def weights(self) -> tuple[float, ...]:
        """Their shares."""
        return (self.beta, 1 - self.beta) if len(self.teachers) == 2 else (1.0,)

    def lessons(self, requests: Iterable[RerankRequest], qrels: Qrels, tally: Tally) -> Iterator[Lesson]:
        """A lesson a pool; ``qrels``, which may be empty, become its grades."""
        pools, *copies = itertools.tee(self._pools(requests, tally), 1 + len(self.teachers))
        answers = [self._asked(ranker, copy) for ranker, copy in zip(self.teachers.values(), copies, strict=True)]
        for pool, *said in zip(pools, *answers, strict=True):
            lesson = self._lesson(pool, said, qrels.get(pool.query.id, {}), tally)
            if lesson is not None:
                tally["kept"] += 1
                yield lesson

    def _pools(self, requests: Iterable[RerankRequest], tally: Tally) -> Iterator[RerankRequest]:
        for request in requests:
            if len(request) < 2:
                tally["fewer than two candidates"] += 1
                continue
            rng = generator(self.seed, "pool", request.query.id)
            rest = sampled(request.candidates[self.head : self.last], self.tail, rng)
            pool = arranged([*request.candidates[: self.head], *rest], self.order, {}, rng)
            yield RerankRequest(request.query, pool)

    def _asked(self, teacher: Ranker, pools: Iterable[RerankRequest]) -> Iterator[list[Ranking]]:
        """The rankings of each pool, one a repeat."""
        rankings = teacher.rerank(self._turned(pool, turn) for pool in pools for turn in range(self.repeats))
        while said := list(itertools.islice(rankings, self.repeats)):
            yield said

    def _turned(self, pool: RerankRequest, turn: int) -> RerankRequest:
        """The pool as it stands, or in another order from the second time on."""
        if turn == 0:
            return pool
        rng = generator(self.seed, "turn", pool.query.id, turn)
        return RerankRequest(pool.query, arranged(pool.candidates, "shuffled", {}, rng))

    def _lesson(
        self, pool: RerankRequest, said: Sequence[Sequence[Ranking]], graded: Mapping[str, int], tally: Tally
    ) -> Lesson | None:
        rankings = list(itertools.chain.from_iterable(said))
        if any(ranking.status in {Status.FAILED, Status.PARTIAL} for ranking in rankings):
            tally["a teacher failed"] += 1
            return None
        pairs = [agreement(a.ids, b.ids) for a, b in itertools.combinations(rankings, 2)]
        agreed = math.fsum(pairs) / len(pairs) if pairs else None
        if agreed is not None and agreed < self.floor:
            tally[f"agreement below {self.floor}"] += 1
            return None
        return self._labelled(pool, [mean_ranks(one) for one in said], agreed, graded)

    def _labelled(
        self, pool: RerankRequest, ranks: Sequence[Ranks], agreed: float | None, graded: Mapping[str, int]
    ) -> Lesson:
        ids = [candidate.id for candidate in pool.candidates]
        scores = {docid: fused_score([by[docid] for by in ranks], self.weights) for docid in ids}
        meta: dict[str, Any] = {"id": pool.query.id, "qid": pool.query.id, "input_order": self.order}
        meta |= {} if agreed is None else {"agreement": round(agreed, 4)}
        meta |= {"teachers": {role: ranker.name for role, ranker in self.teachers.items()}}
        meta |= {"ranks": {role: [by[d] for d in ids] for role, by in zip(self.teachers, ranks, strict=True)}}
        order = tuple(sorted(range(len(ids)), key=lambda place: -scores[ids[place]]))
        return Lesson(
            slate=slate_of(pool.query, pool.candidates),
            grades={d: float(max(0, graded[d])) for d in ids if d in graded},
            teacher=scores,
            target=Target(order=order, scores=tuple(scores[d] for d in ids)),
            meta=meta,
        )


def mean_ranks(rankings: Sequence[Ranking]) -> Ranks:
    """Each document's rank, from 1, in the mean over rankings of the same candidates."""
    sums: dict[str, int] = {}
    for ranking in rankings:
        for rank, docid in enumerate(ranking.ids, 1):
            sums[docid] = sums.get(docid, 0) + rank
    return {docid: total / len(rankings) for docid, total in sums.items()}
