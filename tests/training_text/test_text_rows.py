"""One prompt object serves SFT, DPO, GRPO, evaluation and serving: the tokenizer sees the same bytes in all of them."""

from __future__ import annotations

import dataclasses

import pytest
from tiny_writers import lessons

from shortlist.backends import transformers as served
from shortlist.data.lessons import Lesson, Target
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.reasoned import ReasonedLabelPolicy
from shortlist.text import GroupScores, Listwise, ListwiseReasoning, PointwiseRating, Subset
from shortlist.training.card import CardFacts
from shortlist.training.text import models
from shortlist.training.text.development import TextDevelopment
from shortlist.training.text.forms import fitted_lessons, live_reranker
from shortlist.training.text.models import LiveCompleter, Serving, open_text_model, save_text_checkpoint
from shortlist.training.text.recipe import ModelRecipe
from shortlist.training.text.rows import IGNORED, Renderer, answering, imitation, levels, preference, reinforcement

PROMPTS = {
    "groupwise": GroupScores(passage_tokens=11, query_tokens=12),  # both cut
    "listwise": Listwise(passage_tokens=11),
    "dynamic": Subset(passage_tokens=200),
    "pointwise": PointwiseRating(passage_tokens=11),
}
OPTIONS = {"pointwise": {"prompt": "rating", "read": "text"}}


@pytest.fixture(scope="module")
def opened(qwen):
    return open_text_model(qwen, ModelRecipe())


class Ear:
    """Hears the ids that a backend's tokenizer makes of prompts."""

    def __init__(self, monkeypatch, module, tokens=None):
        self.prompts = []
        plain = module.complete

        def complete(model, tokens, asks, **told):
            self.prompts += [tuple(tokens.prompt(tokens.render(ask.messages))) for ask in asks]
            return plain(model, tokens, asks, **told)

        monkeypatch.setattr(module, "complete", complete)


def grpo_ids(opened, rows):
    """As the adapter has TRL tokenise."""
    from shortlist.training.text.adapter import Reinforcer

    class Job:
        tokens = opened.tokens

    trainer = Reinforcer.__new__(Reinforcer)
    trainer.job = Job()
    ids, _, _ = trainer._tokenize_prompts([row["prompt"] for row in rows])
    return [tuple(one) for one in ids]


@pytest.mark.parametrize("kind", PROMPTS)
def test_five_ways_see_the_same_bytes(kind, opened, monkeypatch, tmp_path):
    prompt, shown = PROMPTS[kind], lessons(2)
    renderer, singles = Renderer(prompt, opened.tokens), fitted_lessons(PROMPTS[kind], shown)
    sft, dpo, grpo = (make(renderer, singles) for make in (imitation, preference, reinforcement))
    assert not sft.left_out + dpo.left_out + grpo.left_out
    learnt = [tuple(row["input_ids"][: row["labels"].count(IGNORED)]) for row in sft.rows]
    assert learnt == [tuple(row["prompt_ids"]) for row in dpo.rows] == grpo_ids(opened, grpo.rows)

    options = {**OPTIONS.get(kind, {}), "max_tokens": "4"}
    serving = Serving(kind=kind, options=options, prompt=prompt)
    evaluated = Ear(monkeypatch, models)
    TextDevelopment(lessons=shown, serving=serving).measure(LiveCompleter(opened))
    assert {*evaluated.prompts} >= {*learnt}

    folder = save_text_checkpoint(opened, tmp_path / "checkpoint", serving, CardFacts())
    heard = Ear(monkeypatch, served)
    list(open_reranker(str(folder)).rerank([lesson.request for lesson in shown]))
    assert {*heard.prompts} >= {*learnt}


@pytest.mark.parametrize("kind", PROMPTS)
def test_both_sides_of_a_pair_are_of_its_own_lesson(kind, opened):
    """Not of the one before, as where a loop's variable is left standing."""
    prompt, shown = PROMPTS[kind], fitted_lessons(PROMPTS[kind], lessons(4))
    rows = preference(Renderer(prompt, opened.tokens), shown).rows
    assert len(rows) == len(shown)
    for row, lesson in zip(rows, shown, strict=True):
        for side, target in (("chosen_ids", lesson.target), ("rejected_ids", lesson.target.rejected)):
            read = prompt.parse(opened.tokens.text(row[side][:-1]), lesson.slate)
            told = read.scores if target.scores is not None and hasattr(read, "scores") else read.order[: read.cutoff]
            wanted = target.scores if hasattr(read, "scores") else target.order if kind == "listwise" else target.subset
            assert tuple(told) == tuple(wanted)


