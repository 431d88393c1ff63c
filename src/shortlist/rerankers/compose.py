"""Rankers made of rankers: the first stage as it is, a cutoff behind a ranker, a cascade. All stream, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Ranker, identity_of
from shortlist.rerankers.cutoffs import Rule, cut
from shortlist.types import Ranking, RerankRequest, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """Leaves the first stage's order as it is; its scores are the ranking's, if every candidate has one."""

    name: str = "first stage"

    @property
    def identity(self) -> str:
        """It has no settings."""
        return "input order"

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in order."""
        return map(first_stage, requests)


def first_stage(request: RerankRequest) -> Ranking:
    """The input order as a ranking."""
    scores = tuple(c.score for c in request.candidates if c.score is not None)
    told = scores if len(scores) == len(request) else None
    return Ranking.of(request, range(len(request)), scores=told)


@dataclass(frozen=True, slots=True)
class Keep:
    """A ranker whose cutoff a rule decides (see :mod:`~shortlist.rerankers.cutoffs`)."""

    ranker: Ranker
    rule: Rule

    @property
    def name(self) -> str:
        """The ranker's."""
        return self.ranker.name

    @property
    def identity(self) -> str:
        """The ranker's and the rule's."""
        return f"{identity_of(self.ranker)} keep {self.rule!r}"

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in order."""
        return (cut(ranking, self.rule) for ranking in self.ranker.rerank(requests))


@dataclass(frozen=True, slots=True)
class Gate:
    """Early exit: a ranker sees only those that a rule keeps of the order before it, by its scores; at most ``depth``.

    ``Gate(Threshold(0.0))`` spares the obvious negatives: what scores below is not judged, and the ranking counts it
    as ``skipped``. The first ranker of a cascade is gated by the first stage's scores, in their order.
    """

    rule: Rule
    depth: int | None = None

    def __post_init__(self) -> None:
        _check_depth(self.depth, "gate")

    def __call__(self, ranking: Ranking, /) -> int:
        """How many of the ranking pass."""
        return min(max(self.rule(ranking), 0), _within(ranking, self.depth))


def reach(ranking: Ranking, depth: int | Gate | None) -> int:
    """How many of a ranking the next ranker is given."""
    return depth(ranking) if isinstance(depth, Gate) else _within(ranking, depth)


def _within(ranking: Ranking, depth: int | None) -> int:
    return len(ranking) if depth is None else min(depth, len(ranking))


def _check_depth(depth: int | None, owner: str) -> None:
    if depth is not None and depth < 1:
        raise InvalidInput(f"{owner}: depth {depth}; give 1 or more, or None for all")


@dataclass(frozen=True, slots=True)
class Cascade:
    """Rankers one behind another; each reranks the first ``depth`` of what the one before it made (``None``: all; a
    :class:`Gate`: those that pass).

    ``Cascade(((fast, 100), (slow, 20)))``. What is deeper stays where it was. The last ranker's cutoff counts. Usage
    and problems add up; the status is that of all stages together. The scores are the last ranker's, if it ranked the
    whole list; scores of two rankers side by side would mean nothing.
    """

    stages: tuple[tuple[Ranker, int | Gate | None], ...]
    name: str = ""

    def __post_init__(self) -> None:
        if not self.stages:
            raise InvalidInput("a cascade needs at least one (ranker, depth)")
        for ranker, depth in self.stages:
            if not isinstance(depth, Gate):
                _check_depth(depth, f"cascade, {ranker.name!r}")
        if not self.name:
            object.__setattr__(self, "name", " >> ".join(ranker.name for ranker, _ in self.stages))

    @property
    def identity(self) -> str:
        """Those of its stages, with their depths."""
        return " >> ".join(f"{identity_of(ranker)} depth {depth}" for ranker, depth in self.stages)

    def rerank(self, requests: Iterable[RerankRequest], /) -> Iterator[Ranking]:
        """One ranking a request, in order; requests are read as the first ranker needs them."""
        (ranker, depth), *later = self.stages
        rankings = _stage(ranker, depth, (before(request, depth) for request in requests), first=True)
        for ranker, depth in later:
            rankings = _stage(ranker, depth, rankings, first=False)
        return rankings


def before(request: RerankRequest, depth: int | Gate | None) -> Ranking:
    """What a cascade's first ranker is given the head of: the input order; for a gate by first-stage score, if known."""
    untouched = first_stage(request)
    if not isinstance(depth, Gate) or untouched.scores is None:
        return untouched
    return Ranking.by_scores(request, untouched.scores)


def _stage(ranker: Ranker, depth: int | Gate | None, rankings: Iterable[Ranking], *, first: bool) -> Iterator[Ranking]:
    """Rerank the heads of rankings. Those that the ranker has taken and not yet given back wait in a queue."""
    taken: deque[Ranking] = deque()

    def heads() -> Iterator[RerankRequest]:
        for ranking in rankings:
            taken.append(ranking)
            yield RerankRequest(ranking.query, ranking.top(reach(ranking, depth)))

    for head in ranker.rerank(heads()):
        yield _joined(taken.popleft(), head, depth, first=first)


def _joined(whole: Ranking, head: Ranking, wanted: int | Gate | None, *, first: bool) -> Ranking:
    """The whole with its head reranked. What a gate kept back is skipped, until a later ranker judges it."""
    depth = len(head)
    held = whole.order[depth : _within(whole, wanted.depth)] if isinstance(wanted, Gate) else ()
    skipped = (set(whole.skipped) & set(whole.order[depth:])) | {whole.order[i] for i in head.skipped} | set(held)
    moved = tuple(whole.order[i] for i in head.order)
    unjudged = {whole.order[i] for i in head.unjudged} | (set(whole.unjudged) & set(whole.order[depth:]))
    return Ranking(
        request=whole.request,
        order=moved + whole.order[depth:],
        scores=head.scores if depth == len(whole) else None,
        cutoff=head.cutoff,
        status=head.status if first else Status.of_many((whole.status, head.status)),
        unjudged=tuple(sorted(unjudged)),
        problems=whole.problems + head.problems,
        reasoning=whole.reasoning + head.reasoning,
        usage=whole.usage + head.usage,
        skipped=tuple(sorted(skipped)),
        truncated=max(whole.truncated, head.truncated),  # much the same passages: the sum would count them twice
    )
