"""Lists of snippets: the query's words stand in the relevant ones, and in no others but by chance."""

from __future__ import annotations

import pytest

from shortlist.errors import InvalidInput
from shortlist.synthesis.cloze import Cloze
from shortlist.synthesis.common import Tally
from shortlist.text import ListwiseReasoning
from shortlist.training.text.forms import completion
from shortlist.types import Document

PASSAGES = [Document(id=f"d{i}", text=" ".join(f"w{i}x{j}" for j in range(12 + i))) for i in range(30)] + [
    Document(id="s", text="too short")
]


def made(**told):
    tally = Tally()
    return list(Cloze(**told).lessons(PASSAGES, tally)), tally


def test_the_query_stands_in_the_relevant_snippets_alone():
    lessons, tally = made(count=300)
    assert tally == {"kept": 300, "passages shorter than a snippet": 1}
    for lesson in lessons:
        texts = [candidate.document.text for candidate in lesson.slate.candidates]
        assert all(len(text.split()) == 6 for text in texts)
        assert len(lesson.slate.query.text.split()) == 3
        holds = tuple(i for i, text in enumerate(texts) if lesson.slate.query.text in text)
        assert lesson.target.subset == holds
        assert lesson.target.scores == tuple(10.0 * (i in holds) for i in range(5))
        assert [grade > 0 for grade in lesson.gains] == [i in holds for i in range(5)]
        assert sorted(lesson.target.order) == list(range(5))
        assert lesson.target.order[: len(holds)] == holds


def test_every_place_and_every_number_of_relevant_ones_comes():
    lessons, _ = made(count=400)
    numbers = [len(lesson.target.subset) for lesson in lessons]
    assert 8 <= numbers.count(0) <= 36
    assert 90 <= numbers.count(2) <= 160
    assert max(numbers) == 2
    firsts = [lesson.target.subset[0] for lesson in lessons if len(lesson.target.subset) == 1]
    assert min(firsts.count(place) for place in range(5)) >= 30


def test_a_seed_makes_the_same_lists_and_a_longer_run_begins_alike():
    assert made(count=5)[0] == made(count=9)[0][:5] != made(count=5, seed=1)[0]


def test_targets_reason_where_they_are_asked_to():
    assert {lesson.target.reasoning for lesson in made(count=20)[0]} == {""}
    for lesson in made(count=20, reasoning=True)[0]:
        holds = lesson.target.subset
        assert lesson.target.reasoning == " ".join(f"[{i + 1}]{10 if i in holds else 0}" for i in range(5))
        text = completion(ListwiseReasoning(), lesson.target, lesson.slate)
        assert ListwiseReasoning().parse(text, lesson.slate).order == lesson.target.order


@pytest.mark.parametrize("told", [{"size": 1}, {"query": 7}, {"count": 0}, {"several": 1.5}])
def test_settings_that_make_no_sense(told):
    with pytest.raises(InvalidInput):
        made(**told)


def test_too_few_passages_are_told():
    with pytest.raises(InvalidInput, match=r"2 passages have 6 words or more; give more than 5"):
        list(Cloze().lessons(PASSAGES[:2], Tally()))