def test_dev_is_measured_by_likelihoods_behind_reasoning_where_serve_asks_so(opened):
    """As the checkpoint would serve: the reply is held to its form, so that a model that babbles is read all the same."""
    prompt = PointwiseRating(passage_tokens=11, reasoning=True)
    options = {"prompt": "rating", "reasoning": "true", "read": "labels", "constrain": "true", "max_tokens": "64"}
    model = LiveCompleter(opened)
    assert isinstance(live_reranker(model, "pointwise", options, prompt).policy, ReasonedLabelPolicy)
    serving = Serving(kind="pointwise", options=options, prompt=prompt)
    records = TextDevelopment(lessons=lessons(1), serving=serving).measure(model).records
    scores = next(live_reranker(model, "pointwise", options, prompt).rerank([lessons(1)[0].request])).scores
    assert all(0 < score < 10 and score != round(score) for score in scores)
    assert len(records) == 1


def test_a_learnt_reply_ends_with_the_token_that_ends_replies(opened):
    renderer = Renderer(PROMPTS["groupwise"], opened.tokens)
    (row, *_) = imitation(renderer, lessons(1)).rows
    reply = [token for token in row["labels"] if token != IGNORED]
    assert reply[-1] == opened.tokens.tokenizer.eos_token_id == opened.ends[0]
    prompt = GroupScores()
    read = prompt.parse(opened.tokens.text(reply[:-1]), lessons(1)[0].slate)
    assert read.scores == lessons(1)[0].target.scores
    assert row["input_ids"][-len(reply) :] == reply


def test_lessons_that_teach_nothing_are_left_out_and_told(opened):
    renderer = Renderer(PROMPTS["groupwise"], opened.tokens)
    bare = [Lesson(slate=lesson.slate) for lesson in lessons(2)]
    found = imitation(renderer, [*lessons(1), *bare])
    assert (len(found.rows), len(found.left_out)) == (1, 2)
    with pytest.raises(InvalidInput, match="no target"):
        imitation(renderer, bare).check("sft")
    with pytest.raises(InvalidInput, match="tokens, more than 10"):
        reinforcement(renderer, bare, most=10).check("grpo")
    without = [dataclasses.replace(l, target=dataclasses.replace(l.target, rejected=None)) for l in lessons(1)]
    with pytest.raises(InvalidInput, match="own_pairs"):
        preference(renderer, without).check("dpo")


def test_the_generator_learns_to_answer_from_what_is_kept(opened):
    renderer = Renderer(PROMPTS["dynamic"], opened.tokens)
    (row,) = answering(renderer, lessons(1))
    text = opened.tokens.tokenizer.decode(row["input_ids"])
    assert "which is blue" in text
    assert text.endswith("assistant\nblue<|im_end|>")
    dropped = [lessons(1)[0].slate.documents[i].text for i in range(3) if i not in lessons(1)[0].target.subset]
    assert not any(words in text for words in dropped if words != "a blue cat")


# ------------------------------------------------------------------------------------------------ hints


HINTED = [
    GroupScores(terse=True, query_each=True),
    Listwise(query_each=True, first_stage_scores=True),
    ListwiseReasoning(query_each=True),
    Subset(query_each=True, passage_tokens=6),
]


@pytest.mark.parametrize("prompt", HINTED, ids=lambda prompt: prompt.kind)
def test_hints_stand_at_each_passages_name_and_change_no_prompt(opened, prompt):
    """What is told at the ``]`` of ``[2]`` is the first digit of the second passage's level; the reply is learnt as before."""
    renderer, (lesson,) = Renderer(prompt, opened.tokens), lessons(1)
    target = dataclasses.replace(lesson.target, scores=None, order=(2, 0, 1), subset=(2, 0))
    lesson = dataclasses.replace(lesson, target=lesson.target if isinstance(prompt, GroupScores) else target)
    plain, told = (imitation(renderer, [lesson], hints=hints).rows[0] for hints in (False, True))
    assert plain["input_ids"] == told["input_ids"]
    more = [i for i, label in enumerate(told["labels"]) if label != plain["labels"][i]]
    before = [opened.tokens.text(told["input_ids"][:place]) for place in more]
    assert [text[-4:] for text in before] == [f"\n[{i + 1}]" for i in range(3)]
    assert all(f"Query: {lesson.slate.query.text}" in text.splitlines()[-2] + text.splitlines()[-3] for text in before)
    digits = [opened.tokens.text([told["labels"][place]]) for place in more]
    assert digits == [str(level)[0] for level in levels(lesson.target, 3)]


def test_levels_of_a_target():
    assert levels(Target(order=(0, 1), scores=(3.4, 10.0)), 2) == [3, 10]
    assert levels(Target(order=(0, 1, 2), subset=(1,)), 3) == [0, 10, 0]
    assert levels(Target(order=(2, 0, 1)), 3) == [5, 0, 10]
    assert levels(Target(order=(0,)), 1) == [10]


def test_hints_are_for_prompts_that_name_a_passage_behind_it(opened):
    with pytest.raises(InvalidInput, match="query_each"):
        imitation(Renderer(PROMPTS["listwise"], opened.tokens), lessons(1), hints=True).check("sft")
