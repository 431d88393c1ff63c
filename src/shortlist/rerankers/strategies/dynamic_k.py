"""Dynamic k: the model keeps as many as it wants, maybe none (an ordered subset, DynamicRAG, arXiv 2505.07233)."""

from __future__ import annotations

from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rerankers.strategies.common import left_out, reordered, slate, spoken
from shortlist.types import Flow, Judgement, Ranking, RerankRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicK:
    """One call for a list of at most ``size``; a longer one is read in windows from the bottom up.

    What a window keeps survives into the next one, at most half a window of it (the best; and all, where the model
    states no cutoff). What it does not keep stands below, later leavers first. The last window, which holds the
    first-stage head and the survivors, states the ranking's cutoff.
    """

    size: int = 20

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InvalidInput(f"size is {self.size}; give 2 or more")

    def flow(self, request: RerankRequest, /) -> Flow[Judgement]:
        """The flow for one request."""
        unseen = list(range(len(request)))
        shown, tail, cutoff = list[int](), list[int](), None
        heard: set[int] = set()
        while unseen:
            survivors = shown[: len(shown) if cutoff is None else cutoff][: self.size // 2]
            tail = shown[len(survivors) :] + tail
            room = self.size - len(survivors)
            shown = unseen[-room:] + survivors
            del unseen[-room:]
            (judgement,) = yield [slate(request, shown)]
            heard.update(spoken(shown, judgement))
            shown, cutoff = reordered(shown, judgement), judgement.cutoff
        return Ranking.of(request, shown + tail, cutoff=cutoff, unjudged=left_out(len(request), heard))
