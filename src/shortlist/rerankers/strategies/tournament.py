"""Tournament by top-down partition: the rest of the list is held against a pivot (TDPart, arXiv 2405.14589)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from shortlist.errors import InvalidInput
from shortlist.rerankers.strategies.common import left_out, parts, reordered, slate, spoken
from shortlist.types import Flow, Judgement, Ranking, RerankRequest, Slate

_Step = Generator[Sequence[Slate], Sequence[Judgement], list[list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tournament:
    """Ranks the top window, then shows all others, in windows beside its ``top``-th passage: all in one round.

    Those that beat this pivot go on to the next turn with those above it; when none does, the head is settled. The best
    ``top`` come out in order; the rest stands below, by turn of leaving. A good first stage needs two rounds, where a
    sliding window takes one a window.
    """

    size: int = 20
    top: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.top < self.size:
            raise InvalidInput(f"size {self.size}, top {self.top}: top must be at least 1 and smaller than the size")

    def flow(self, request: RerankRequest, /) -> Flow[Judgement]:
        """The flow for one request."""
        n = len(request)
        if n < 2:
            return Ranking.of(request, range(n))
        heard: set[int] = set()
        head, tail, settled = list(range(n)), list[int](), False
        while len(head) > self.size:
            head, lower, settled = yield from self._partition(request, head, heard)
            tail = lower + tail
            if settled:
                break
        if not settled:
            (head,) = yield from _judge(request, [head], heard)
        return Ranking.of(request, head + tail, unjudged=left_out(n, heard))

    def _partition(
        self, request: RerankRequest, head: list[int], heard: set[int]
    ) -> Generator[Sequence[Slate], Sequence[Judgement], tuple[list[int], list[int], bool]]:
        """Those still in the race, those that left it, and whether the race is over."""
        (window,) = yield from _judge(request, [head[: self.size]], heard)
        above, pivot, below = window[: self.top - 1], window[self.top - 1], window[self.top :]
        others = [[pivot, *part] for part in parts(head[self.size :], self.size - 1)]
        ordered = yield from _judge(request, others, heard)
        winners = [order[: order.index(pivot)] for order in ordered]
        losers = [place for order in ordered for place in order[order.index(pivot) + 1 :]]
        if not any(winners):
            return [*above, pivot], below + losers, True
        # by turns, so that the next top window holds the best of every part, and the next pivot is a high one
        race = [place for rank in zip_longest(above, *winners) for place in rank if place is not None]
        return race, [pivot, *below, *losers], False


def _judge(request: RerankRequest, shown: list[list[int]], heard: set[int]) -> _Step:
    """Each slate's places in the judged order; a lone passage needs no call."""
    asked = [places for places in shown if len(places) > 1]
    if not asked:
        return shown
    judgements = yield [slate(request, places) for places in asked]
    for places, judgement in zip(asked, judgements, strict=True):
        heard.update(spoken(places, judgement))
    ordered = iter([reordered(places, judgement) for places, judgement in zip(asked, judgements, strict=True)])
    return [next(ordered) if len(places) > 1 else places for places in shown]
