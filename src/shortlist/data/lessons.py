"""Lessons: what a reranker learns from, one slate each, as values and as JSON lines.

A lesson says what is shown, in which order, and what is known of it: gold grades, a teacher's scores, a target to
imitate. Every recipe of :mod:`shortlist.synthesis` writes them; imitation, preference and reinforcement read them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shortlist.data.files import JsonObject, PathLike, read_jsonl, write_jsonl
from shortlist.data.jsonl import request_from_json, request_to_json
from shortlist.data.records import read_as
from shortlist.errors import InvalidInput
from shortlist.types import Judgement, RerankRequest, ScoredJudgement, Slate


@dataclass(frozen=True, slots=True)
class Target:
    """What to imitate of a slate, by places from 0; a field left at its default is not known.

    Args:
        order: places, best first; all of them, or the first few if only those are known.
        scores: one a place (not along ``order``), higher is better.
        subset: the places to keep, most useful first; ``()`` says that none is useful, ``None`` that nothing is said.
        reasoning: what to write before the answer.
        rejected: a worse target for the same slate (preference learning).

    Raises:
        InvalidInput: a place twice or below 0, or a score that is not finite.
    """

    order: tuple[int, ...] = ()
    scores: tuple[float, ...] | None = None
    subset: tuple[int, ...] | None = None
    reasoning: str = ""
    rejected: Target | None = None

    def __post_init__(self) -> None:
        for name, places in (("order", self.order), ("subset", self.subset or ())):
            if len(set(places)) != len(places) or any(type(place) is not int or place < 0 for place in places):
                raise InvalidInput(f"the {name} of a target is {places}; give distinct places from 0")
        if self.scores is not None and not all(map(_is_finite, self.scores)):
            raise InvalidInput(f"the scores of a target are {self.scores}; give finite numbers, one a place")

    def check(self, size: int) -> None:
        """That the target fits a slate of ``size`` passages, :class:`~shortlist.errors.InvalidInput` if not."""
        over = [place for place in (*self.order, *(self.subset or ())) if place >= size]
        if over:
            raise InvalidInput(f"a target with place {over[0]} for a slate of {size}, whose places are 0 to {size - 1}")
        if self.scores is not None and len(self.scores) != size:
            raise InvalidInput(f"a target with {len(self.scores)} scores for a slate of {size}; give one a place")
        if self.rejected is not None:
            self.rejected.check(size)

    def part(self, places: Sequence[int]) -> Target:
        """What the target says of some places, which become 0, 1, … in the order given."""
        new = {place: i for i, place in enumerate(places)}
        return Target(
            order=tuple(new[place] for place in self.order if place in new),
            scores=None if self.scores is None else tuple(self.scores[place] for place in places),
            subset=None if self.subset is None else tuple(new[place] for place in self.subset if place in new),
            reasoning=self.reasoning,
            rejected=None if self.rejected is None else self.rejected.part(places),
        )

    def judgement(self, size: int) -> Judgement:
        """The target as the judgement that a perfect reply is read as; scored if the target has scores.

        What is not named by order or subset follows in the slate's order. A subset stands first and is the cutoff.
        """
        self.check(size)
        scores = self.scores or ()
        by_score = sorted(range(len(scores)), key=lambda i: -scores[i])
        order = tuple(dict.fromkeys((*(self.subset or ()), *self.order, *by_score, *range(size))))
        cutoff = None if self.subset is None else len(self.subset)
        if self.scores is None:
            return Judgement(order=order, cutoff=cutoff, reasoning=self.reasoning)
        return ScoredJudgement(order=order, scores=self.scores, cutoff=cutoff, reasoning=self.reasoning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One slate to learn from: what is shown, in what order, and what is known of it.

    Args:
        slate: the query (with ``answers``, if known) and the candidates in the order shown.
        grades: gold relevance by document id, on any scale from 0; an id that is absent was not judged and is worth 0.
            Documents that are not shown may be among them.
        teacher: a teacher's scores by document id, higher is better; of documents shown only; ``{}``: no teacher.
        target: what to imitate, if anything.
        meta: where it comes from: ``qid``, ``draw``, ``input_order`` (``first-stage``, ``shuffled``, ``near-ideal``),
            ``band``, ``collection`` …

    Raises:
        InvalidInput: a candidate twice, a grade that is negative or not finite, a teacher's score that is not finite or
            of a document that is not shown, a target that does not fit the slate.
    """

    slate: Slate
    grades: Mapping[str, float] = field(default_factory=dict)
    teacher: Mapping[str, float] = field(default_factory=dict)
    target: Target | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shown = set(self.ids)
        if len(shown) != len(self.slate):
            raise InvalidInput(f"query {self.slate.query.id!r}: a document stands twice in the slate {self.ids}")
        for docid, grade in self.grades.items():
            if not _is_finite(grade) or grade < 0:
                raise InvalidInput(f"the grade of document {docid!r} is {grade!r}; give a finite number from 0")
        for docid, score in self.teacher.items():
            if docid not in shown:
                raise InvalidInput(f"the teacher scored document {docid!r}, which is not in the slate")
            if not _is_finite(score):
                raise InvalidInput(f"the teacher's score of document {docid!r} is {score!r}; give a finite number")
        if self.target is not None:
            self.target.check(len(self.slate))

    def __len__(self) -> int:
        return len(self.slate)

    @property
    def ids(self) -> tuple[str, ...]:
        """The documents' ids in the order shown."""
        return tuple(candidate.id for candidate in self.slate.candidates)

    def part(self, places: Sequence[int]) -> Lesson:
        """What it says of the passages at ``places``, in the order given; grades stay those of all."""
        shown = tuple(self.slate.candidates[place] for place in places)
        teacher = {c.id: self.teacher[c.id] for c in shown if c.id in self.teacher}
        target = None if self.target is None else self.target.part(places)
        return Lesson(
            slate=Slate(self.slate.query, shown), grades=self.grades, teacher=teacher, target=target, meta=self.meta
        )

    @property
    def request(self) -> RerankRequest:
        """The slate as a request, to be ranked by any reranker."""
        return RerankRequest(self.slate.query, self.slate.candidates)

    @property
    def gains(self) -> tuple[float, ...]:
        """The grades by place; 0 where there is none."""
        return tuple(float(self.grades.get(docid, 0.0)) for docid in self.ids)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# ------------------------------------------------------------------------------------------------ as JSON


