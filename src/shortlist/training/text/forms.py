"""From a recipe's words to a prompt, from a target to the reply that is imitated, and from both to what serves.

A reranker under training is built as the catalog builds one that serves, only that its completer is the model at hand.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from shortlist.backends.base import Completer, Scorer
from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.kinds import KINDS, Order
from shortlist.rerankers.spec import Options, read_options
from shortlist.text.base import PromptBase
from shortlist.text.groupwise import GroupScores
from shortlist.text.pointwise import TOP, PointwiseRating, PointwiseYesNo
from shortlist.text.subset import Subset
from shortlist.training.text.lesson_order import unit_of
from shortlist.training.text.recipe import PromptRecipe, TextRecipe
from shortlist.types import Slate, Status

_SERVED: dict[str, tuple[str, dict[str, str]]] = {
    "listwise": ("listwise", {}),
    "listwise-reasoning": ("listwise", {"reasoning": "true"}),
    "group-scores": ("groupwise", {}),
    "subset": ("dynamic", {}),
    "pointwise-rating": ("pointwise", {"prompt": "rating", "read": "text"}),
    "pointwise-yes-no": ("pointwise", {"prompt": "yes-no", "read": "text"}),
    "setwise": ("setwise", {"read": "text"}),
    "setwise-reasoning": ("setwise", {"reasoning": "true"}),
}
"""Prompt kind → the catalog's kind that asks it, and its options."""


def prompt_of(told: PromptRecipe) -> PromptBase:
    """The prompt; raises :class:`InvalidInput` for a field that this kind of prompt does not have."""
    if told.kind not in _SERVED:
        raise UnknownName("prompt kind", told.kind, _SERVED)
    kind = PromptBase.registry[told.kind]
    known = {field.name for field in dataclasses.fields(kind)}
    given = {name: value for name, value in dataclasses.asdict(told).items() if value is not None}
    fields = {name: value for name, value in given.items() if name not in {"kind", "reply_tokens"}}
    for name in fields:
        if name not in known:
            raise UnknownName(f"field of prompt {told.kind!r}", name, known)
    return kind(**fields)


def served(recipe: TextRecipe, prompt: PromptBase) -> tuple[str, dict[str, str]]:
    """The catalog's kind and options that the checkpoint is served with; ``recipe.serve`` overrules."""
    kind, options = _SERVED[prompt.kind]
    options = dict(options)
    if getattr(prompt, "reasoning", False):
        options["reasoning"] = "true"
    if isinstance(prompt, PointwiseRating):
        options["scoring"] = prompt.scoring
    if recipe.prompt.reply_tokens is not None:
        options["max_tokens"] = str(recipe.prompt.reply_tokens)
    if recipe.sampling.constrain and recipe.method != "sft":
        options["constrain"] = "true"  # as its replies were drawn
    options |= read_options(recipe.serve, "serve") if recipe.serve else {}
    if options.get("read") == "labels" and not (reasons(prompt) or isinstance(prompt, GroupScores)):
        for name in ("max_tokens", "constrain"):  # nothing is written
            options.pop(name, None)
    return kind, options


class _LiveOrder(Order):
    """An order to the catalog whose model is at hand already."""

    def __init__(self, completer: Completer, options: Options, prompt: PromptBase) -> None:
        super().__init__(model="live", options=options, prompt=prompt)
        self._completer = completer

    def llm(self) -> Completer:
        """The model at hand."""
        return self._completer

    def scorer(self) -> Scorer:
        """The same, if it tells likelihoods."""
        if not isinstance(self._completer, Scorer):
            raise InvalidInput("the model under training does not tell likelihoods; serve with read=text")
        return self._completer


def live_reranker(completer: Completer, kind: str, options: Mapping[str, str], prompt: PromptBase) -> Reranker[Any]:
    """The reranker that serves this prompt, over a completer at hand."""
    told = Options(kind, dict(options))
    made = KINDS[kind](_LiveOrder(completer, told, prompt))
    told.done()
    return Reranker(policy=made.policy, strategy=made.strategy, name=kind)


