"""What imitation learns from is what the prompt's own parser reads back, for every prompt that is trained."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_writers import lessons

from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput, UnknownName
from shortlist.testing.hostile import plain_slate
from shortlist.text import (
    GroupScores,
    Listwise,
    ListwiseReasoning,
    PointwiseRating,
    PointwiseYesNo,
    SetwiseChoice,
    SetwiseReasoning,
    Subset,
)
from shortlist.training.text.forms import completion, fitted_lessons, prompt_of, served, whole
from shortlist.training.text.recipe import PromptRecipe, TextRecipe
from shortlist.types import Choice, Status

WORDS = st.text("ab <>/thinkanswer[]123", min_size=1, max_size=30)
SLATES = {n: plain_slate(["some words"] * n) for n in range(1, 21)}


@st.composite
def orders(draw):
    n = draw(st.integers(1, 20))
    return n, tuple(draw(st.permutations(range(n))))


@settings(max_examples=60, deadline=None)
@given(orders(), WORDS)
def test_an_order_reads_back(told, reasoning):
    n, order = told
    for prompt in (Listwise(), ListwiseReasoning()):
        read = prompt.parse(completion(prompt, Target(order=order, reasoning=reasoning), SLATES[n]), SLATES[n])
        assert (read.order, read.status, read.missing) == (order, Status.OK, ())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=1, max_size=20), WORDS)
def test_scores_read_back(scores, reasoning):
    target = Target(scores=tuple(map(float, scores)), reasoning=reasoning)
    for prompt in (GroupScores(), GroupScores(reasoning=True)):
        read = prompt.parse(completion(prompt, target, SLATES[len(scores)]), SLATES[len(scores)])
        assert (list(read.scores), read.status) == (scores, Status.OK)


@settings(max_examples=60, deadline=None)
@given(orders(), st.data())
def test_a_subset_reads_back(told, data):
    n, order = told
    kept = order[: data.draw(st.integers(0, n))]
    text = completion(Subset(), Target(subset=kept), SLATES[n])
    read = Subset().parse(text, SLATES[n])
    assert (read.order[: read.cutoff], read.status) == (kept, Status.OK)
    assert (text == "None") == (not kept)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10), WORDS)
def test_a_rating_reads_back(rating, reasoning):
    for prompt in (PointwiseRating(), PointwiseRating(reasoning=True)):
        text = completion(prompt, Target(scores=(float(rating),), reasoning=reasoning), SLATES[1])
        read = prompt.parse(text, SLATES[1])
        assert (read.scores, read.status) == ((float(rating),), Status.OK)
    text = completion(PointwiseYesNo(), Target(scores=(float(rating > 5),)), SLATES[1])
    assert PointwiseYesNo().parse(text, SLATES[1]).scores == (float(rating > 5),)


@settings(max_examples=40, deadline=None)
@given(orders())
def test_a_choice_reads_back(told):
    n, order = told
    for prompt in (SetwiseChoice(), SetwiseReasoning()):
        read = prompt.parse(completion(prompt, Target(order=order, reasoning="because"), SLATES[n]), SLATES[n])
        assert isinstance(read, Choice)
        assert (read.best, read.status) == (order[0], Status.OK)


@pytest.mark.parametrize(
    ("prompt", "target", "lacks"),
    [
        (Subset(), Target(order=(0, 1)), "no subset"),
        (GroupScores(), Target(order=(0, 1)), "no scores"),
        (GroupScores(), Target(scores=(0.5, 1)), "no whole scores"),
        (GroupScores(), Target(scores=(11, 1)), "no scores within 0 to 10"),
        (Listwise(), Target(subset=(1,)), "no order"),
        (ListwiseReasoning(), Target(order=(0, 1)), "no reasoning"),
        (GroupScores(reasoning=True), Target(scores=(1, 2)), "no reasoning"),
    ],
)
def test_a_target_that_says_too_little_is_an_error_that_says_what(prompt, target, lacks):
    with pytest.raises(InvalidInput, match=lacks):
        completion(prompt, target, SLATES[2])


def test_a_lesson_is_taken_apart_for_a_pointwise_prompt_and_put_together_to_be_ranked():
    (lesson,) = lessons(1, size=4)
    singles = fitted_lessons(PointwiseRating(), [lesson])
    assert [single.ids for single in singles] == [(docid,) for docid in lesson.ids]
    assert [single.target.scores[0] for single in singles] == list(lesson.target.scores)
    assert all(single.grades == lesson.grades for single in singles)
    (again,) = whole(singles)
    assert (again.ids, again.grades, again.teacher) == (lesson.ids, lesson.grades, lesson.teacher)
    assert again.target.scores == lesson.target.scores
    assert fitted_lessons(GroupScores(), [lesson, Lesson(slate=plain_slate([]))]) == [lesson]


def test_a_recipe_names_a_prompt_and_how_it_is_served():
    recipe = TextRecipe.of(
        {"prompt.kind": "group-scores", "prompt.reasoning": True, "prompt.passage_tokens": 9, "serve": "size=7"}
    )
    prompt = prompt_of(recipe.prompt)
    assert prompt == GroupScores(reasoning=True, passage_tokens=9)
    assert served(recipe, prompt) == ("groupwise", {"reasoning": "true", "size": "7"})
    with pytest.raises(UnknownName, match="field of prompt 'subset'"):
        prompt_of(PromptRecipe(kind="subset", reasoning=True))
    with pytest.raises(UnknownName, match="prompt kind"):
        prompt_of(PromptRecipe(kind="groups"))
