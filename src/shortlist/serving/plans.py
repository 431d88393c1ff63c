"""Plans: what one request wants judged next, and in which lane; written once for rerankers and all that is made of them.

A plan is a strategy's flow, one floor up: it yields :class:`Ask` (items for a lane) and is sent the results. The engine
runs many plans at once. Rankers made of rankers are put together by the library's own classes, from the parts'
rankings, so that what is served is what the library gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from shortlist.errors import InvalidInput, JudgementFailed
from shortlist.rerankers.base import Ranker, Reranker, account
from shortlist.rerankers.compose import Cascade, FirstStage, Gate, Keep, before, reach
from shortlist.rerankers.fusion import Ensemble, Fused
from shortlist.serving.lanes import Lane
from shortlist.types import Flow, Ranking, RerankRequest, Slate, Status, Turn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Items that a plan wants results for, one each, from a lane."""

    lane: Lane
    items: Sequence[Any]


Plan: TypeAlias = Generator[Ask, Sequence[Any], T]


class Lanes(Protocol):
    """Finds the lane of a part."""

    def of_reranker(self, reranker: Reranker[Any], /) -> Lane:
        """Where its slates are judged."""

    def of_ranker(self, ranker: Ranker, /) -> Lane:
        """Where a ranker that shows no flow is run whole."""


def ranked(lanes: Lanes, ranker: Ranker, request: RerankRequest, *, raising: bool = False) -> Plan[Ranking]:
    """The plan of a ranker for one request.

    ``raising``: a slate that cannot be judged raises :class:`~shortlist.errors.JudgementFailed`.
    """
    if isinstance(ranker, Reranker):
        return (yield from _flowing(lanes, ranker, request, raising=raising))
    if isinstance(ranker, Keep | Fused):
        inner = yield from ranked(lanes, ranker.ranker, request, raising=raising)
        return only(dataclasses.replace(ranker, ranker=Given(inner)), request)
    if isinstance(ranker, Cascade):
        return (yield from _cascading(lanes, ranker, request, raising=raising))
    if isinstance(ranker, Ensemble):
        parts = []
        for part in ranker.rankers:
            ranking = yield from ranked(lanes, part, request, raising=raising)
            parts.append(Given(ranking))
        return only(dataclasses.replace(ranker, rankers=tuple(parts)), request)
    if isinstance(ranker, FirstStage):
        return only(ranker, request)
    whole: Ranking
    (whole,) = yield Ask(lanes.of_ranker(ranker), [request])
    if raising and whole.status is Status.FAILED:
        raise JudgementFailed("; ".join(whole.problems) or "nothing could be judged")
    return whole


def only(ranker: Ranker, request: RerankRequest) -> Ranking:
    """The one ranking of one request."""
    (ranking,) = ranker.rerank([request])
    return ranking


@dataclass(frozen=True, slots=True)
class Given:
    """A ranker whose ranking is known already: it stands in for a part that the engine has run."""

    ranking: Ranking

    @property
    def name(self) -> str:
        """Nobody sees it."""
        return "given"

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """The known ranking, whatever is asked."""
        return (self.ranking for _ in requests)


def _flowing(lanes: Lanes, reranker: Reranker[Any], request: RerankRequest, *, raising: bool) -> Plan[Ranking]:
    """A strategy's flow; the lane in place of the driver."""
    lane = lanes.of_reranker(reranker)
    raising = raising or reranker.on_error == "raise"
    flow: Flow[Any] = reranker.strategy.flow(request)
    turns: list[Turn[Any]] = []
    try:
        wanted = _step(flow, None)
        while not isinstance(wanted, Ranking):
            judged: Sequence[Turn[Any]] = (yield Ask(lane, wanted)) if wanted else ()
            if raising:
                forbid_failures(judged)
            turns.extend(judged)
            wanted = _step(flow, [turn.verdict for turn in judged])
    finally:
        flow.close()
    return account(wanted, turns)


def _step(flow: Flow[Any], verdicts: list[Any] | None) -> Sequence[Slate] | Ranking:
    try:
        return next(flow) if verdicts is None else flow.send(verdicts)
    except StopIteration as end:
        if not isinstance(end.value, Ranking):
            raise InvalidInput(f"the flow {flow!r} ended with {end.value!r}; it must return a Ranking") from None
        return end.value


def forbid_failures(turns: Iterable[Turn[Any]]) -> None:
    """Raise for the first slate that could not be judged, as a reranker with ``on_error="raise"`` does."""
    for turn in turns:
        if turn.verdict.status is Status.FAILED:
            raise JudgementFailed(turn.error or "; ".join(turn.verdict.problems) or "the reply could not be read")


def _cascading(lanes: Lanes, cascade: Cascade, request: RerankRequest, *, raising: bool) -> Plan[Ranking]:
    """Stage by stage; after each, the library joins what the stages so far have made."""
    done: list[tuple[Ranker, int | Gate | None]] = []
    so_far = before(request, cascade.stages[0][1])
    for stage, depth in cascade.stages:
        head = RerankRequest(request.query, so_far.top(reach(so_far, depth)))
        done.append((Given((yield from ranked(lanes, stage, head, raising=raising))), depth))
        so_far = only(Cascade(tuple(done)), request)
    return so_far
