"""Lessons keep what they were given, and say where a file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.lessons import Lesson, Target, lesson_from_json, lesson_to_json, read_lessons, write_lessons
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.types import Candidate, Document, Query, ScoredJudgement, Slate

finite = st.floats(-1e9, 1e9)


@st.composite
def targets(draw: st.DrawFn, size: int, depth: int = 1) -> Target:
    places = st.permutations(range(size)).flatmap(lambda order: st.integers(0, size).map(lambda k: tuple(order[:k])))
    return Target(
        order=draw(places),
        scores=draw(st.none() | st.lists(finite, min_size=size, max_size=size).map(tuple)),
        subset=draw(st.none() | places),
        reasoning=draw(st.text(max_size=20)),
        rejected=draw(st.none() | targets(size, depth - 1)) if depth else None,
    )


@st.composite
def lessons(draw: st.DrawFn) -> Lesson:
    size = draw(st.integers(0, 6))
    texts = draw(st.lists(st.text(max_size=20), min_size=size, max_size=size))
    documents = [Document(id=f"d{i}", text=text, title=draw(st.text(max_size=5))) for i, text in enumerate(texts)]
    candidates = tuple(Candidate(document, draw(st.none() | finite)) for document in documents)
    query = Query(text="x" + draw(st.text(max_size=9)), id="7", answers=tuple(draw(st.lists(st.text(), max_size=2))))
    ids = st.sampled_from([f"d{i}" for i in range(size)]) if size else st.nothing()
    return Lesson(
        slate=Slate(query, candidates, query_truncated=draw(st.booleans())),
        grades=draw(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 9), max_size=3)),
        teacher=draw(st.dictionaries(ids, finite)) if size else {},
        target=draw(st.none() | targets(size)),
        meta=draw(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=2)),
    )


@given(lessons())
def test_a_lesson_survives_json(lesson: Lesson) -> None:
    assert lesson_from_json(lesson_to_json(lesson)) == lesson


def slate(size: int = 3) -> Slate:
    return Slate(Query(text="why"), tuple(Candidate(Document(id=f"d{i}", text=f"text {i}")) for i in range(size)))


@pytest.mark.parametrize("name", ["lessons.jsonl", "deep/lessons.jsonl.gz"])
def test_files_plain_and_gzip(tmp_path: Path, name: str) -> None:
    written = [Lesson(slate=slate(), grades={"d1": 2}, meta={"qid": str(i)}) for i in range(3)]
    assert write_lessons(tmp_path / name, written) == 3
    assert list(read_lessons(tmp_path / name)) == written


def test_an_empty_subset_is_not_no_subset() -> None:
    for subset in ((), None):
        lesson = Lesson(slate=slate(), target=Target(subset=subset))
        again = lesson_from_json(lesson_to_json(lesson)).target
        assert again is not None
        assert again.subset == subset


def test_a_bad_line_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    write_lessons(path, [Lesson(slate=slate())])
    with path.open("a") as file:
        file.write('{"query": {"id": "1", "text": "a"}, "candidates": [], "target": {"order": [0]}}\n')
    with pytest.raises(InvalidFile, match=r"l\.jsonl:2: a target with place 0 for a slate of 0"):
        list(read_lessons(path))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"target": {"oder": [0]}}, "no field 'oder'"),
        ({"target": [0]}, "make it an object"),
        ({"target": {"order": "01"}}, "list of places"),
        ({"target": {"order": [True]}}, "list of places"),
        ({"target": {"scores": {"a": 1}}}, "list of numbers"),
        ({"target": {"reasoning": 3}}, "make it a string"),
        ({"grades": [1]}, "make it an object"),
        ({"grades": {"a": "x"}}, "finite number from 0"),
        ({"teacher": {"a": 1.0}}, "not in the slate"),
        ({"colour": "red"}, "no field 'colour'"),
    ],
)
def test_wrong_objects_say_what_is_wrong(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        lesson_from_json({"query": {"id": "1", "text": "a"}, "candidates": [], **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Target(order=(0, 0)),
        lambda: Target(subset=(-1,)),
        lambda: Target(scores=(float("nan"),)),
        lambda: Lesson(slate=slate(), target=Target(order=(3,))),
        lambda: Lesson(slate=slate(), target=Target(scores=(1.0,))),
        lambda: Lesson(slate=slate(), target=Target(rejected=Target(subset=(9,)))),
        lambda: Lesson(slate=slate(), grades={"d0": -1}),
        lambda: Lesson(slate=slate(), grades={"d0": float("inf")}),
        lambda: Lesson(slate=slate(), teacher={"d0": float("nan")}),
        lambda: Lesson(slate=Slate(Query(text="q"), slate(1).candidates * 2)),
    ],
)
def test_wrong_values_are_errors(wrong: object) -> None:
    with pytest.raises(InvalidInput):
        wrong()  # type: ignore[operator]


def test_a_target_as_a_judgement() -> None:
    assert Target(order=(2, 0)).judgement(4).order == (2, 0, 1, 3)
    chosen = Target(subset=(3, 1)).judgement(4)
    assert (chosen.order, chosen.cutoff) == ((3, 1, 0, 2), 2)
    assert Target(subset=()).judgement(2).cutoff == 0
    scored = Target(scores=(0.0, 5.0, 5.0)).judgement(3)
    assert isinstance(scored, ScoredJudgement)
    assert (scored.order, scored.scores) == ((1, 2, 0), (0.0, 5.0, 5.0))


def test_gains_stand_by_place() -> None:
    lesson = Lesson(slate=slate(), grades={"d2": 2, "unseen": 3})
    assert lesson.gains == (0.0, 0.0, 2.0)
    assert (lesson.ids, len(lesson), len(lesson.request)) == (("d0", "d1", "d2"), 3, 3)
