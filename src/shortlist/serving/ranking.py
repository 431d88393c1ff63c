"""From a request of ours to its reply: the checks, the plan (ranking, then spans), and the numbers of the reply."""

from __future__ import annotations

import dataclasses
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rerankers.calibration import relevance, scale_of
from shortlist.rerankers.explain import MAX_SENTENCES, METHOD, Occlusion, Span, SpanRequest, whys
from shortlist.rerankers.parts import pointwise_in, rerankers_in
from shortlist.serving.asking import Asked, Occluded, Ranked, Refused, Result
from shortlist.serving.config import ServerConfig
from shortlist.serving.engine import Engine
from shortlist.serving.parts import passage_tokens, slate_tokens
from shortlist.serving.plans import Ask, Plan, forbid_failures, ranked
from shortlist.serving.served import Models, Served
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest, Slate, Status, Usage

CUT = "{} passages were cut to {} tokens, as asked"
EXPLAINED = 3
"""An explanation has spans for so many passages, unless spans are wished for by themselves."""
MAX_OCCLUSIONS = 1024
"""The most slates that the spans of one request may cost; what is left then has none, and a warning says so."""
_SENTENCE = 100  # characters, about


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request that has passed the checks. ``tokens`` is about how much work it is."""

    id: str
    asked: Asked
    served: Served
    request: RerankRequest
    tokens: int
    cut: int = 0
    began: float = dataclasses.field(default_factory=time.perf_counter)


def prepare(asked: Asked, models: Models, config: ServerConfig) -> Prepared:
    """Check a request, choose its model, cut its passages if that is asked, and make it ours."""
    served = models.choose(asked.model, asked.mode)
    _check(asked, config)
    texts, cut = _cut(asked, served)
    scores = asked.first_stage_scores or (None,) * len(texts)
    query = Query(text=asked.query, instruction=asked.instruction)
    candidates = [
        Candidate(Document(id=str(i), text=text), score)
        for i, (text, score) in enumerate(zip(texts, scores, strict=True))
    ]
    request = RerankRequest(query, tuple(candidates))
    return Prepared(
        id=f"rerank-{uuid.uuid4().hex}",
        asked=asked,
        served=served,
        request=request,
        tokens=work_of(served, request) + occlusions_of(asked, served, request),
        cut=cut,
    )


def work_of(served: Served, request: RerankRequest) -> int:
    """About how many tokens of passages its models have to read."""
    parts = rerankers_in(served.ranker)
    each = max((passage_tokens(part.policy) for part in parts), default=512)
    query = 16 + min(len(request.query.text), 2048) // 4
    return sum(query + min(len(c.document.text), 4 * each) // 4 for c in request.candidates)


def occlusions_of(asked: Asked, served: Served, request: RerankRequest) -> int:
    """About how many tokens its spans cost: which passages will have them, nobody knows yet."""
    wanted = _spanning(asked, len(request))
    scorer = pointwise_in(served.ranker) if wanted else None
    if scorer is None:
        return 0
    each = passage_tokens(scorer.policy)
    left, tokens = MAX_OCCLUSIONS, 0
    for candidate in request.candidates[:wanted]:
        slates = min(left, 2 + min(len(candidate.document.text) // _SENTENCE, MAX_SENTENCES))
        tokens += slates * slate_tokens(Slate(request.query, (candidate,)), each)
        left -= slates
    return tokens


def _check(asked: Asked, config: ServerConfig) -> None:
    if not asked.query.strip():
        raise Refused("empty", "the query is blank; give it some words", parameter="query")
    if len(asked.query) > config.max_query:
        raise Refused("invalid", f"the query is longer than {config.max_query} characters", parameter="query")
    if not asked.texts:
        raise Refused("empty", "there are no documents; give at least one", parameter="documents")
    if len(asked.texts) > config.max_documents:
        told = f"{len(asked.texts)} documents; this server takes {config.max_documents} at a time"
        raise Refused("too_many", told, parameter="documents")
    scores = asked.first_stage_scores
    if scores is not None and len(scores) != len(asked.texts):
        told = f"{len(scores)} first-stage scores for {len(asked.texts)} documents; give one each"
        raise Refused("invalid", told, parameter="rerank.first_stage_scores")


def _cut(asked: Asked, served: Served) -> tuple[tuple[str, ...], int]:
    """The texts within ``max_tokens``, and how many were cut."""
    most = asked.max_tokens
    if most is None:
        return asked.texts, 0
    pairs = [served.cut(text, most) if len(text) > most else (text, False) for text in asked.texts]
    return tuple(text for text, _ in pairs), sum(lost for _, lost in pairs)


# ------------------------------------------------------------------------------------------------ the plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan comes to: the ranking, and the spans of its first passages where they were asked for.

    ``spanless``: so many passages were not looked at for spans, since they would have cost too much.
    """

    ranking: Ranking
    spans: tuple[tuple[Span, ...], ...] = ()
    occluded: Occluded | None = None
    spanless: int = 0


