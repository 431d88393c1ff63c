"""What a reply is measured against: the lesson's grades, its teacher's scores, or its target, by place of the slate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, UnknownName

Gold: TypeAlias = Literal["grades", "teacher", "target"]
GOLDS: Final = ("grades", "teacher", "target")


def check_gold(gold: str) -> None:
    """Raise :class:`UnknownName` for a source that a lesson does not have."""
    if gold not in GOLDS:
        raise UnknownName("gold", gold, GOLDS)


def gold_levels(lesson: Lesson, gold: Gold) -> tuple[float, ...] | None:
    """How good each passage of the slate is, in [0, 1], by place; ``None``: the lesson does not say.

    ``grades``: the grade over the highest one shown; a passage that was not judged is worth 0. ``teacher``: its scores
    from lowest (0) to highest (1) of those shown; a passage that it did not score is worth 0. ``target``: its scores in
    the same way, else its order, evenly spaced, or its subset; what it does not name is worth 0.
    """
    if gold == "grades":
        return _of_grades(lesson)
    if gold == "teacher":
        return _from_lowest([lesson.teacher.get(docid, math.nan) for docid in lesson.ids])
    return _of_target(lesson)


def relevant_places(lesson: Lesson, gold: Gold, rel: float) -> frozenset[int] | None:
    """The places of the passages that count as relevant, ``None`` if there are none or the lesson does not say.

    ``grades``: those graded ``rel`` or more. ``target``: its subset, if it has one. Else (the source is a mere order)
    the best quarter, those that tie with the last of it included; none if all tie.
    """
    if gold == "grades":
        return frozenset(i for i, grade in enumerate(lesson.gains) if grade >= rel) or None
    target = lesson.target
    if gold == "target" and target is not None and target.subset is not None:
        return frozenset(target.subset) or None
    levels = gold_levels(lesson, gold)
    if levels is None or len(set(levels)) < 2:
        return None
    least = sorted(levels, reverse=True)[math.ceil(len(levels) / 4) - 1]
    return frozenset(i for i, level in enumerate(levels) if level >= least)


def check_rel(rel: float) -> None:
    """Raise :class:`InvalidInput` for a lowest relevant grade that takes in what was not judged."""
    if not (rel > 0 and math.isfinite(rel)):
        raise InvalidInput(f"rel is {rel}; give the lowest grade that is relevant, a number above 0")


def _of_grades(lesson: Lesson) -> tuple[float, ...] | None:
    if not any(docid in lesson.grades for docid in lesson.ids):
        return None
    top = max(lesson.gains)
    return tuple(grade / top if top else 0.0 for grade in lesson.gains)


def _of_target(lesson: Lesson) -> tuple[float, ...] | None:
    target, n = lesson.target, len(lesson)
    if target is None:
        return None
    if target.scores is not None:
        return _from_lowest(target.scores)
    named = target.order or target.subset
    if not named:
        return None
    rank = {place: rank for rank, place in enumerate(named)}
    return tuple((n - rank[i]) / n if i in rank else 0.0 for i in range(n))


def _from_lowest(scores: Sequence[float]) -> tuple[float, ...] | None:
    """From lowest to highest known score as 0 to 1; NaN is not known, and 0. Halves, lest the difference overflow."""
    known = [score / 2 for score in scores if not math.isnan(score)]
    if not known:
        return None
    low, span = min(known), max(known) - min(known)
    return tuple((score / 2 - low) / span if span and not math.isnan(score) else 0.0 for score in scores)
