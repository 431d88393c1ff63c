"""Shortlist's own JSON: requests, rankings and rollouts, whole."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from shortlist.data.files import JsonObject, PathLike, read_jsonl
from shortlist.data.records import document_of, document_to_json, query_of, query_to_json, read_as
from shortlist.errors import InvalidInput
from shortlist.types import Candidate, Ranking, RerankRequest, Rollout, Status, Turn, Usage, Verdict


def request_to_json(request: RerankRequest, *, texts: bool = True) -> JsonObject:
    """A request as a JSON object; without ``texts``, candidates are ids and scores only."""
    candidates = [_candidate_to_json(candidate, texts=texts) for candidate in request.candidates]
    return {"query": query_to_json(request.query, "id"), "candidates": candidates}


def request_from_json(value: Mapping[str, Any]) -> RerankRequest:
    """The request that :func:`request_to_json` wrote; also that of a ranking's object.

    Raises:
        InvalidInput: it is no such object.
    """
    query, candidates = value.get("query"), value.get("candidates")
    if not isinstance(query, dict) or not isinstance(candidates, list):
        raise InvalidInput("not a request: wanted an object 'query' and a list 'candidates'")
    return RerankRequest(query_of(query), tuple(map(_candidate_from_json, candidates)))


def _candidate_to_json(candidate: Candidate, *, texts: bool) -> JsonObject:
    told = document_to_json(candidate.document, "id") if texts else {"id": candidate.id}
    return told if candidate.score is None else {**told, "score": number_to_json(candidate.score)}


def _candidate_from_json(value: Any) -> Candidate:
    if not isinstance(value, dict):
        raise InvalidInput(f"the candidate {str(value)[:60]!r} is not an object")
    fields = dict(value)
    score = fields.pop("score", None)
    return Candidate(document_of({"text": "", **fields}), None if score is None else number_from_json(score))


def number_to_json(value: float) -> float | str | None:
    """JSON has no NaN and no infinity: NaN is null, infinities are the words ``inf`` and ``-inf``."""
    return value if math.isfinite(value) else None if math.isnan(value) else str(value)


def number_from_json(value: Any) -> float:
    """The number that :func:`number_to_json` wrote; numbers written as strings are read, too."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"the score {value!r} is not a number") from None


# ------------------------------------------------------------------------------------------------ rankings


def ranking_to_json(ranking: Ranking, *, texts: bool = True) -> JsonObject:
    """A ranking and its request as one object; ``ranking.order`` points into ``candidates``, from 0."""
    scores = ranking.scores
    told = {
        "order": list(ranking.order),
        "scores": None if scores is None else [number_to_json(score) for score in scores],
        "cutoff": ranking.cutoff,
        "status": ranking.status.value,
        "unjudged": list(ranking.unjudged),
        "skipped": list(ranking.skipped),
        "problems": list(ranking.problems),
        "reasoning": list(ranking.reasoning),
        "usage": dataclasses.asdict(ranking.usage),
        "truncated": ranking.truncated,
    }
    return {**request_to_json(ranking.request, texts=texts), "ranking": told}


def ranking_from_json(value: Mapping[str, Any]) -> Ranking:
    """The ranking that :func:`ranking_to_json` wrote; without ``texts``, its documents have none.

    Raises:
        InvalidInput: it is no such object.
    """
    told = value.get("ranking")
    if not isinstance(told, dict):
        raise InvalidInput("not a ranking: wanted an object 'ranking' beside 'query' and 'candidates'")
    request = request_from_json(value)
    try:
        scores = told.get("scores")
        return Ranking(
            request=request,
            order=tuple(told["order"]),
            scores=None if scores is None else tuple(map(number_from_json, scores)),
            cutoff=told.get("cutoff"),
            status=Status(told.get("status", Status.OK)),
            unjudged=tuple(told.get("unjudged", ())),
            skipped=tuple(told.get("skipped", ())),
            problems=tuple(told.get("problems", ())),
            reasoning=tuple(told.get("reasoning", ())),
            usage=Usage(**told.get("usage", {})),
            truncated=told.get("truncated", 0),
        )
    except InvalidInput:
        raise
    except (KeyError, TypeError, ValueError) as problem:
        raise InvalidInput(f"not a ranking ({problem!r})") from problem


def read_rankings(path: PathLike) -> Iterator[Ranking]:
    """The rankings of a JSONL file, as they are needed."""
    return (read_as(ranking_from_json, record, path, number) for number, record in read_jsonl(path))


# ------------------------------------------------------------------------------------------------ rollouts


def rollout_to_json(rollout: Rollout, *, texts: bool = True) -> JsonObject:
    """A ranking with its turns: what was shown, what came back, how it was read, what it cost."""
    return {**ranking_to_json(rollout.ranking, texts=texts), "turns": [_turn_to_json(turn) for turn in rollout.turns]}


def _turn_to_json(turn: Turn[Verdict]) -> JsonObject:
    return {
        "slate": [candidate.id for candidate in turn.slate.candidates],
        "truncated": list(turn.slate.truncated),
        "messages": [message._asdict() for message in turn.messages],
        "text": turn.text,
        "verdict": {"kind": type(turn.verdict).__name__, **_plain(turn.verdict)},
        "usage": dataclasses.asdict(turn.usage),
        "error": turn.error,
    }


def _plain(value: Any) -> Any:
    """A verdict as JSON holds it, whatever fields its kind has."""
    if dataclasses.is_dataclass(value):
        return {spec.name: _plain(getattr(value, spec.name)) for spec in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return number_to_json(value) if isinstance(value, float) else value