def planned(engine: Engine, prepared: Prepared) -> Callable[[], Plan[Outcome]]:
    """Makes the plan of a request; each call gives a fresh one."""

    def plan() -> Plan[Outcome]:
        asked, served = prepared.asked, prepared.served
        ranking = yield from ranked(engine, served.ranker, prepared.request, raising=asked.on_error == "raise")
        wanted = _spanning(asked, shown_of(asked, ranking))
        scorer = pointwise_in(served.ranker) if wanted else None
        if scorer is None:
            return Outcome(ranking)
        best = [candidate.document for candidate in ranking.candidates[:wanted]]
        work = Occlusion.of(prepared.request.query, best, most=MAX_OCCLUSIONS)
        slates = work.slates
        turns = (yield Ask(engine.of_reranker(scorer), slates)) if slates else ()
        spans = work.spans(turns, scale_of(scorer), asked.spans or SpanRequest())
        told = Occluded(method=METHOD, scorer=scorer.name, usage=Usage.total(turn.usage for turn in turns))
        return Outcome(ranking, tuple(spans), told, work.left_out)

    return plan


def _spanning(asked: Asked, shown: int) -> int:
    """How many results are to have spans."""
    if asked.spans is not None:
        return shown
    return min(shown, EXPLAINED) if asked.explain and not asked.spans_refused else 0


def shown_of(asked: Asked, ranking: Ranking) -> int:
    """How many results the reply has."""
    most = len(ranking) if asked.top_n is None else min(asked.top_n, len(ranking))
    return min(most, ranking.cutoff) if asked.keep_auto and ranking.cutoff is not None else most


# ------------------------------------------------------------------------------------------------ the reply


def reply_of(prepared: Prepared, outcome: Outcome, *, expired: bool = False, partial: bool = False) -> Ranked:
    """The reply; or a refusal, where nothing came of it. ``partial``: more is to come, so nothing is refused."""
    asked, ranking = prepared.asked, outcome.ranking
    if prepared.cut > ranking.truncated:
        ranking = dataclasses.replace(ranking, truncated=prepared.cut)
    if not partial:
        _forbid(asked, ranking, expired=expired)
    values, kind = relevance(ranking, prepared.served.scale)
    unjudged = frozenset(ranking.unjudged) | frozenset(ranking.skipped)
    why = whys(ranking, outcome.spans) if asked.explain else None
    results = tuple(
        Result(
            index=place,
            rank=rank,
            text=asked.texts[place],
            relevance=values[rank],
            raw=_finite(ranking, rank) if kind != "rank" else None,
            judged=place not in unjudged,
            spans=outcome.spans[rank] if asked.spans is not None and rank < len(outcome.spans) else (),
            why=None if why is None else why[rank],
        )
        for rank, place in enumerate(ranking.order[: shown_of(asked, ranking)])
    )
    return Ranked(
        id=prepared.id,
        model=prepared.served.name,
        mode=prepared.served.mode,
        asked=asked,
        ranking=ranking,
        results=results,
        score_kind=kind,
        expired=expired,
        occluded=outcome.occluded,
        warnings=_warnings(prepared, outcome, kind),
        seconds=time.perf_counter() - prepared.began,
    )


def _finite(ranking: Ranking, rank: int) -> float | None:
    assert ranking.scores is not None  # noqa: S101 - the kind would be "rank"
    score = ranking.scores[rank]
    return score if math.isfinite(score) else None


def _forbid(asked: Asked, ranking: Ranking, *, expired: bool) -> None:
    told = "; ".join(ranking.problems) or "nothing could be judged"
    if asked.cut_forbidden and ranking.truncated:
        raise Refused("invalid", f"{ranking.truncated} passages are longer than the model takes, and truncation is off")
    if ranking.status is Status.FAILED and not expired and asked.on_error is None:
        raise Refused("backend", told)


def _warnings(prepared: Prepared, outcome: Outcome, kind: str) -> tuple[str, ...]:
    asked = prepared.asked
    told = list(asked.warnings)
    if prepared.cut and asked.max_tokens is not None:
        told.append(CUT.format(prepared.cut, asked.max_tokens))
    if asked.spans is not None and pointwise_in(prepared.served.ranker) is None:
        told.append("no relevant_spans: this model does not score passages by themselves")
    if outcome.spanless:
        told.append(
            f"{outcome.spanless} results have no relevant_spans: all would cost too much; ask for a smaller top_n"
        )
    if asked.raw_scores and kind == "rank":
        told.append("no raw scores: this model only orders, and the scores are by rank")
    if asked.keep_auto and outcome.ranking.cutoff is None:
        told.append("k is auto, but this model states no cutoff: all are kept")
    return tuple(told)


def scored(engine: Engine, served: Served, pairs: list[tuple[str, str]]) -> Callable[[], Plan[list[float]]]:
    """The plan that scores pairs, each by itself: raw scores, in order."""
    scorer = pointwise_in(served.ranker)
    if scorer is None or not served.scale.absolute:
        raise Refused(
            "invalid", f"model {served.name!r} ranks lists; it has no scores for single pairs", parameter="model"
        )
    for query, _ in pairs:
        if not query.strip():
            raise Refused("empty", "a query is blank; give it some words")
    try:
        slates = [Slate(Query(text=q), (Candidate(Document(id=str(i), text=p)),)) for i, (q, p) in enumerate(pairs)]
    except InvalidInput as problem:
        raise Refused("invalid", str(problem)) from problem

    def plan() -> Plan[list[float]]:
        turns = yield Ask(engine.of_reranker(scorer), slates)
        forbid_failures(turns)
        return [float(turn.verdict.scores[0]) for turn in turns]

    return plan
