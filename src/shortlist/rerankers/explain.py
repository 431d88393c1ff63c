"""Why a ranking is as it is: the model's reasoning, the sentences that carry each match, what moved.

Spans are found by occlusion (Zeiler & Fergus 2014 for images; here by sentence), with a scorer and no look inside it:
each sentence is taken out, the rest is scored again, and the sentence's score is the share of the odds of relevance
that went with it: 1 − exp(−Δ), Δ the fall in log-odds. It lies in [0, 1]; a sentence whose loss changes nothing, or
helps, has no span. It costs one call a passage and one a sentence.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Ranker, Reranker
from shortlist.rerankers.calibration import Platt, Scale, logit, scale_of
from shortlist.rerankers.parts import pointwise_in
from shortlist.rerankers.strategies import Pointwise
from shortlist.types import Candidate, Document, Query, Ranking, Slate, Status, Turn, Usage

METHOD = "occlusion by sentence"
MAX_SENTENCES = 48
"""Of longer passages, so many sentences are looked at, from the beginning,"""
MAX_CHARACTERS = 16_000
"""and so many characters: models see no more."""
OCCLUDED = {"occluded": True}
"""The metadata of passages without a sentence, by which who watches a model at work tells them from the request's."""

# A run of stops is tried from its first one only: tried from each, long runs would take quadratic time.
_SENTENCE = re.compile(r"\S.*?(?:(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s|$)|[。！？]+|(?=\n)|$)", re.DOTALL)


class Span(NamedTuple):
    """A half-open stretch of a text, in Unicode code points, and how much of the match it carries, in [0, 1]."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRequest:
    """Spans of at least ``threshold``, at most ``max_spans`` a passage (``None``: all), best first."""

    threshold: float = 0.1
    max_spans: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or (self.max_spans is not None and self.max_spans < 1):
            raise InvalidInput(f"threshold {self.threshold}, max_spans {self.max_spans}: give 0 to 1, and at least 1")


def sentences(text: str, most: int = MAX_SENTENCES) -> list[tuple[int, int]]:
    """The first sentences' places: they end at a stop before a space, at a full-width stop, or at a line's end."""
    found = ((m.start(), m.start() + len(m[0].rstrip())) for m in _SENTENCE.finditer(text))
    return list(itertools.islice(((start, end) for start, end in found if end > start), most))


@dataclass(frozen=True, slots=True)
class Occlusion:
    """Passages and their sentences: what is to be scored, and the spans that the scores make.

    Deciding apart from doing: who has :attr:`slates` judged, in whatever batches, gives the turns to :meth:`spans`.
    """

    query: Query
    documents: tuple[Document, ...]
    places: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, query: Query, documents: Sequence[Document], *, most: int | None = None) -> Occlusion:
        """Of the documents' texts, titles left alone. Documents whose slates would exceed ``most`` in all have none."""
        left, places = math.inf if most is None else most, []
        for document in documents:
            found = sentences(document.text[:MAX_CHARACTERS])
            left -= len(found) + 1
            places.append(tuple(found) if left >= 0 else ())
        return cls(query, tuple(documents), tuple(places))

    @property
    def left_out(self) -> int:
        """How many documents have no slates though they have sentences: they would have cost too much."""
        return sum(
            not places and bool(document.text.strip())
            for document, places in zip(self.documents, self.places, strict=True)
        )

    @property
    def slates(self) -> list[Slate]:
        """Of each document the whole, then the whole without each sentence; nothing of a document without any."""
        return [
            _slate(self.query, document, text)
            for document, places in zip(self.documents, self.places, strict=True)
            for text in _variants(document.text[:MAX_CHARACTERS], places)
        ]

    def spans(self, turns: Sequence[Turn[Any]], scale: Scale, wanted: SpanRequest) -> list[tuple[Span, ...]]:
        """The spans of each document, from the turns of :attr:`slates` and the scale of their scores."""
        odds = iter([_log_odds(turn, scale) for turn in turns])
        return [
            _chosen(next(odds), [(*place, next(odds)) for place in places], wanted) if places else ()
            for places in self.places
        ]


def _variants(text: str, places: Sequence[tuple[int, int]]) -> list[str]:
    return [text, *(text[:start] + text[end:] for start, end in places)] if places else []


def _slate(query: Query, document: Document, text: str) -> Slate:
    return Slate(query, (Candidate(Document(id=document.id, text=text, title=document.title, metadata=OCCLUDED)),))


def _log_odds(turn: Turn[Any], scale: Scale) -> float:
    if turn.verdict.status is Status.FAILED:
        return math.nan
    score = float(turn.verdict.scores[0])
    if scale.kind in {"logit", "log-likelihood"} or scale.unit is None or isinstance(scale.unit, Platt):
        return score
    return logit(scale.unit(score))


