"""The rewards by name, as recipes call them, and sums of them from plain values."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shortlist.backends.base import Completer, Embedder
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rewards.text.answers import AnswerHeld, AnswerLikelihood, AnswerReward, ListCost, ReaderDesk
from shortlist.rewards.text.base import TextReward, WeightedTextReward
from shortlist.rewards.text.format import GroupRankFormat, RearankFormat, ReasonRankFormat, ReplyCost, StatusFormat
from shortlist.rewards.text.judge import Judge, JudgePrompt
from shortlist.rewards.text.label import ExactLabel, Exclusion
from shortlist.rewards.text.measures import BertScore, Similarity, Words
from shortlist.rewards.text.pooled import CounterfactualNDCG, PooledNDCG, PooledRank, TeacherError
from shortlist.rewards.text.ranking import NDCG, Alignment, RankOverlap, Recall, RelativeNDCG


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The models that rewards ask: a reader at its desk, an embedding model, a judge."""

    desk: ReaderDesk | None = None
    embedder: Embedder | None = None
    judge: Completer | None = None


def _words(kind: str) -> Callable[..., TextReward]:
    def factory(*, desk: ReaderDesk, name: str = kind, **options: Any) -> TextReward:
        return AnswerReward(desk=desk, measure=Words(kind), name=name, **options)

    return factory


def _similarity(
    *, desk: ReaderDesk, embedder: Embedder, floor: float = 0.0, name: str = "similarity", **options: Any
) -> TextReward:
    return AnswerReward(desk=desk, measure=Similarity(embedder, floor=floor), name=name, **options)


def _bertscore(
    *, desk: ReaderDesk, scorer: Mapping[str, Any] | None = None, name: str = "bertscore", **options: Any
) -> TextReward:
    return AnswerReward(desk=desk, measure=BertScore(scorer), name=name, **options)


def _judge(
    *,
    desk: ReaderDesk,
    judge: Completer,
    rubric: str | None = None,
    max_tokens: int = 16,
    name: str = "judge",
    **options: Any,
) -> TextReward:
    prompt = JudgePrompt() if rubric is None else JudgePrompt(rubric=rubric)
    return AnswerReward(desk=desk, measure=Judge(judge, prompt, max_tokens), name=name, **options)


REWARDS: Final[Mapping[str, Callable[..., TextReward]]] = {
    "ndcg": NDCG,
    "relative-ndcg": RelativeNDCG,
    "recall": Recall,
    "rbo": RankOverlap,
    "alignment": Alignment,
    "rearank-format": RearankFormat,
    "grouprank-format": GroupRankFormat,
    "reasonrank-format": ReasonRankFormat,
    "status-format": StatusFormat,
    "reply-cost": ReplyCost,
    "pooled-rank": PooledRank,
    "pooled-ndcg": PooledNDCG,
    "counterfactual-ndcg": CounterfactualNDCG,
    "teacher-error": TeacherError,
    "exact-label": ExactLabel,
    "exclusion": Exclusion,
    "em": _words("em"),
    "f1": _words("f1"),
    "rouge-l": _words("rouge-l"),
    "likelihood": AnswerLikelihood,
    "has-answer": AnswerHeld,
    "similarity": _similarity,
    "bertscore": _bertscore,
    "judge": _judge,
    "list-cost": ListCost,
}
"""What makes each reward, from its options; those that ask a model take it by the name it has in :class:`Tools`."""

_TOOLS: Final = tuple(field.name for field in dataclasses.fields(Tools))
_MEASURED: Final = ("keep", "strict", "unanswerable")


def needs(kind: str) -> frozenset[str]:
    """The tools that a reward asks, by their names in :class:`Tools`."""
    return frozenset(name for name in _parameters(kind) if name in _TOOLS)


def make_reward(kind: str, tools: Tools | None = None, /, **options: Any) -> TextReward:
    """A reward by its name in :data:`REWARDS` and its options.

    Raises:
        UnknownName: there is no such reward, or it has no such option; the message lists those that are.
        InvalidInput: a value that does not fit, or a tool that is not there.
    """
    known = [name for name in _parameters(kind) if name not in _TOOLS]
    for name, value in options.items():
        if name not in known:
            raise UnknownName(f"option of reward {kind!r}", name, known)
        _check_type(kind, name, value)
    found = {name: getattr(tools, name, None) for name in needs(kind)}
    for name, tool in found.items():
        if tool is None:
            raise InvalidInput(f"reward {kind!r} asks a model and there is no {name}; give one")
    try:
        return REWARDS[kind](**found, **options)
    except TypeError as problem:
        raise InvalidInput(f"options {options} of reward {kind!r}: {problem}") from problem


def make_weighted(parts: Mapping[str, Any], tools: Tools | None = None) -> WeightedTextReward:
    """A sum of rewards from plain values, as a recipe holds them.

    Each name goes with a weight, or with an object of ``weight`` (1 by default), ``kind`` (the name by default, so that
    one reward may come twice under two names) and options: ``{"ndcg": 1, "head": {"kind": "ndcg", "k": 3, "weight": 0.5}}``.
    A weight of 0 leaves the part out. Raises as :func:`make_reward`.
    """
    made: list[tuple[TextReward, float]] = []
    for name, told in parts.items():
        options = dict(told) if isinstance(told, Mapping) else {"weight": told}
        weight, kind = options.pop("weight", 1.0), options.pop("kind", name)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InvalidInput(f"the weight of reward {name!r} is {weight!r}; give a number")
        if weight:
            made.append((make_reward(kind, tools, name=name, **options), float(weight)))
    return WeightedTextReward(tuple(made))


def _check_type(kind: str, name: str, value: Any) -> None:
    """A value from YAML is of its default's type; a whole number will do for a number."""
    parameter = inspect.signature(REWARDS[kind]).parameters.get(name)
    wanted = type(None if parameter is None else parameter.default)
    if wanted in {bool, int, float, str} and type(value) not in ({int, float} if wanted is float else {wanted}):
        raise InvalidInput(f"{name} of reward {kind!r} is {value!r}; give a value of type {wanted.__name__}")


def _parameters(kind: str) -> list[str]:
    if kind not in REWARDS:
        raise UnknownName("reward", str(kind), REWARDS)
    parameters = inspect.signature(REWARDS[kind]).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    return names + (list(_MEASURED) if len(names) < len(parameters) else [])
