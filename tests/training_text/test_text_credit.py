"""Credit by passage: what a passage's score is worth goes to the tokens that say it."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from tiny_writers import BASE, lessons

from shortlist.errors import InvalidInput
from shortlist.rewards.text import NDCG, RelativeNDCG, Reply, StatusFormat, WeightedTextReward
from shortlist.rewards.text.base import Credited
from shortlist.text.groupwise import GroupScores
from shortlist.training.log import read_metrics
from shortlist.training.text import adapter
from shortlist.training.text.advantages import by_passage, owners, spread
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import TextRun, lessons_of, train_text
from shortlist.training.text.verl import export

PROMPT = GroupScores(passage_tokens=16, terse=True)


def graded(*grades):
    """A list of passages with these grades."""
    lesson = lessons(1, len(grades))[0]
    return dataclasses.replace(lesson, grades=dict(zip(lesson.ids, map(float, grades), strict=True)))


def says(text):
    """What reads a text as the reply to a lesson."""
    return lambda lesson: Reply(lesson, text, PROMPT.parse(text, lesson.slate))


def said(lesson, *scores):
    text = " ".join(f"[{i + 1}]{score}" for i, score in enumerate(scores))
    return Reply(lesson, text, PROMPT.parse(text, lesson.slate))


def test_what_a_score_adds_by_hand():
    """The other replies' scores of the same passage, in the place of its own; the rest as it is."""
    lesson = graded(2, 0, 0)
    right, wrong, tied = [said(lesson, *told) for told in ((9, 1, 1), (0, 1, 1), (1, 1, 1))]
    last = NDCG().score([wrong])[0]
    middle = NDCG().score([tied])[0]
    told = NDCG().credit([right, wrong])
    assert told[0] == pytest.approx([(1 - last) / 2, 0.0, 0.0])
    assert told[1] == pytest.approx([(last - 1) / 2, 0.0, 0.0])
    told = NDCG().credit([right, tied, said(lesson, 9, 1), says("no")(lesson)])
    assert told[0] == pytest.approx([(1 - middle) / 2, 0.0, 0.0])
    assert told[2:] == [None, None]  # a reply that leaves a passage out does not count
    assert NDCG().credit([said(graded(0, 0, 0), 1, 2, 3)]) == [None]  # nothing to score by
    assert RelativeNDCG().credit([right, right]) == [[0.0] * 3] * 2
    assert np.mean(RelativeNDCG().credit([right, wrong]), axis=0) == pytest.approx([0.0, 0.0, 0.0])


def test_scores_that_move_together_are_worth_the_same():
    """Replies that differ by an offset are all ideal: each score's advantage is the same, and so there is no gradient."""
    lesson = graded(2, 1, 0)
    told = NDCG().credit([said(lesson, 2 + i, 1 + i, i) for i in range(3)])
    columns = np.array(told)
    assert (columns >= 0).all()
    assert columns[:, 1].max() > 0  # a score of another reply would break the order


def test_by_hand():
    """The rest of the reward by the reply, what does not count by its whole reward, what cannot be scored not at all."""
    told = by_passage(
        [1.4, 0.9, 0.1, None],
        [Credited(1.0, (0.3, 0.0)), Credited(0.5, (-0.3, 0.0)), Credited(0.0, ()), Credited(0.7, (0.2, 0.1))],
        4,
    )
    rest, whole = np.array([0.4, 0.4, 0.1]), np.array([1.4, 0.9, 0.1])
    assert told[0] == (pytest.approx(0.4 - rest.mean()), (0.3, 0.0))
    assert told[1] == (pytest.approx(0.4 - rest.mean()), (-0.3, 0.0))
    assert told[2] == (pytest.approx(0.1 - whole.mean()), ())
    assert told[3] == (0.0, ())
    assert by_passage([None], [Credited(0.0, ())], 1) == [(0.0, ())]


def test_tokens_and_their_passages():
    pieces = list(itertools.accumulate(["[", "2", "]", "1", "0", " [", "1", "]", "3", "<|end|>"]))
    assert owners(pieces, 2) == [1] * 5 + [0] * 5
    assert owners(["so", "so [", "so [9", "so [9]"], 2) == [None] * 4  # no such passage
    assert owners([], 2) == []
    assert spread(0.5, (0.25, -0.75), [None, 1, 0]) == [0.0, -0.25, 0.75]  # of no passage: by all of them
    assert spread(0.5, (), [None, None]) == [0.5, 0.5]


def test_the_gradient_is_that_of_the_expected_ndcg():
    """The mean over replies of advantage · ∇ log p, scores drawn independently."""
    lesson = graded(0, 2, 0)
    torch.manual_seed(0)
    logits_NS = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    p_NS = logits_NS.softmax(-1)
    mean = sum(
        p_NS[0, a] * p_NS[1, b] * p_NS[2, c] * NDCG().score([said(lesson, a, b, c)])[0]
        for a, b, c in itertools.product(range(3), repeat=3)
    )
    (exact_NS,) = torch.autograd.grad(mean, logits_NS)

    count, draw = 6000, np.random.default_rng(0)
    drawn_GN = np.stack([draw.choice(3, size=count, p=p.detach().numpy()) for p in p_NS], axis=1)
    replies = [said(lesson, *row) for row in drawn_GN]
    reward = WeightedTextReward(((NDCG(), 1.0),))
    told = by_passage(reward.score(replies), reward.credit(replies), count)
    estimate_NS = np.zeros((3, 3))
    for scores, (at_large, passages) in zip(drawn_GN, told, strict=True):
        assert at_large == pytest.approx(0, abs=1e-9)
        for passage, score in enumerate(scores):
            estimate_NS[passage] += passages[passage] * (np.eye(3)[score] - p_NS[passage].detach().numpy()) / count
    assert np.abs(exact_NS.numpy()).max() > 0.03
    np.testing.assert_allclose(estimate_NS, exact_NS.numpy(), atol=0.003)