def _chosen(whole: float, without: Sequence[tuple[int, int, float]], wanted: SpanRequest) -> tuple[Span, ...]:
    falls = [(start, end, whole - odds) for start, end, odds in without]
    found = [Span(start, end, 1 - math.exp(-fall)) for start, end, fall in falls if fall > 0]  # NaN is not
    best = sorted(
        (span for span in found if span.score >= wanted.threshold), key=lambda span: (-span.score, span.start)
    )
    return tuple(best[: wanted.max_spans])


# ------------------------------------------------------------------------------------------------ of a whole ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a passage stands where it does. ``rank`` and ``first_rank`` count from 1; ``spans`` are of its text.

    ``judged``: a verdict spoke of it; otherwise it has no score and is about where the first stage had it.
    """

    candidate: Candidate
    rank: int
    first_rank: int
    score: float | None
    judged: bool
    kept: bool
    spans: tuple[Span, ...] = ()

    @property
    def moved(self) -> int:
        """Places up from the first stage's order; negative: down."""
        return self.first_rank - self.rank

    @property
    def quotes(self) -> tuple[str, ...]:
        """The spans' words."""
        return tuple(self.candidate.document.text[span.start : span.end] for span in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a ranking is as it is. ``passages`` run along it, best first.

    ``reasoning``: what the model said before it judged, one text a call, where it reasons at all. ``method`` and
    ``scorer`` say how spans were found and by which model's scores; ``None``: nothing that scores passages by
    themselves was at hand, so there are none. ``usage`` is what finding them cost.
    """

    passages: tuple[Why, ...]
    reasoning: tuple[str, ...] = ()
    method: str | None = None
    scorer: str | None = None
    usage: Usage = Usage()

    @property
    def entered(self) -> tuple[Why, ...]:
        """Passages of the shortlist that as many of the first stage's best would not have held."""
        k = sum(why.kept for why in self.passages)
        return tuple(why for why in self.passages if why.kept and why.first_rank > k)

    @property
    def left(self) -> tuple[Why, ...]:
        """Passages that the first stage's best would have held, and the shortlist does not."""
        k = sum(why.kept for why in self.passages)
        return tuple(why for why in self.passages if not why.kept and why.first_rank <= k)


def explain(
    ranker: Ranker,
    ranking: Ranking,
    *,
    top: int | None = 10,
    wanted: SpanRequest = SpanRequest(),
    scorer: Reranker[Any] | None = None,
) -> Explanation:
    """Why ``ranker`` made ``ranking``; spans for its first ``top`` passages (``None``: all; 0: no calls).

    They are found with the scorer that ranked, or the one in the ranker that scores passages by themselves; for rankers
    that have none (listwise ones) a pointwise ``scorer`` may be given.

    Raises :class:`~shortlist.errors.InvalidInput` for a scorer that is not pointwise, or ``top`` below 0.
    """
    if top is not None and top < 0:
        raise InvalidInput(f"top is {top}; give 0 or more, or None for all")
    if scorer is not None and not isinstance(scorer.strategy, Pointwise):
        raise InvalidInput(f"{scorer.name!r} does not score passages by themselves; give a pointwise scorer")
    found = scorer or pointwise_in(ranker)
    if found is None or top == 0:
        return Explanation(passages=whys(ranking), reasoning=ranking.reasoning)
    work = Occlusion.of(ranking.query, [candidate.document for candidate in ranking.candidates[:top]])
    slates = work.slates
    turns = found.policy.judge(slates) if slates else []
    return Explanation(
        passages=whys(ranking, work.spans(turns, scale_of(found), wanted)),
        reasoning=ranking.reasoning,
        method=METHOD,
        scorer=found.name,
        usage=Usage.total(turn.usage for turn in turns),
    )


def whys(ranking: Ranking, spans: Sequence[tuple[Span, ...]] = ()) -> tuple[Why, ...]:
    """Along the ranking, with the spans of its first passages where these are known."""
    unjudged = frozenset(ranking.unjudged)
    scores = ranking.scores or (None,) * len(ranking)
    kept = len(ranking) if ranking.cutoff is None else ranking.cutoff
    return tuple(
        Why(
            candidate=ranking.request.candidates[place],
            rank=rank,
            first_rank=place + 1,
            score=None if place in unjudged else score,
            judged=place not in unjudged,
            kept=rank <= kept,
            spans=spans[rank - 1] if rank <= len(spans) else (),
        )
        for rank, (place, score) in enumerate(zip(ranking.order, scores, strict=True), 1)
    )
