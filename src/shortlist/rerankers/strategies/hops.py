"""Hops: what was found is part of the next question, for questions that no single passage answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from shortlist.errors import InvalidInput
from shortlist.rerankers.merge import impute, standardised
from shortlist.types import Document, Flow, FollowUp, Query, Ranking, RerankRequest, ScoredJudgement, Slate


@dataclass(frozen=True, slots=True, kw_only=True)
class Hops:
    """Scores every passage alone, sets the best one first, and scores the rest again for the query *and* that passage.

    A passage that links the found one to the answer (the second hop of a multi-hop question) shares few words with the
    query alone. The rest is ordered by z(query) + ``weight`` · z(query and what was found), z over the passages that are
    left; with more ``hops`` the next best joins the question. ``words`` of a found passage's text are shown after its
    title. 2n − 1 calls in two rounds for two hops. Scores are the sums; those of found passages stand above the rest's.

    ``enough`` says how many of the rest to keep, from the last look's scores alone (a learnt null document is one of
    them); the ranking's cutoff is that many after the found ones. Without it nothing is said of how many. Where no
    passage of the first look has a score of ``none_below`` or more, none is kept, and there is no second look.
    """

    hops: int = 2
    weight: float = 1.5
    words: int = 60
    enough: Callable[[Ranking], int] | None = None
    none_below: float | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("hops", self.hops, 2), ("words", self.words, 0)):
            if value < least:
                raise InvalidInput(f"{name} is {value!r}; give at least {least}")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise InvalidInput(f"weight is {self.weight!r}; give a number from 0 up")

    def flow(self, request: RerankRequest, /) -> Flow[ScoredJudgement]:
        """The flow for one request."""
        rest, query = list(range(len(request))), request.query
        found: list[int] = []
        first, unjudged = yield from _scored(request, query, rest)
        scores, cutoff = list(standardised(first)), None
        judged = len(unjudged) < len(rest)
        if judged and self.none_below is not None and max(first) < self.none_below:
            return Ranking.by_scores(request, scores, unjudged=unjudged, cutoff=0)
        for _ in range(min(self.hops, len(request)) - 1):
            best = max(rest, key=scores.__getitem__)
            found.append(best)
            rest.remove(best)
            query = follow_up(query, request.candidates[best].document, words=self.words)
            again, missed = yield from _scored(request, query, rest)
            unjudged = tuple(sorted({*unjudged, *missed}))
            plain = standardised([first[i] for i in rest])
            for i, one, other in zip(rest, plain, standardised(again), strict=True):
                scores[i] = one + self.weight * other
            if self.enough is not None:
                looked = replace(request, query=query, candidates=tuple(request.candidates[i] for i in rest))
                cutoff = len(found) + self.enough(Ranking.by_scores(looked, again))
        top = max((scores[i] for i in rest), default=0.0)
        for place, i in enumerate(reversed(found), start=1):
            scores[i] = top + place
        return Ranking.by_scores(request, scores, unjudged=unjudged, cutoff=cutoff)


def follow_up(query: Query, document: Document, *, words: int) -> FollowUp:
    """The question, followed by a found passage's title and the first ``words`` words of its text."""
    asked, found = (query.asked, query.found) if isinstance(query, FollowUp) else (query, ())
    told = " ".join([query.text, document.title, *document.text.split()[:words]])
    return FollowUp(
        text=" ".join(told.split()),
        id=query.id,
        answers=query.answers,
        instruction=query.instruction,
        metadata=query.metadata,
        asked=asked,
        found=(*found, document),
    )


def _scored(
    request: RerankRequest, query: Query, places: Sequence[int]
) -> Generator[Sequence[Slate], Sequence[ScoredJudgement], tuple[list[float], tuple[int, ...]]]:
    """Scores of the candidates at ``places``, and which of the places had none."""
    judgements = yield [Slate(query, (request.candidates[i],)) for i in places]
    scores, missing = impute([judgement.scores[0] for judgement in judgements])
    return scores, tuple(places[i] for i in missing)