def reply_tokens(recipe: TextRecipe, prompt: Any, slate: Slate) -> int:
    """The most tokens of a reply."""
    return recipe.prompt.reply_tokens or int(prompt.reply_tokens(slate))


# ------------------------------------------------------------------------------------------------ targets


def completion(prompt: Any, target: Target, slate: Slate) -> str:
    """The reply that states the target, as the prompt's own parser reads it back.

    Raises :class:`InvalidInput` if the target says too little for this prompt, or more than its parser reads.
    """
    need = _lacks(prompt, target)
    if need:
        raise InvalidInput(f"the target has no {need}, which prompt {prompt.kind!r} needs")
    text = str(prompt.write(target.judgement(len(slate))))
    verdict = prompt.parse(text, slate)
    if verdict.status is not Status.OK:
        raise InvalidInput(f"prompt {prompt.kind!r} cannot state the target: {'; '.join(verdict.problems)}")
    return text


def reasons(prompt: Any) -> bool:
    """Whether it asks for reasoning before the answer."""
    return bool(getattr(prompt, "reasoning", False)) or str(prompt.kind).endswith("-reasoning")


def _lacks(prompt: Any, target: Target) -> str:
    if reasons(prompt) and not target.reasoning:
        return "reasoning"
    if isinstance(prompt, Subset):
        return "" if target.subset is not None else "subset"
    top = 1 if isinstance(prompt, PointwiseYesNo) else TOP
    if isinstance(prompt, GroupScores | PointwiseRating | PointwiseYesNo):
        if target.scores is None:
            return "scores"
        if not all(0 <= score <= top and math.isfinite(score) for score in target.scores):
            return f"scores within 0 to {top}"
        whole = isinstance(prompt, PointwiseYesNo) or all(score == int(score) for score in target.scores)
        return "" if whole else "whole scores"
    return "" if target.order or target.scores is not None else "order"


def fitted_lessons(prompt: PromptBase, lessons: Iterable[Lesson]) -> list[Lesson]:
    """The lessons as slates that the prompt takes: for a pointwise prompt, one for each passage."""
    if prompt.slate_size is None:
        return [lesson for lesson in lessons if len(lesson)]
    if prompt.slate_size != 1:
        raise InvalidInput(f"prompt {prompt.kind!r} takes slates of {prompt.slate_size}; it cannot be trained so far")
    return [single for place, lesson in enumerate(lessons) for single in _singles(lesson, f"list {place}")]


def _singles(lesson: Lesson, name: str) -> Iterable[Lesson]:
    """One lesson a passage; grades stay those of the whole pool, which pooled rewards need, and each list is a pool."""
    if len(lesson) == 1:
        return [lesson]
    named = dataclasses.replace(lesson, meta={"pool": name, **lesson.meta})
    return [named.part([place]) for place in range(len(lesson))]


def whole(lessons: Iterable[Lesson]) -> list[Lesson]:
    """Lessons of one passage put together again by pool, as requests to be ranked; the others as they are."""
    pools: dict[str, list[Lesson]] = {}
    others: list[Lesson] = []
    for lesson in lessons:
        if len(lesson) == 1:
            pools.setdefault(unit_of(lesson, 0), []).append(lesson)
        elif len(lesson):
            others.append(lesson)
    return others + [_pooled(pool) for pool in pools.values()]


def _pooled(pool: list[Lesson]) -> Lesson:
    first = pool[0]
    by_id = {lesson.ids[0]: lesson for lesson in pool}
    known = [lesson.target.scores for lesson in by_id.values() if lesson.target is not None]
    scores = tuple(score for told in known if told is not None for score in told)
    return Lesson(
        slate=Slate(first.slate.query, tuple(lesson.slate.candidates[0] for lesson in by_id.values())),
        grades={docid: grade for lesson in pool for docid, grade in lesson.grades.items()},
        teacher={docid: score for lesson in by_id.values() for docid, score in lesson.teacher.items()},
        target=Target(scores=scores) if len(scores) == len(by_id) else None,
        meta=first.meta,
    )