def lesson_to_json(lesson: Lesson) -> JsonObject:
    """The object :func:`lesson_from_json` reads back; fields that say nothing are left out."""
    slate = lesson.slate
    told: JsonObject = request_to_json(lesson.request)
    told |= {"truncated": list(slate.truncated)} if slate.truncated else {}
    told |= {"query_truncated": True} if slate.query_truncated else {}
    for name in ("grades", "teacher", "meta"):
        told |= {name: dict(value)} if (value := getattr(lesson, name)) else {}
    return told if lesson.target is None else {**told, "target": _target_to_json(lesson.target)}


def _target_to_json(target: Target) -> JsonObject:
    told: JsonObject = {"order": list(target.order)} if target.order else {}
    for name in ("scores", "subset"):
        told |= {name: list(value)} if (value := getattr(target, name)) is not None else {}
    told |= {"reasoning": target.reasoning} if target.reasoning else {}
    return told if target.rejected is None else {**told, "rejected": _target_to_json(target.rejected)}


_TARGET = ("order", "scores", "subset", "reasoning", "rejected")
_LESSON = ("query", "candidates", "truncated", "query_truncated", "grades", "teacher", "target", "meta")


def lesson_from_json(value: Mapping[str, Any]) -> Lesson:
    """The lesson that :func:`lesson_to_json` wrote; also a request's object, which is a lesson with nothing known.

    Raises:
        InvalidInput: it is no such object.
    """
    _check_names(value, _LESSON, "lesson")
    request = request_from_json(value)
    target = value.get("target")
    return Lesson(
        slate=Slate(
            request.query, request.candidates, _places(value, "truncated"), value.get("query_truncated") is True
        ),
        grades=_mapping(value, "grades"),
        teacher=_mapping(value, "teacher"),
        target=None if target is None else _target_from_json(target),
        meta=_mapping(value, "meta"),
    )


def _target_from_json(value: Any) -> Target:
    if not isinstance(value, dict):
        raise InvalidInput(f"the target is {str(value)[:60]!r}; make it an object of {', '.join(_TARGET)}")
    _check_names(value, _TARGET, "target")
    scores, rejected, reasoning = value.get("scores"), value.get("rejected"), value.get("reasoning", "")
    if scores is not None and not isinstance(scores, list):
        raise InvalidInput(f"the target's scores are {str(scores)[:60]!r}; make them a list of numbers")
    if not isinstance(reasoning, str):
        raise InvalidInput(f"the target's reasoning is {str(reasoning)[:60]!r}; make it a string")
    return Target(
        order=_places(value, "order"),
        scores=None if scores is None else tuple(scores),
        subset=None if value.get("subset") is None else _places(value, "subset"),
        reasoning=reasoning,
        rejected=None if rejected is None else _target_from_json(rejected),
    )


def _check_names(value: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    strange = [name for name in value if name not in known]
    if strange:
        raise InvalidInput(f"a {what} has no field {strange[0]!r}; it has: {', '.join(known)}")


def _mapping(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name) or {}
    if not isinstance(found, dict):
        raise InvalidInput(f"{name!r} is {str(found)[:60]!r}; make it an object")
    return found


def _places(value: Mapping[str, Any], name: str) -> tuple[int, ...]:
    found = value.get(name) or []
    if not isinstance(found, list) or any(type(place) is not int for place in found):
        raise InvalidInput(f"{name!r} is {str(found)[:60]!r}; make it a list of places from 0")
    return tuple(found)


def write_lessons(path: PathLike, lessons: Iterable[Lesson]) -> int:
    """Write lessons one a line, all or none (``.gz`` compresses); gives how many."""
    return write_jsonl(path, map(lesson_to_json, lessons))


def read_lessons(path: PathLike) -> Iterator[Lesson]:
    """The lessons of a JSONL file (also gzip), as they are needed.

    Raises:
        InvalidFile: a line that is no lesson; with the line.
    """
    return (read_as(lesson_from_json, record, path, number) for number, record in read_jsonl(path))
