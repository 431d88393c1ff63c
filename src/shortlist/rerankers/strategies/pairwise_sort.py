"""Pairwise merge sort: pairs are compared, and all merges of a level go on together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from shortlist.errors import InvalidInput
from shortlist.rerankers.strategies.common import Pick, compare, left_out
from shortlist.types import Flow, Ranking, RerankRequest, Slate


@dataclass(slots=True)
class _Merge:
    """Two sorted runs becoming one of at most ``top``; ties go to the left, which is the first stage's order."""

    left: list[int]
    right: list[int]
    top: int
    out: list[int] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return bool(self.left and self.right) and len(self.out) < self.top

    @property
    def heads(self) -> tuple[int, int]:
        return self.left[0], self.right[0]

    def take(self, share: float) -> None:
        self.out.append((self.left if share >= 0.5 else self.right).pop(0))

    def close(self) -> tuple[list[int], list[int]]:
        """The merged run, and what did not come into it."""
        merged = self.out + self.left + self.right  # of the two, at most one matters
        return merged[: self.top], merged[self.top :]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairwiseSort:
    """Sorts by merging; about n·log₂ n comparisons, far fewer with ``top``.

    ``top``: only the best so many are put in order, the rest keeps the first-stage order below them (``None``: all).
    ``both_orders`` shows each pair in both orders; contradictory answers are ties, and ties keep the first-stage order.
    A comparator that contradicts itself still ends in a permutation, after the same number of comparisons at most.
    """

    top: int | None = None
    both_orders: bool = True

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise InvalidInput(f"top is {self.top}; give 1 or more, or None to sort all")

    def flow(self, request: RerankRequest, /) -> Flow[Pick]:
        """The flow for one request."""
        n = len(request)
        if n < 2:
            return Ranking.of(request, range(n))
        heard: set[int] = set()
        rest: list[int] = []
        runs = [[i] for i in range(n)]
        while len(runs) > 1:
            runs = yield from self._level(request, runs, rest, heard)
        return Ranking.of(request, runs[0] + sorted(rest), unjudged=left_out(n, heard))

    def _level(
        self, request: RerankRequest, runs: list[list[int]], rest: list[int], heard: set[int]
    ) -> Generator[Sequence[Slate], Sequence[Pick], list[list[int]]]:
        """Merge neighbouring runs; what falls out goes to ``rest``."""
        top = self.top or len(request)
        odd = runs[len(runs) // 2 * 2 :]
        merges = [_Merge(left, right, top) for left, right in zip(runs[::2], runs[1::2], strict=False)]
        while under_way := [merge for merge in merges if merge.open]:
            pairs = [merge.heads for merge in under_way]
            shares = yield from compare(request, pairs, both_orders=self.both_orders, heard=heard)
            for merge, share in zip(under_way, shares, strict=True):
                merge.take(share)
        closed = [merge.close() for merge in merges]
        rest.extend(place for _, lost in closed for place in lost)
        return [run for run, _ in closed] + odd
