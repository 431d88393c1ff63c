"""Every reply in place of draws: the gradient is that of the expected reward, exactly; entropy beside the reward."""

from __future__ import annotations

import math
import types

import pytest
import torch
from tiny_writers import BASE, lessons

from shortlist.errors import InvalidInput
from shortlist.rewards.text import WeightedTextReward
from shortlist.text.pointwise import RATINGS, PointwiseRating
from shortlist.training.log import read_metrics
from shortlist.training.text import adapter
from shortlist.training.text.advantages import expected, with_surprise
from shortlist.training.text.forms import fitted_lessons
from shortlist.training.text.models import evaluating, open_text_model
from shortlist.training.text.recipe import ModelRecipe, TextRecipe
from shortlist.training.text.rows import Renderer
from shortlist.training.text.run import TextRun, lessons_of, train_text
from shortlist.training.text.sampling import Drawing, every
from shortlist.training.text.scoring import StepScorer

RATING = PointwiseRating(passage_tokens=16)
WORTH = [((7 * v) % 11) / 10 for v in range(11)]


@pytest.fixture(scope="module")
def opened(qwen):
    return open_text_model(qwen, ModelRecipe())


@pytest.fixture(scope="module")
def asked(opened):
    renderer = Renderer(RATING, opened.tokens)
    found = [renderer.ask(lesson.slate) for lesson in fitted_lessons(RATING, lessons(2))[:4]]
    return [one.ids for one in found], [renderer.reply(found[0], label) for label in RATINGS]


def likelihoods(opened, prompt, replies):
    """Of each reply behind a prompt, by plain forward passes: 11, with a gradient."""
    told = []
    for reply in replies:
        logits = opened.model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        told.append(logits.log_softmax(-1).gather(-1, torch.tensor(reply)[:, None]).sum())
    return torch.stack(told).exp()


@pytest.mark.parametrize("share", [False, True])
def test_every_reply_has_its_likelihood(opened, asked, share):
    prompts, replies = asked
    rows = [prompt for prompt in prompts for _ in replies]
    how = Drawing(limit=4, ends=opened.ends, padding=opened.tokens.padding, share=share)
    with evaluating(opened.model):
        ids, logps = every(opened.model, rows, replies, how)
    assert ids == replies * len(prompts)
    for i, prompt in enumerate(prompts):
        plain = likelihoods(opened, prompt, replies)
        mine = [math.exp(math.fsum(row)) for row in logps[i * 11 : i * 11 + 11]]
        assert mine == pytest.approx(plain.tolist(), rel=1e-3)
    with pytest.raises(InvalidInput, match=r"set sampling\.samples to 11"):
        every(opened.model, rows[:12], replies, how)


def test_the_gradient_is_that_of_the_expected_reward(opened, asked):
    """Σ advantage · log p, over the replies, has the gradient of Σ p r / Σ p but for the factor 11 · and Σ p."""
    prompts, replies = asked
    worth = torch.tensor(WORTH)
    for prompt in prompts[:2]:
        p = likelihoods(opened, prompt, replies)
        exact = torch.autograd.grad((p * worth).sum() / p.sum(), list(opened.model.parameters()), retain_graph=True)
        told = torch.tensor(expected(WORTH, p.tolist(), 11))
        mine = torch.autograd.grad((told / 11 * p.log()).sum(), list(opened.model.parameters()))
        for one, other in zip(exact, mine, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-7)


def test_advantages_of_every_reply_by_hand():
    assert expected([1.0, 0.0, None], [0.3, 0.1, 0.6], 3) == pytest.approx([3 * 0.75 * 0.25, -3 * 0.25 * 0.75, 0.0])
    assert expected([0.5, 0.5], [0.9, 0.1], 2) == [0.0, 0.0]
    assert expected([None, None], [0.9, 0.1], 2) == [0.0, 0.0]
    with pytest.raises(InvalidInput, match="whole groups of 2"):
        expected([1.0], [1.0], 2)


