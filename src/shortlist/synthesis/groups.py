"""Multi-scale groups with integer targets (GroupRank, arXiv 2511.11653, appendix A): 5 to 20 passages a group.

A long labelled list is put in order of its labels and dealt out: with ``n`` passages and groups of ``c``, group ``j``
holds the ones at ``j, j + s, j + 2s, …`` with the interval ``s = n // c``. So every group has good and bad passages side
by side (for 50 passages and groups of 10 that is every 5th). Where ``c`` does not divide ``n`` these are more than ``c``:
the group takes ``c`` of them at even distances, the first and the last among them, so that the worst are dealt out, too.
Labels become whole numbers from 0 to 10 over the *whole* list, so that a group's scores say where its passages stand
among all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.synthesis.common import Tally, arranged, generator, slate_of

TOP = 10
LABELS = ("teacher", "grades")
T = TypeVar("T")


def whole_scores(labels: Sequence[float], top: int = TOP) -> list[int]:
    """Labels as whole numbers from 0 (the lowest) to ``top`` (the highest), evenly; halves go up.

    >>> whole_scores([0.0, -1.0, -4.0])
    [10, 8, 0]
    """
    low, high = min(labels), max(labels)
    if high == low:
        return [top // 2] * len(labels)
    return [math.floor(top * (label - low) / (high - low) + 0.5) for label in labels]


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How lists are dealt out.

    Args:
        sizes: the sizes that groups may have; ``scales``: how many different ones, drawn at random, each list is dealt
            out in; ``per_scale``: the most groups of a list in one size, ``None``: all of them.
        labels: ``teacher`` (the lesson's teacher scores) or ``grades`` (its gold grades; unjudged counts as 0).
        order: how groups are shown: ``shuffled``, or ``first-stage``: as the list itself stands.
    """

    sizes: Sequence[int] = tuple(range(5, 21))
    scales: int = 2
    per_scale: int | None = None
    labels: str = "teacher"
    order: str = "shuffled"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 2 or self.scales < 1 or (self.per_scale or 1) < 1:
            told = f"sizes {list(self.sizes)}, scales {self.scales}, per_scale {self.per_scale}"
            raise InvalidInput(f"{told}: give sizes of 2 or more, and 1 or more of the others")
        if self.labels not in LABELS:
            raise UnknownName("label", self.labels, LABELS)

    def lessons(self, lists: Iterable[Lesson], tally: Tally) -> Iterator[Lesson]:
        """The groups of every list."""
        for number, lesson in enumerate(lists):
            name = str(lesson.meta.get("id", f"{lesson.slate.query.id}/{number}"))
            fitting = sorted({size for size in self.sizes if size <= len(lesson)})
            if not fitting:
                tally["lists shorter than the smallest group"] += 1
                continue
            labels = self._labels(lesson)
            if labels is None:
                tally[f"lists without {self.labels} labels"] += 1
                continue
            rng = generator(self.seed, "scales", name)
            for size in sorted(rng.sample(fitting, min(self.scales, len(fitting)))):
                for group in self._dealt(lesson, name, labels, size):
                    tally["kept"] += 1
                    yield group

    def _labels(self, lesson: Lesson) -> dict[str, float] | None:
        """One label a document, or ``None`` if the lesson does not have them all."""
        if self.labels == "grades":
            return dict(zip(lesson.ids, lesson.gains, strict=True)) if lesson.grades else None
        return {d: lesson.teacher[d] for d in lesson.ids} if set(lesson.ids) <= set(lesson.teacher) else None

    def _dealt(self, lesson: Lesson, name: str, labels: Mapping[str, float], size: int) -> Iterator[Lesson]:
        whole = dict(zip(labels, whole_scores(list(labels.values())), strict=True))
        best_first = sorted(lesson.slate.candidates, key=lambda candidate: -labels[candidate.id])
        place = {docid: i for i, docid in enumerate(lesson.ids)}
        interval = len(labels) // size
        for j in range(interval)[: self.per_scale]:
            dealt = sorted(_spread(best_first[j::interval], size), key=lambda candidate: place[candidate.id])
            shown = arranged(dealt, self.order, {}, generator(self.seed, "group", name, size, j))
            ids = [candidate.id for candidate in shown]
            yield Lesson(
                slate=slate_of(lesson.slate.query, shown),
                grades={d: lesson.grades[d] for d in ids if d in lesson.grades},
                teacher={d: lesson.teacher[d] for d in ids if d in lesson.teacher},
                target=_target([labels[d] for d in ids], [whole[d] for d in ids]),
                meta={"id": f"{name}/g{size}.{j}", "qid": lesson.slate.query.id, "input_order": self.order},
            )


def _spread(stripe: Sequence[T], size: int) -> list[T]:
    """So many of them, from the first to the last at even distances."""
    last, steps = len(stripe) - 1, size - 1
    return [stripe[(2 * i * last + steps) // (2 * steps)] for i in range(size)]


def _target(labels: Sequence[float], scores: Sequence[int]) -> Target:
    order = tuple(sorted(range(len(labels)), key=lambda i: -labels[i]))
    return Target(order=order, scores=tuple(map(float, scores)))
