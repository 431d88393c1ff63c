"""What a ranker is made of: the rerankers in it, which of them has the last word, what they judge together."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from shortlist.rerankers.base import Ranker, Reranker
from shortlist.rerankers.compose import Cascade, FirstStage, Keep
from shortlist.rerankers.fusion import Ensemble, Fused
from shortlist.rerankers.strategies import (
    AllPairs,
    DynamicK,
    Groups,
    Hops,
    PairwiseSort,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)

Mode: TypeAlias = Literal["pointwise", "listwise", "groupwise", "dynamic", "pairwise", "setwise", "none", "other"]

_MODES: dict[type, Mode] = {
    Pointwise: "pointwise",
    Hops: "pointwise",
    SlidingWindow: "listwise",
    WholeList: "listwise",
    Tournament: "listwise",
    Groups: "groupwise",
    DynamicK: "dynamic",
    PairwiseSort: "pairwise",
    AllPairs: "pairwise",
    SetwiseHeap: "setwise",
}


def mode_of(ranker: Ranker) -> Mode:
    """What is judged together; of a cascade, in its last stage."""
    core = core_of(ranker)
    if isinstance(core, Reranker):
        return _MODES.get(type(core.strategy), "other")
    return "none" if isinstance(core, FirstStage) else "other"


def core_of(ranker: Ranker) -> Ranker:
    """The ranker whose scores a composed one gives: under rules and fusion, and at a cascade's end."""
    if isinstance(ranker, Keep | Fused):
        return core_of(ranker.ranker)
    return core_of(ranker.stages[-1][0]) if isinstance(ranker, Cascade) else ranker


def rerankers_in(ranker: Ranker) -> list[Reranker[Any]]:
    """All rerankers that a ranker is made of, the one that has the last word first."""
    if isinstance(ranker, Reranker):
        return [ranker]
    if isinstance(ranker, Keep | Fused):
        return rerankers_in(ranker.ranker)
    if isinstance(ranker, Cascade):
        return [found for stage, _ in reversed(ranker.stages) for found in rerankers_in(stage)]
    return [found for part in ranker.rankers for found in rerankers_in(part)] if isinstance(ranker, Ensemble) else []


def pointwise_in(ranker: Ranker) -> Reranker[Any] | None:
    """The reranker that can score a passage by itself, if there is one in it."""
    return next((found for found in rerankers_in(ranker) if isinstance(found.strategy, Pointwise)), None)
