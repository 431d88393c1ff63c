"""Pointwise: every passage by itself; all slates at once."""

from __future__ import annotations

from dataclasses import dataclass

from shortlist.rerankers.merge import impute
from shortlist.types import Flow, Ranking, RerankRequest, ScoredJudgement, Slate


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Scores every passage alone and sorts; n calls, one round. A passage without a score keeps its place."""

    def flow(self, request: RerankRequest, /) -> Flow[ScoredJudgement]:
        """The flow for one request."""
        judgements = yield [Slate(request.query, (candidate,)) for candidate in request.candidates]
        scores, unjudged = impute([judgement.scores[0] for judgement in judgements])
        return Ranking.by_scores(request, scores, unjudged=unjudged)
