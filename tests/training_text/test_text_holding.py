"""Replies held to their form in training: one policy is drawn from, learnt and served."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tiny_writers import BASE, lessons

from shortlist.data.lessons import Target
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.text import GroupScores, Listwise, ListwiseReasoning
from shortlist.text.language import Language, Said
from shortlist.training.log import read_metrics
from shortlist.training.text.forms import completion, prompt_of, served
from shortlist.training.text.holding import Holding, check_room, restricted
from shortlist.training.text.models import evaluating, open_text_model
from shortlist.training.text.packed import packed_logps
from shortlist.training.text.recipe import ModelRecipe, TextRecipe
from shortlist.training.text.rows import Renderer
from shortlist.training.text.run import TextRun, lessons_of, train_text
from shortlist.training.text.sampling import Drawing, draw, right_padded, seeds
from shortlist.types import Status

TOLERANCE = 1e-4
PROMPTS = {
    "order": Listwise(passage_tokens=16),
    "scores": GroupScores(passage_tokens=16),
    "thought": ListwiseReasoning(passage_tokens=16),
}
LIMIT = {"order": 40, "scores": 60, "thought": 90}


@dataclasses.dataclass
class Case:
    opened: object
    prompt: object
    shown: list
    prompts: list
    how: Drawing

    def drawn(self, **more):
        with evaluating(self.opened.model):
            told = seeds(0, 1, range(len(self.prompts)))
            return draw(self.opened.model, self.prompts, told, dataclasses.replace(self.how, **more))

    def statuses(self, replies):
        texts = [self.opened.tokens.text(ids[:-1] if ids[-1] in self.opened.ends else ids) for ids in replies]
        return [self.prompt.parse(text, slate).status for text, slate in zip(texts, self.shown, strict=True)]


@pytest.fixture(params=PROMPTS)
def case(request, qwen):
    opened, prompt = open_text_model(qwen, ModelRecipe()), PROMPTS[request.param]
    renderer = Renderer(prompt, opened.tokens)
    some = [renderer.ask(lesson.slate) for lesson in (*lessons(1, 3), *lessons(1, 4, first=1))]
    asked = [some[0]] * 3 + [some[1]] * 2
    languages = {one.ids: prompt.language(one.shown) for one in asked}
    limit, constraints = LIMIT[request.param], opened.tokens.constraints
    limits = dict.fromkeys(languages, limit)
    holding = Holding(constraints=constraints, languages=languages, limits=limits, ends=opened.ends)
    how = Drawing(limit=limit, ends=opened.ends, padding=opened.tokens.padding, temperature=0.7, holding=holding)
    return Case(opened, prompt, [one.shown for one in asked], [one.ids for one in asked], how)


def batch(case, replies):
    width = max(map(len, case.prompts))
    pad = case.opened.tokens.padding
    left = torch.tensor([[pad] * (width - len(p)) + list(p) for p in case.prompts])
    seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in case.prompts])
    right, known = right_padded(replies, pad, "cpu")
    return torch.cat([left, right], 1), torch.cat([seen, known], 1), right.shape[1]


@pytest.mark.parametrize("share", [False, True])
def test_what_is_drawn_is_in_form_and_sampler_and_trainer_agree(case, share):
    replies, sampled = case.drawn(share=share)
    assert [status.value for status in case.statuses(replies)] == ["ok"] * 5
    assert len({tuple(reply) for reply in replies}) > 2
    ids, mask, reply = batch(case, replies)
    told = {"temperature": 0.7, "share": share}
    held, entropy = packed_logps(case.opened.model, ids, mask, reply, **told, holding=case.how.holding)
    free, _ = packed_logps(case.opened.model, ids, mask, reply, **told)
    for i, one in enumerate(sampled):
        assert held[i, : len(one)].tolist() == pytest.approx(one, abs=TOLERANCE)
        assert (held[i, len(one) :] == 0).all()
    assert torch.isfinite(entropy).all()
    assert (held >= free - TOLERANCE).all()
    assert held.sum() > free.sum() + 1


def test_the_probabilities_are_the_models_among_what_may_come(case):
    """By hand, one reply, token by token; where one token alone may come nothing is learnt."""
    replies, sampled = case.drawn()
    prompt, reply = case.prompts[0], replies[0]
    with torch.no_grad():
        logits = case.opened.model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1] / 0.7
    for place, allowed in enumerate(case.how.holding.along(prompt, reply)):
        among = logits[place, list(allowed)].log_softmax(-1)
        assert sampled[0][place] == pytest.approx(float(among[list(allowed).index(reply[place])]), abs=TOLERANCE)
        assert len(allowed) > 1 or sampled[0][place] == pytest.approx(0.0, abs=1e-6)


def test_gradients_are_finite_and_reach_only_choices(case):
    replies, _ = case.drawn()
    ids, mask, reply = batch(case, replies)
    logps, _ = packed_logps(case.opened.model, ids, mask, reply, holding=case.how.holding)
    chosen = torch.zeros_like(logps, dtype=torch.bool)
    for row, (prompt, one) in enumerate(zip(case.prompts, replies, strict=True)):
        for place, allowed in enumerate(case.how.holding.along(prompt, one)):
            chosen[row, place] = len(allowed) > 1
    assert chosen.any()
    assert not chosen.all()
    for some, learnt in ((chosen, True), (~chosen, False)):
        case.opened.model.zero_grad()
        logps[some].sum().backward(retain_graph=True)
        grads = [p.grad for p in case.opened.model.parameters() if p.grad is not None]
        assert all(torch.isfinite(grad).all() for grad in grads)
        assert any(grad.abs().max() > 1e-6 for grad in grads) is learnt


def test_what_is_taught_may_be_said(case):
    """Imitation comes first: its replies are among those that the form allows, in the room that there is."""
    renderer = Renderer(case.prompt, case.opened.tokens)
    for lesson in (lessons(1, 3)[0], lessons(1, 4, first=1)[0]):
        asked = renderer.ask(lesson.slate)
        order = tuple(range(len(lesson)))
        target = Target(order=order, scores=tuple(map(float, order)), subset=order[:1], reasoning="first, the second")
        taught = renderer.reply(asked, completion(case.prompt, target, asked.shown))
        for token, allowed in zip(taught, case.how.holding.along(asked.ids, taught), strict=True):
            assert token in allowed


def test_a_reply_ends_where_its_own_room_does(case):
    """As in serving, where a short list has less room than a long one."""
    first = tuple(case.prompts[0])
    limits = {**case.how.holding.limits, first: 9}
    replies, sampled = case.drawn(holding=dataclasses.replace(case.how.holding, limits=limits))
    for prompt, reply, told in zip(case.prompts, replies, sampled, strict=True):
        if tuple(prompt) == first:
            assert len(reply) == 10
            assert reply[-1] in case.opened.ends
            assert told[-1] == 0
        else:
            assert len(reply) > 10


def test_reasoning_without_room_is_told():
    (lesson,) = lessons(1, 5)
    language = ListwiseReasoning().language(lesson.slate)
    check_room(language, 96)
    with pytest.raises(InvalidInput, match=r"60 tokens.*prompt\.reply_tokens"):
        check_room(language, 60)
    check_room(Listwise().language(lesson.slate), 20)


def test_no_end_comes_inside_of_a_thought(qwen):
    """Not even one that the tokenizer has no name for."""
    opened = open_text_model(qwen, ModelRecipe())
    (lesson,) = lessons(1, 3)
    language = ListwiseReasoning().language(lesson.slate)
    ends = [*opened.ends, opened.tokens.tokenizer("x", add_special_tokens=False)["input_ids"][0]]
    held = opened.tokens.constraints.hold(language, 90, ends)
    held.follow(opened.tokens.tokenizer("<think>\nb", add_special_tokens=False)["input_ids"])
    assert len(held.allowed()) > 50
    assert not set(ends) & set(held.allowed())
    hidden = {place for place, token in opened.tokens.tokenizer.added_tokens_decoder.items() if token.special}
    assert not hidden & held.constraint.vocabulary.texts.keys()


def test_out_of_reach_is_finite():
    told = restricted(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), [(0, 2), None])
    probabilities = told.log_softmax(-1).exp()
    assert probabilities[0].tolist() == pytest.approx([0.1192, 0, 0.8808], abs=1e-4)
    assert probabilities[1].sum().item() == pytest.approx(1)
    assert torch.isfinite(probabilities * told.log_softmax(-1)).all()


def test_a_form_that_the_tokenizer_cannot_say_is_told(qwen):
    opened = open_text_model(qwen, ModelRecipe())
    constraints = opened.tokens.constraints
    held = constraints.hold(Language((Said("yes"),)), 8, opened.ends)
    for place in [place for place, text in held.constraint.vocabulary.texts.items() if text == "y"]:
        del held.constraint.vocabulary.texts[place]
    languages = {(1,): Language((Said("yes"),))}
    holding = Holding(constraints=constraints, languages=languages, limits={(1,): 8}, ends=opened.ends)
    with pytest.raises(InvalidInput, match=r"sampling\.constrain"):
        holding.along((1,), (5,))


# ---------------------------------------------------------------------------------------------- whole runs


def recipe(model, **changes):
    told = {"method": "grpo", "name": "held", "prompt.kind": "listwise", "serve": "window=3"}
    more = {"reward.parts": "1.0 relative-ndcg?k=10&failed=0.0 + 0.3 status-format", "sampling.constrain": True}
    told |= more | {name.replace("__", "."): value for name, value in changes.items()}
    return TextRecipe.of({**BASE, **told, "prompt.reply_tokens": 40, "model": str(model)})


def train(folder, told, data):
    return train_text(TextRun(recipe=told, folder=folder, lessons=lessons_of(told, data, ())))


@pytest.mark.parametrize("loss", [{}, {"loss__beta": 0.1, "loss__entropy": 0.01, "loss__iterations": 2}])
def test_a_run_draws_in_form_alone_and_its_checkpoint_serves_so(loss, qwen, tmp_path):
    """An untrained model never writes an order by itself."""
    lines = {}
    for micro in (8, 1):
        told = recipe(qwen, **loss, optimiser__lessons=2, optimiser__micro=micro)
        train(tmp_path / f"{micro}", told, lessons(8))
        lines[micro] = [line for line in read_metrics(tmp_path / f"{micro}") if line["step"]]
        assert all(line["format"] == 1 and line["norm"] > 0 for line in lines[micro])
    for one, other in zip(lines[8], lines[1], strict=True):
        assert one["norm"] == pytest.approx(other["norm"], rel=1e-3)
    reranker = open_reranker(str(tmp_path / "8" / "checkpoints" / "last"))
    assert reranker.policy.constrain
    (ranking,) = reranker.rerank([lessons(1)[0].request])
    assert ranking.status is Status.OK


def test_the_model_before_training_is_held_too(qwen, tmp_path):
    """At the first step the divergence from it is none; were it read free, it would not be."""
    train(tmp_path / "run", recipe(qwen, loss__beta=0.1, optimiser__lessons=2, optimiser__micro=8), lessons(8))
    first = next(line for line in read_metrics(tmp_path / "run") if line["step"])
    assert first["kl"] == pytest.approx(0, abs=1e-5)


def test_own_pairs_are_drawn_in_form(qwen, tmp_path):
    told = recipe(qwen, method="dpo", loss__own_pairs=True, sampling__packed=False, reward__parts="1.0 ndcg?k=10")
    train(tmp_path / "run", told, lessons(8))
    pairs = [json.loads(line) for line in (tmp_path / "run" / "pairs.jsonl").read_text().splitlines()]
    assert pairs
    opened, prompt = open_text_model(qwen, ModelRecipe()), Listwise(passage_tokens=16)
    for pair in pairs:
        for ids in (pair["chosen_ids"], pair["rejected_ids"]):
            said = opened.tokens.text(ids[:-1] if ids[-1] in opened.ends else ids)
            assert prompt.parse(said, lessons(8)[pair["lesson"]].slate).status is Status.OK


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling__packed": False},
        {"sampling__engine": "vllm"},
        {"sampling__every": True, "loss__advantage": "mean", "loss__kind": "dapo"},
        {"method": "dpo"},
    ],
)
def test_what_cannot_be_held_is_told(changes, qwen):
    recipe(qwen, **changes, sampling__constrain=False)
    with pytest.raises(InvalidInput, match=r"sampling\.constrain"):
        recipe(qwen, **changes)


def test_ratings_that_are_not_written_are_not_held():
    told = TextRecipe.of(
        {"method": "grpo", "prompt.kind": "pointwise-rating", "serve": "read=labels", "sampling.constrain": True}
    )
    assert served(told, prompt_of(told.prompt)) == (
        "pointwise",
        {"prompt": "rating", "read": "labels", "scoring": "expected"},
    )
