"""What a retriever is: queries in, ranked document ids out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from shortlist.types import Query


@dataclass(frozen=True, slots=True)
class Hits:
    """What a first stage found for a query: document ids and scores, best first."""

    query: Query
    ids: tuple[str, ...]
    scores: tuple[float, ...]


class Retriever(Protocol):
    """A first stage over an index."""

    @property
    def name(self) -> str:
        """What runs and tables call it; the tag of a TREC run."""

    def retrieve(self, queries: Iterable[Query], /, *, depth: int = 100) -> Iterator[Hits]:
        """The best ``depth`` documents of each query, in order; queries are taken as they are needed."""