def test_parts_that_know_passages_and_parts_that_do_not():
    lesson = graded(2, 0, 0)
    both = WeightedTextReward(((NDCG(), 2.0), (StatusFormat(), 0.5)))
    replies = [said(lesson, 9, 1, 1), said(lesson, 1, 9), said(lesson, 1, 2, 9)]
    alone, levels = NDCG().credit(replies), NDCG().score(replies)
    assert both.knows_passages
    told = both.credit(replies)
    assert [one.level for one in told] == pytest.approx([2 * level for level in levels])
    assert told[0].passages == pytest.approx([2 * each for each in alone[0]])
    assert told[1] == (0.0, ())
    alone = WeightedTextReward(((StatusFormat(), 1.0),))
    assert not alone.knows_passages
    assert alone.credit(replies[:1]) == [(0.0, (0.0, 0.0, 0.0))]


def test_a_reward_of_your_own_credits_every_passage():
    class Short(NDCG):
        def credit(self, replies, /):
            return [[0.0]] * len(replies)

    with pytest.raises(InvalidInput, match="credits 1 passages of 3"):
        WeightedTextReward(((Short(), 1.0),)).credit([said(graded(2, 0, 0), 1, 2, 3)])


def recipe(model, **more):
    told = {"prompt.terse": True, "prompt.reply_tokens": 16, "optimiser.lessons": 2, "optimiser.micro": 8,
            "loss.credit": "passage", "loss.advantage": "mean", "optimiser.steps": 1,
            "reward.parts": "1.0 ndcg + 0.2 status-format"}  # fmt: skip
    return TextRecipe.of({**BASE, "model": str(model), "method": "grpo", "name": "credit", **told, **more})


def train(folder, told):
    return train_text(TextRun(recipe=told, folder=folder, lessons=lessons_of(told, lessons(8), ())))


TEXTS = ["[1]5 [2]0 [3]5", "[1]5 [2]9 [3]5", "[1]5 [2]9 [3]5", "none"]


@pytest.fixture
def seen(monkeypatch):
    """Replies are :data:`TEXTS`, in turn; what each call of the trainer came to is kept."""
    told, trainers, real = [], [], adapter.Reinforcer._generate_and_score_completions

    def drawn(_model, prompts, _seeds, how):
        tokens = trainers[0].job.tokens
        ids = [[*tokens.tokenizer(TEXTS[i % 4])["input_ids"], how.ends[0]] for i in range(len(prompts))]
        return ids, [[-1.0] * len(row) for row in ids]

    def watched(self, inputs):
        trainers[:] = [self]
        found = real(self, inputs)
        told.append((found["advantages"], found["completion_mask"]))
        return found

    monkeypatch.setattr(adapter, "draw", drawn)
    monkeypatch.setattr(adapter.Reinforcer, "_generate_and_score_completions", watched)
    return told


def test_a_run_credits_the_tokens_of_a_passage(qwen, tmp_path, seen):
    """Of four replies, three in form: they differ in the second passage's score alone, and so do their advantages."""
    train(tmp_path / "run", recipe(qwen))
    assert [line["norm"] > 0 for line in read_metrics(tmp_path / "run") if line["step"]] == [True]
    rows, mask = seen[0]
    assert rows.shape == mask.shape
    low, high = rows[0].tolist(), rows[1].tolist()
    second = range(TEXTS[0].index(" [2]") + 1, TEXTS[0].index(" [3]") + 1)  # a token a byte
    assert [i for i in range(len(low)) if low[i] != pytest.approx(high[i], abs=1e-6)] == list(second)
    assert (rows * (1 - mask)).abs().max() == 0
    gone = rows[3][: int(mask[3].sum())].tolist()
    assert gone == pytest.approx([gone[0]] * len(gone))
    assert gone[0] < min(low)


@pytest.mark.usefixtures("seen")
def test_the_same_run_in_parts_has_the_same_curve(qwen, tmp_path):
    for name, micro in (("whole", 8), ("parts", 4)):
        train(tmp_path / name, recipe(qwen, **{"optimiser.micro": micro}))
    whole, parts = ([line.get("norm") for line in read_metrics(tmp_path / name)] for name in ("whole", "parts"))
    assert whole[-1] > 0
    assert whole == pytest.approx(parts, rel=1e-3)


def test_what_it_is_not_for_is_an_error(qwen, tmp_path):
    with pytest.raises(InvalidInput, match=r"loss\.advantage=mean"):
        recipe(qwen, **{"loss.advantage": "z_score"})
    with pytest.raises(InvalidInput, match=r"no reward\.shaping"):
        recipe(qwen, **{"reward.shaping": "rank"})
    for prompt in ({"prompt.kind": "listwise", "prompt.terse": None}, {"prompt.reasoning": True, "prompt.terse": None}):
        with pytest.raises(InvalidInput, match="group-scores without reasoning"):
            recipe(qwen, **prompt)
    with pytest.raises(InvalidInput, match="knows what single passages add"):
        train(tmp_path / "run", recipe(qwen, **{"reward.parts": "1.0 status-format"}))
    for told, why in (
        ({"prompt.terse": None}, "verl credits whole replies"),
        ({"loss.credit": "reply"}, r"prompt\.terse"),
        ({"prompt.terse": None, "loss.credit": "reply", "sampling.constrain": True}, "verl draws freely"),
    ):
        handed = recipe(qwen, **told)
        with pytest.raises(InvalidInput, match=why):
            export(handed, lessons_of(handed, lessons(4), ()), tmp_path / "out")
