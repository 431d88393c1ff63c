"""Sliding window: listwise calls from the bottom of the list to its top (RankGPT, arXiv 2304.09542)."""

from __future__ import annotations

from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rerankers.strategies.common import left_out, reordered, slate, spoken
from shortlist.types import Flow, Judgement, Ranking, RerankRequest


def windows(n: int, size: int, stride: int) -> list[tuple[int, int]]:
    """The windows (start, end) over a list of n, from the bottom up.

    Whatever n is, the first ends at n, the last starts at exactly 0, none is longer than ``size``, and neighbours
    overlap by at least size − stride. A list of fewer than two needs none.
    """
    if n < 2:
        return []
    starts = [*range(n - size, 0, -stride), 0]
    return [(start, min(start + size, n)) for start in starts]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingWindow:
    """A window of ``size`` moves up by ``stride``; a pass brings the size − stride best to the top.

    The windows of a pass depend on each other, so each is a round of its own; ``passes`` repeats the whole. The first
    size − stride places are in the judged order after one pass, a place further down only as far as the windows reach.
    """

    size: int = 20
    stride: int = 10
    passes: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.stride < self.size:
            raise InvalidInput(
                f"size {self.size}, stride {self.stride}: the stride must be at least 1 and smaller than the size, "
                "or the best passage cannot rise from window to window"
            )
        if self.passes < 1:
            raise InvalidInput(f"passes is {self.passes}; give 1 or more")

    def flow(self, request: RerankRequest, /) -> Flow[Judgement]:
        """The flow for one request."""
        n = len(request)
        order = list(range(n))
        heard: set[int] = set()
        spans = windows(n, self.size, self.stride)
        for start, end in spans * self.passes:
            shown = order[start:end]
            (judgement,) = yield [slate(request, shown)]
            order[start:end] = reordered(shown, judgement)
            heard.update(spoken(shown, judgement))
        return Ranking.of(request, order, unjudged=left_out(n, heard) if spans else ())