def test_what_is_held_to_the_model_before_training(opened, asked):
    """The added advantages have the gradient of −beta · KL(before ‖ now), replies that were all but given up included."""
    prompts, replies = asked
    p = likelihoods(opened, prompts[0], replies)
    before = torch.linspace(0.01, 0.2, 11)
    before = before / before.sum()
    shares = p / p.sum()
    parameters = list(opened.model.parameters())
    exact = torch.autograd.grad(-0.3 * (before * (before / shares).log()).sum(), parameters, retain_graph=True)
    told = torch.tensor(expected([0.5] * 11, p.tolist(), 11, before=before.tolist(), beta=0.3))
    mine = torch.autograd.grad((told / 11 * p.log()).sum(), parameters)
    for one, other in zip(exact, mine, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    gone = expected([0.0, 0.0], [1.0, 0.0], 2, before=[0.5, 0.5], beta=0.1)
    assert gone == pytest.approx([-0.1, 0.1])


def test_a_run_is_held_to_the_model_before_it(qwen, tmp_path):
    """A heavy hold keeps the replies' likelihoods where they were; without it the same steps move them."""
    entropies = {}
    for beta in (0.0, 50.0):
        told = {
            "loss.beta": beta,
            "loss.entropy": 0.0,
            "optimiser.lr": 3e-3,
            "optimiser.steps": 6,
            "optimiser.clip_norm": 1e9,
        }
        train(tmp_path / str(beta), recipe(qwen, **told))
        lines = [line for line in read_metrics(tmp_path / str(beta)) if line["step"]]
        entropies[beta] = [abs(line["entropy"] - lines[0]["entropy"]) for line in lines]
    assert max(entropies[50.0]) < max(entropies[0.0])


def test_surprise_is_paid_for():
    assert with_surprise([1.0, None], [-2.0, -1.0], 0.1) == [pytest.approx(1.2), None]
    shares = [0.7, 0.2, 0.1]
    told = with_surprise([0.5] * 3, [math.log(share) for share in shares], 0.1)
    entropy = -sum(share * math.log(share) for share in shares)
    assert sum(s * r for s, r in zip(shares, told, strict=True)) == pytest.approx(0.5 + 0.1 * entropy)


class Value:
    """Worth a tenth of the integer said."""

    name, bounds = "value", (0.0, 1.0)

    def score(self, replies, /):
        return [float(reply.text) / 10 for reply in replies]


def test_a_step_is_told_of_by_likelihood():
    """The log has what draws would have had in the mean: the reward, and how much of all replies is in form."""
    pool = fitted_lessons(RATING, lessons(1))[:1]
    scorer = StepScorer(pool, RATING, lambda: WeightedTextReward(((Value(), 1.0),)), 11)
    scorer([0] * 11, list(RATINGS), [1] * 11, [0.8, *[0.0] * 9, 0.1])
    assert scorer.facts["reward"] == pytest.approx(0.1 / 0.9)
    assert scorer.facts["format"] == pytest.approx(0.9)
    assert scorer.facts["parts"] == {"value": pytest.approx(0.1 / 0.9)}


def recipe(model, **more):
    told = {"prompt.kind": "pointwise-rating", "prompt.reply_tokens": 4, "optimiser.lessons": 3, "optimiser.micro": 33,
            "sampling.samples": 11, "sampling.every": True, "loss.advantage": "mean", "loss.entropy": 0.01,
            "reward.parts": "1.0 counterfactual-ndcg"}  # fmt: skip
    return TextRecipe.of({**BASE, "model": str(model), "method": "grpo", "name": "every", **told, **more})


def train(folder, told):
    return train_text(TextRun(recipe=told, folder=folder, lessons=lessons_of(told, lessons(8), ())))


def test_a_run_learns_from_every_reply(qwen, tmp_path, monkeypatch):
    seen, real = [], adapter.Reinforcer._generate_and_score_completions

    def watched(self, inputs):
        drawn = real(self, inputs)
        seen.append(drawn["advantages"].tolist())
        return drawn

    monkeypatch.setattr(adapter.Reinforcer, "_generate_and_score_completions", watched)
    train(tmp_path / "run", recipe(qwen))
    steps = [line for line in read_metrics(tmp_path / "run") if line["step"]]
    assert all(line["norm"] > 0 and 0 < line["reward"] <= 1 for line in steps)
    assert all(
        0 < line["format"] < 1e-3 for line in steps
    )  # a model that has learnt nothing hardly ever says an integer
    assert all(sum(step[i : i + 11]) == pytest.approx(0, abs=1e-5) for step in seen for i in range(0, len(step), 11))


def test_the_same_run_in_parts_has_the_same_curve(qwen, tmp_path):
    for name, micro in (("whole", 33), ("parts", 11)):
        train(tmp_path / name, recipe(qwen, **{"optimiser.micro": micro}))
    whole, parts = ([line.get("norm") for line in read_metrics(tmp_path / name)] for name in ("whole", "parts"))
    assert whole == pytest.approx(parts, rel=1e-3)


def test_what_every_reply_is_not_for_is_an_error(qwen, tmp_path):
    with pytest.raises(InvalidInput, match=r"has 11 replies and sampling\.samples is 4"):
        train(tmp_path / "a", recipe(qwen, **{"sampling.samples": 4, "optimiser.micro": 12}))
    with pytest.raises(InvalidInput, match="has 0 replies"):
        train(
            tmp_path / "b",
            recipe(qwen, **{"prompt.kind": "group-scores", "prompt.reply_tokens": 9, "reward.parts": "1.0 ndcg"}),
        )
    with pytest.raises(InvalidInput, match=r"set llm\.lora_rank to null"):
        recipe(qwen, **{"loss.beta": 0.1, "llm.lora_rank": 2})
    with pytest.raises(InvalidInput, match=r"loss\.advantage=mean"):
        recipe(qwen, **{"loss.advantage": "z_score"})
    with pytest.raises(InvalidInput, match=r"loss\.kind=dapo"):
        recipe(qwen, **{"loss.kind": "grpo"})
    with pytest.raises(InvalidInput, match=r"loss\.entropy needs"):
        recipe(qwen, **{"sampling.every": False, "sampling.engine": "vllm"})


@pytest.mark.parametrize("told", [{"every": [[1]], "entropy": 0.0}, {"every": (), "entropy": 0.1}])
def test_replies_that_another_engine_draws_have_no_likelihoods_to_go_by(told):
    trainer = adapter.Reinforcer.__new__(adapter.Reinforcer)
    trainer.use_vllm, trainer.job = True, types.SimpleNamespace(**told)
    with pytest.raises(InvalidInput, match="no vLLM, no sharded weights"):
        trainer._generate_single_turn([[1, 2]])
