"""Credit by passage: what a passage's score is worth goes to the tokens that say it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tiny_writers import BASE, lessons

from shortlist.errors import InvalidInput
from shortlist.rewards.text import NDCG, CounterfactualNDCG, Reply, StatusFormat, WeightedTextReward
from shortlist.text.groupwise import GroupScores
from shortlist.training.log import read_metrics
from shortlist.training.text import adapter
from shortlist.training.text.advantages import by_passage, owners, spread
from shortlist.training.text.forms import fitted_lessons
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import TextRun, lessons_of, train_text

PROMPT = GroupScores(passage_tokens=16, terse=True)


def said(lesson, *scores):
    text = " ".join(f"[{i + 1}]{score}" for i, score in enumerate(scores))
    return Reply(lesson, text, PROMPT.parse(text, lesson.slate))


def test_by_hand():
    """A passage is compared with itself in the other replies; what is not of passages with the whole of the others."""
    told = by_passage([0.9, 0.4, None], [[0.8, 0.4], [0.2, 0.4], []], 3)
    assert told[0] == (pytest.approx(0.1), pytest.approx((0.3, 0.0)))
    assert told[1] == (pytest.approx(-0.1), pytest.approx((-0.3, 0.0)))
    assert told[2] == (0.0, ())
    assert by_passage([None], [[]], 1) == [(0.0, ())]


def test_tokens_and_their_passages():
    pieces = list(itertools.accumulate(["[", "2", "]", "1", "0", " [", "1", "]", "3", "<|end|>"]))
    assert owners(pieces, 2) == [1] * 5 + [0] * 5
    assert owners(["so", "so [", "so [9", "so [9]"], 2) == [None] * 4  # no such passage
    assert owners([], 2) == []
    assert spread(0.5, (0.25, -0.25), [None, 1, 0]) == [0.5, 0.25, 0.75]
    assert spread(0.5, (-0.25, -0.75), [None, None]) == [0.0, 0.0]  # named nothing: the mean of all it did not score
    assert spread(0.5, (), [None, 0]) == [0.5, 0.5]


def test_the_gradient_is_that_of_the_expected_ndcg():
    """Scores drawn independently: the mean over replies of advantage · ∇ log p is the gradient of the mean nDCG."""
    lesson = fitted_lessons(PROMPT, lessons(1, 3, seed=4))[0]
    assert 0 < sum(gain > 0 for gain in lesson.gains) < 3
    torch.manual_seed(0)
    logits_NS = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    p_NS = logits_NS.softmax(-1)
    worth = {
        told: NDCG().score([said(lesson, *told)])[0] for told in itertools.product(range(3), repeat=3)
    }  # ties by their mean over orders, as the credit has them
    mean = sum(p_NS[0, a] * p_NS[1, b] * p_NS[2, c] * level for (a, b, c), level in worth.items())
    (exact_NS,) = torch.autograd.grad(mean, logits_NS)

    count, draw = 6000, np.random.default_rng(0)
    drawn_GN = np.stack([draw.choice(3, size=count, p=p.detach().numpy()) for p in p_NS], axis=1)
    credited = WeightedTextReward(((CounterfactualNDCG(draws=4000), 1.0),)).credit(
        [said(lesson, *row) for row in drawn_GN]
    )
    told = by_passage([float(np.mean(row)) for row in credited], credited, count)
    estimate_NS = np.zeros((3, 3))
    for scores, (at_large, passages) in zip(drawn_GN, told, strict=True):
        assert at_large == pytest.approx(0, abs=1e-9)
        for passage, score in enumerate(scores):
            estimate_NS[passage] += passages[passage] * (np.eye(3)[score] - p_NS[passage].detach().numpy()) / count
    assert np.abs(exact_NS.numpy()).max() > 0.03
    np.testing.assert_allclose(estimate_NS, exact_NS.numpy(), atol=0.003)


def test_parts_that_know_passages_and_parts_that_do_not():
    lesson = fitted_lessons(PROMPT, lessons(1, 3, seed=4))[0]
    both = WeightedTextReward(((CounterfactualNDCG(), 2.0), (StatusFormat(), 0.5)))
    replies = [said(lesson, 9, 1, 1), said(lesson, 1, 9), said(lesson, 1, 2, 9)]
    alone = CounterfactualNDCG().credit(replies)
    assert both.credits_passages
    assert both.credit(replies) == [[2 * level for level in row] for row in alone]
    assert alone[1] == [0.0] * 3  # a reply that leaves a passage out does not count
    totals = both.score(replies)
    assert totals[0] == pytest.approx(2 * np.mean(alone[0]) + 0.5 * StatusFormat().score(replies)[0])
    assert not WeightedTextReward(((StatusFormat(), 1.0),)).credits_passages
    assert WeightedTextReward(((StatusFormat(), 1.0),)).credit(replies) == [[], [], []]


def recipe(model, **more):
    told = {"prompt.terse": True, "prompt.reply_tokens": 16, "optimiser.lessons": 2, "optimiser.micro": 8,
            "loss.credit": "passage", "loss.advantage": "mean", "optimiser.steps": 1,
            "reward.parts": "1.0 counterfactual-ndcg + 0.2 status-format"}  # fmt: skip
    return TextRecipe.of({**BASE, "model": str(model), "method": "grpo", "name": "credit", **told, **more})


def train(folder, told):
    return train_text(TextRun(recipe=told, folder=folder, lessons=lessons_of(told, lessons(8), ())))


def test_a_run_credits_the_tokens_of_a_passage(qwen, tmp_path, monkeypatch):
    """Of four replies, three in form: they differ in the second passage's score alone, and so do their advantages."""
    texts = ["[1]5 [2]0 [3]5", "[1]5 [2]9 [3]5", "[1]5 [2]9 [3]5", "none"]
    seen, score = [], adapter.Reinforcer._generate_and_score_completions

    def drawn(model, prompts, _seeds, how):
        tokens = trainers[0].job.tokens
        ids = [[*tokens.tokenizer(texts[i % 4])["input_ids"], how.ends[0]] for i in range(len(prompts))]
        return ids, [[-1.0] * len(row) for row in ids]

    def watched(self, inputs):
        trainers[:] = [self]
        found = score(self, inputs)
        seen.append((found["advantages"], found["completion_mask"]))
        return found

    trainers: list = []
    monkeypatch.setattr(adapter, "draw", drawn)
    monkeypatch.setattr(adapter.Reinforcer, "_generate_and_score_completions", watched)
    train(tmp_path / "run", recipe(qwen))
    assert [line["norm"] > 0 for line in read_metrics(tmp_path / "run") if line["step"]] == [True]
    rows, mask = seen[0]
    assert rows.shape == mask.shape
    low, high = rows[0].tolist(), rows[1].tolist()
    second = range(texts[0].index(" [2]") + 1, texts[0].index(" [3]") + 1)  # a token a byte
    assert [i for i in range(len(low)) if low[i] != pytest.approx(high[i], abs=1e-6)] == list(second)
    assert (rows * (1 - mask)).abs().max() == 0
    gone = rows[3][: int(mask[3].sum())].tolist()
    assert gone == pytest.approx([gone[0]] * len(gone))
    assert gone[0] < min(low)


def test_the_same_run_in_parts_has_the_same_curve(qwen, tmp_path):
    for name, micro in (("whole", 8), ("parts", 4)):
        train(tmp_path / name, recipe(qwen, **{"optimiser.micro": micro}))
    whole, parts = ([line.get("norm") for line in read_metrics(tmp_path / name)] for name in ("whole", "parts"))
    assert whole == pytest.approx(parts, rel=1e-3)


def test_what_it_is_not_for_is_an_error(qwen, tmp_path):
    with pytest.raises(InvalidInput, match=r"loss\.advantage=mean"):
        recipe(qwen, **{"loss.advantage": "z_score"})
    with pytest.raises(InvalidInput, match=r"no reward\.shaping"):
        recipe(qwen, **{"reward.shaping": "rank"})
    with pytest.raises(InvalidInput, match="knows what single passages are worth"):
        train(tmp_path / "run", recipe(qwen, **{"reward.parts": "1.0 ndcg"}))
