"""Whole list: all passages in one call."""

from __future__ import annotations

from dataclasses import dataclass

from shortlist.rerankers.strategies.common import left_out, reordered, slate, spoken
from shortlist.types import Flow, Judgement, Ranking, RerankRequest


@dataclass(frozen=True, slots=True)
class WholeList:
    """Shows the whole list once and takes the order as it is; a cutoff that the model states becomes the ranking's."""

    def flow(self, request: RerankRequest, /) -> Flow[Judgement]:
        """The flow for one request."""
        places = range(len(request))
        if not places:
            return Ranking.of(request, ())
        (judgement,) = yield [slate(request, places)]
        heard = set(spoken(places, judgement))
        return Ranking.of(
            request,
            reordered(places, judgement),
            cutoff=judgement.cutoff,
            unjudged=left_out(len(places), heard),
        )
