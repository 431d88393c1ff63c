"""Rewards of relevance judgements: what a prefix would score by the field's ranking measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics.ranking import GAINS, ndcg, recall
from shortlist.rewards.base import Prefix
from shortlist.types import Qrels


@dataclass(frozen=True)
class PrefixNDCG:
    """nDCG@k of a prefix, its ideal over all that was judged for the query: in [0, 1].

    A prefix shorter than ``k`` has only its own gains, so the level never falls as it grows. ``dcg`` is the gain:
    ``log2`` takes the grade, ``exp-log2`` takes ``2**grade - 1``. A query with nothing relevant cannot be scored.
    """

    qrels: Qrels
    k: int = 10
    _: KW_ONLY
    dcg: str = "log2"
    name: str = ""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InvalidInput(f"k is {self.k}; give 1 or more")
        if self.dcg not in GAINS:
            raise UnknownName("dcg", self.dcg, GAINS)
        object.__setattr__(self, "name", self.name or f"nDCG@{self.k}")

    @property
    def bounds(self) -> tuple[float, float]:
        """From nothing relevant to the ideal order."""
        return 0.0, 1.0

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """The measure of each prefix."""
        return _each(self.qrels, prefixes, 1, lambda ranked, judged: ndcg(ranked, judged, k=self.k, dcg=self.dcg))


@dataclass(frozen=True)
class PrefixRecall:
    """The share of a query's relevant passages (grade ``rel`` or more) that a prefix holds: in [0, 1].

    A query with nothing relevant cannot be scored.
    """

    qrels: Qrels
    _: KW_ONLY
    rel: int = 1
    name: str = "recall"

    def __post_init__(self) -> None:
        if self.rel < 1:
            raise InvalidInput(f"rel is {self.rel}; give the lowest grade that is relevant, 1 or more")

    @property
    def bounds(self) -> tuple[float, float]:
        """From none to all."""
        return 0.0, 1.0

    def score(self, prefixes: Sequence[Prefix], /) -> list[float | None]:
        """The share for each prefix."""
        return _each(
            self.qrels,
            prefixes,
            self.rel,
            lambda ranked, judged: recall(ranked, judged, k=len(ranked) or 1, rel=self.rel),
        )


def _each(
    qrels: Qrels,
    prefixes: Sequence[Prefix],
    rel: int,
    measure: Callable[[list[int | None], list[int]], float],
) -> list[float | None]:
    levels: list[float | None] = []
    for prefix in prefixes:
        grades = qrels.get(prefix.query.id, {})
        judged = list(grades.values())
        relevant = any(grade >= rel for grade in judged)
        ranked = [grades.get(document.id) for document in prefix.documents]
        levels.append(measure(ranked, judged) if relevant else None)
    return levels
