"""Setwise heap sort: a parent and its children are shown together, the best one rises (arXiv 2310.09497)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rerankers.strategies.common import Pick, left_out, slate, spoken
from shortlist.types import Flow, Ranking, RerankRequest, Slate

_EMPTY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SetwiseHeap:
    """Builds a heap whose nodes have ``children`` children, then takes the best ``top`` out; the rest keeps its order.

    A call shows at most children + 1 passages and asks for the best. Building takes about n / children calls, all nodes
    of a level in one round; each passage taken out costs the heap's depth. Where none is named, the first stage decides.
    """

    children: int = 3
    top: int = 10

    def __post_init__(self) -> None:
        if self.children < 1 or self.top < 1:
            raise InvalidInput(f"children {self.children}, top {self.top}: give at least 1 of each")

    def flow(self, request: RerankRequest, /) -> Flow[Pick]:
        """The flow for one request."""
        n = len(request)
        if n < 2:
            return Ranking.of(request, range(n))
        heap = list(range(n))
        heard: set[int] = set()
        for level in self._levels(n):
            yield from self._sift(request, heap, level, heard)
        best: list[int] = []
        while len(best) < min(self.top, n):
            best.append(heap[0])
            if len(best) < min(self.top, n):
                yield from self._refill(request, heap, heard)
        rest = sorted(set(range(n)).difference(best))
        return Ranking.of(request, best + rest, unjudged=left_out(n, heard))

    def _levels(self, n: int) -> Iterator[list[int]]:
        """The inner nodes of each level of the heap, deepest first."""
        starts = [0]
        while starts[-1] * self.children + 1 < n:
            starts.append(starts[-1] * self.children + 1)
        for start, end in zip(reversed(starts[:-1]), reversed(starts[1:]), strict=True):
            yield list(range(start, end))

    def _sift(
        self, request: RerankRequest, heap: list[int], nodes: Sequence[int], heard: set[int]
    ) -> Generator[Sequence[Slate], Sequence[Pick], None]:
        """Let what stands at each node sink to where it belongs; the nodes are of one level, so all sink together."""
        families = self._families(heap, nodes)
        while families:
            shown = [[heap[i] for i in family] for family in families]
            verdicts = yield [slate(request, places) for places in shown]
            sunk = []
            for family, places, verdict in zip(families, shown, verdicts, strict=True):
                heard.update(spoken(places, verdict))
                if verdict.best:  # neither the parent (0) nor nobody (None)
                    parent, child = family[0], family[verdict.best]
                    heap[parent], heap[child] = heap[child], heap[parent]
                    sunk.append(child)
            families = self._families(heap, sunk)

    def _families(self, heap: list[int], nodes: Sequence[int]) -> list[list[int]]:
        """Each node with its children, for the nodes that have any."""
        families = ([node, *self._children(heap, node)] for node in nodes)
        return [family for family in families if len(family) > 1]

    def _children(self, heap: list[int], node: int) -> list[int]:
        first = node * self.children + 1
        return [i for i in range(first, min(first + self.children, len(heap))) if heap[i] != _EMPTY]

    def _refill(
        self, request: RerankRequest, heap: list[int], heard: set[int]
    ) -> Generator[Sequence[Slate], Sequence[Pick], None]:
        """The root was taken out: the best child rises into the gap, then its best child into that one, and so on.

        Nothing is moved from the heap's end to its root, as textbooks do: where the model says nothing, the first
        stage's best child rises, and the order stays.
        """
        gap = 0
        while children := self._children(heap, gap):
            places = [heap[i] for i in children]
            chosen = places.index(min(places))
            if len(places) > 1:
                (verdict,) = yield [slate(request, places)]
                heard.update(spoken(places, verdict))
                chosen = chosen if verdict.best is None else verdict.best
            heap[gap], gap = places[chosen], children[chosen]
        heap[gap] = _EMPTY
