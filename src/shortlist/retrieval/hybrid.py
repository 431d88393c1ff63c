"""Hybrid retrieval: several first stages, fused by reciprocal ranks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.retrieval.base import Hits, Retriever
from shortlist.types import Query


@dataclass(frozen=True)
class Hybrid:
    """Reciprocal rank fusion of several retrievers: score = Σ weight / (k + rank), ranks from 1 (Cormack et al. 2009).

    Each retriever is asked for ``pool`` documents (or the depth, if that is more); a document that one of them does not
    find gets nothing from it.
    """

    retrievers: tuple[Retriever, ...]
    weights: tuple[float, ...] = ()
    k: float = 60.0
    pool: int = 200
    name: str = "hybrid"

    def __post_init__(self) -> None:
        if not self.retrievers:
            raise InvalidInput("a hybrid needs at least one retriever")
        if self.weights and len(self.weights) != len(self.retrievers):
            raise InvalidInput(f"{len(self.weights)} weights for {len(self.retrievers)} retrievers")

    def retrieve(self, queries: Iterable[Query], /, *, depth: int = 100) -> Iterator[Hits]:
        """The best ``depth`` documents of each query by the fused score."""
        copies = itertools.tee(queries, len(self.retrievers))
        pool = max(depth, self.pool)
        found = [r.retrieve(copy, depth=pool) for r, copy in zip(self.retrievers, copies, strict=True)]
        return (self._fused(hits, depth) for hits in zip(*found, strict=True))

    def _fused(self, found: tuple[Hits, ...], depth: int) -> Hits:
        weights = self.weights or (1.0,) * len(found)
        scores: dict[str, float] = {}
        for hits, weight in zip(found, weights, strict=True):
            for rank, document in enumerate(hits.ids, 1):
                scores[document] = scores.get(document, 0.0) + weight / (self.k + rank)
        best = sorted(scores, key=lambda document: (-scores[document], document))[:depth]
        return Hits(found[0].query, tuple(best), tuple(scores[document] for document in best))
