"""The largest wins and losses with their passages: found in the columns, told from one more pass over the requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from shortlist.evaluation.experiment import Example, Shown, Side, System
from shortlist.evaluation.journal import Journal
from shortlist.evaluation.outcome import Outcome
from shortlist.types import Qrels, RerankRequest

CLIP: Final = 700
"""Characters of a passage that an example shows."""


def extremes(first: System, system: System, measure: str, count: int) -> list[str]:
    """The queries with the ``count`` largest gains and losses over the first stage; ties in the queries' order."""
    delta = system.values(measure) - first.values(measure)
    delta = np.where(np.isnan(delta), 0.0, delta)
    order = np.argsort(-delta, kind="stable")
    wins = [row for row in order[:count] if delta[row] > 0]
    losses = [row for row in order[::-1][:count] if delta[row] < 0]
    return [system.query_ids[row] for row in (*wins, *reversed(losses))]


def find_examples(
    systems: Sequence[System],
    journals: Sequence[Journal],
    requests: Iterable[RerankRequest],
    qrels: Qrels | None,
    *,
    measure: str,
    count: int,
) -> list[tuple[Example, ...]]:
    """Examples for each system, none for the first; requests are read only as far as needed."""
    chosen = [[], *(extremes(systems[0], system, measure, count) for system in systems[1:])]
    wanted = {query_id for ids in chosen for query_id in ids}
    if not wanted:
        return [() for _ in systems]
    outcomes = [
        {outcome.query_id: outcome for outcome in journal.outcomes() if outcome.query_id in wanted}
        for journal in journals
    ]
    asked = _requests(requests, wanted)
    return [
        tuple(
            _example(asked[query_id], outcomes[0][query_id], after[query_id], (qrels or {}).get(query_id, {}), measure)
            for query_id in ids
        )
        for ids, after in zip(chosen, outcomes, strict=True)
    ]


def _requests(requests: Iterable[RerankRequest], wanted: set[str]) -> dict[str, RerankRequest]:
    found: dict[str, RerankRequest] = {}
    for request in requests:
        if request.query.id in wanted:
            found[request.query.id] = request
            if len(found) == len(wanted):
                break
    return found


def _example(
    request: RerankRequest, before: Outcome, after: Outcome, grades: Mapping[str, int], measure: str
) -> Example:
    return Example(
        query_id=request.query.id,
        query=request.query.text,
        answers=request.query.answers,
        before=_side(request, before, grades, measure),
        after=_side(request, after, grades, measure),
    )


def _side(request: RerankRequest, outcome: Outcome, grades: Mapping[str, int], measure: str) -> Side:
    return Side(
        value=outcome.values[measure],
        kept=outcome.cutoff,
        answer=outcome.answers.get(measure.rpartition("@")[2]),
        passages=tuple(_shown(request, outcome, rank, grades) for rank in range(len(outcome.top))),
    )


def _shown(request: RerankRequest, outcome: Outcome, rank: int, grades: Mapping[str, int]) -> Shown:
    place = next(i for i, candidate in enumerate(request.candidates) if candidate.id == outcome.top[rank])
    document = request.candidates[place].document
    return Shown(
        id=document.id,
        title=document.title,
        text=document.text if len(document.text) <= CLIP else document.text[:CLIP] + "…",
        score=outcome.scores[rank] if outcome.scores else None,
        place=place + 1,
        grade=grades.get(document.id),
    )
