"""Shaped rewards: what advantages are made of, while the log is told the rewards themselves."""

from __future__ import annotations

import pytest
from tiny_writers import BASE, lessons

from shortlist.errors import UnknownName
from shortlist.rewards.text import WeightedTextReward
from shortlist.rewards.text.shaping import SHAPES
from shortlist.text.groupwise import GroupScores
from shortlist.training.log import read_metrics
from shortlist.training.text import adapter
from shortlist.training.text.advantages import advantages
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import TextRun, lessons_of, train_text
from shortlist.training.text.scoring import StepScorer


class Said:
    """Worth the number that a reply is; a reply that is none cannot be scored."""

    name, bounds = "said", (0.0, 10.0)

    def score(self, replies, /):
        return [None if reply.text == "?" else float(reply.text) for reply in replies]


def scored(texts, places, shape, samples=4):
    reward = WeightedTextReward(((Said(), 1.0),))
    scorer = StepScorer(lessons(3), GroupScores(), lambda: reward, samples, None if shape is None else SHAPES[shape])
    return scorer(places, texts, [1] * len(texts)), scorer.facts


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        (None, [3.0, 1.0, None, 2.0, 5.0, 5.0, 9.0, 5.0]),
        ("relative", [0.5, -0.5, None, 0.0, -0.25, -0.25, 0.75, -0.25]),
        ("rank", [1.0, 0.0, None, 0.5, 1 / 3, 1 / 3, 1.0, 1 / 3]),
    ],
)
def test_shapes_by_hand(shape, wanted):
    levels, facts = scored(["3", "1", "?", "2", "5", "5", "9", "5"], [0] * 4 + [1] * 4, shape)
    assert levels == [None if level is None else pytest.approx(level) for level in wanted]
    assert facts["reward"] == pytest.approx(30 / 7)  # as earned, whatever the shape
    assert (facts["parts"], facts["failed"]) == ({"said": pytest.approx(30 / 7)}, 1 / 8)


def test_groups_are_shaped_apart_and_keep_their_order():
    levels, _ = scored(["3", "9", "1", "5", "2", "?"], [2, 0, 2, 0, 2, 0], "relative", samples=3)
    assert levels == [0.5, 0.5, -0.5, -0.5, 0.0, None]
    assert scored(["?", "?", "?", "?"], [0] * 4, "rank")[0] == [None] * 4


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_up_to_rounding_teach_nothing(shape):
    levels, facts = scored(["0.3", str(0.1 + 0.2), "0.3", "0.3"], [0] * 4, shape)
    assert len(set(levels)) == 1
    assert facts["zero_variance"] == 1


def test_a_name_that_is_no_shape_is_told_those_that_are():
    for shape in (None, *SHAPES):
        assert TextRecipe.of({"reward.shaping": shape}).reward.shaping == shape
    with pytest.raises(UnknownName, match=r"unknown reward\.shaping 'tournament'\. Known: rank, relative"):
        TextRecipe.of({"reward.shaping": "tournament"})


def test_a_step_learns_from_the_shape_and_logs_the_rewards(qwen, tmp_path, monkeypatch):
    seen, earned = {}, {}
    drawn, score = adapter.Reinforcer._generate_and_score_completions, StepScorer.__call__

    def spied(self, inputs):
        told = drawn(self, inputs)
        seen[shape] = told["advantages"].tolist()
        return told

    def kept(self, *asked):
        earned[shape] = score(self, *asked)
        return earned[shape]

    monkeypatch.setattr(adapter.Reinforcer, "_generate_and_score_completions", spied)
    monkeypatch.setattr(StepScorer, "__call__", kept)
    changes = {"model": str(qwen), "method": "grpo", "reward.parts": "1.0 signs", "dev.measure": "reward",
               "loss.advantage": "mean", "optimiser.steps": 1}  # fmt: skip
    logged = {}
    for shape in (None, "rank"):
        told = TextRecipe.of({**BASE, **changes, "reward.shaping": shape})
        folder = tmp_path / str(shape)
        train_text(TextRun(recipe=told, folder=folder, lessons=lessons_of(told, lessons(8), ())))
        logged[shape] = next(line["reward"] for line in read_metrics(folder) if line["step"])
    assert logged[None] == logged["rank"] == pytest.approx(sum(earned[None]) / len(earned[None]))
    groups = [earned[None][:4], earned[None][4:]]
    assert earned["rank"] == [level for group in groups for level in SHAPES["rank"](group)] != earned[None]
    assert seen["rank"] == pytest.approx(advantages(earned["rank"], 4, "mean"))
