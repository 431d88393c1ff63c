"""The reward module that verl is handed: it runs in a bare interpreter, and says what our rewards say."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from tiny_writers import BASE, lessons

from shortlist.errors import InvalidInput
from shortlist.rewards.text import Reply
from shortlist.testing.hostile import random_reply, spoil
from shortlist.testing.prompts import example_verdicts
from shortlist.training.text.forms import prompt_of
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import lessons_of
from shortlist.training.text.scoring import weighted
from shortlist.training.text.verl import export
from shortlist.types import Status

CASES = {
    "group-scores": "1 ndcg?k=10 + 0.2 recall + 1 grouprank-format?tagged=false",
    "listwise": "0.8 relative-ndcg?k=2 + 0.2 status-format",
    "listwise-reasoning": "0.8 relative-ndcg?k=10 + 1 rearank-format",
    "subset": "1 ndcg + 0.5 status-format",
    "setwise": "1 exact-label",
    "setwise-reasoning": "1 exact-label + 0.1 status-format",
}
RUN = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); import reward; asked = json.load(sys.stdin);"
    "print(json.dumps([reward.compute_score('shortlist', text, truth, {}) for text, truth in asked]))"
)


def recipe(model, kind):
    told = {name: value for name, value in BASE.items() if name != "prompt.kind"}
    return TextRecipe.of(
        {**told, "model": str(model), "method": "grpo", "prompt.kind": kind, "reward.parts": CASES[kind]}
    )


def replies(prompt, size, draw):
    """Well-formed ones, spoilt ones, anything."""
    good = [prompt.write(verdict) for verdict in example_verdicts(prompt, size, draw, count=12)]
    return [*good, *(spoil(draw.choice(good), draw) for _ in range(25)), *(random_reply(draw) for _ in range(10)), ""]


@pytest.mark.parametrize("kind", CASES)
def test_a_bare_interpreter_agrees_with_our_rewards(kind, qwen, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    told = recipe(qwen, kind)
    found = lessons_of(told, lessons(6), [])
    export(told, found, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    assert {"data_source", "prompt", "ability", "reward_model", "extra_info"} == rows[0].keys()
    prompt, draw = prompt_of(told.prompt), random.Random(0)
    asked, ours = [], []
    for row, lesson in zip(rows, found.train, strict=True):
        for text in replies(prompt, len(lesson), draw):
            verdict = prompt.parse(text, lesson.slate)
            if verdict.status in {Status.OK, Status.FAILED}:  # what ours repairs counts as not well-formed there
                asked.append((text, row["reward_model"]["ground_truth"]))
                ours.append(Reply(lesson, text, verdict))
    # -I: no user site, no environment; -S: no site-packages at all
    job = [sys.executable, "-I", "-S", "-c", RUN, str(tmp_path / "out")]
    done = subprocess.run(job, input=json.dumps(asked), capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    for reply, own, other in zip(ours, weighted(CASES[kind]).score_parts(ours), theirs, strict=True):
        assert other["score"] == pytest.approx(own.total or 0.0, abs=1e-9), reply.text
    assert len({round(one["score"], 6) for one in theirs}) > 1


def test_the_prompts_are_those_that_are_served(qwen, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    told = recipe(qwen, "listwise")
    export(told, lessons_of(told, lessons(4), []), tmp_path / "out")
    (row, *_) = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    messages = [(turn["role"], turn["content"]) for turn in row["prompt"]]
    assert messages == [tuple(message) for message in prompt_of(told.prompt).render(lessons(4)[0].slate)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"reward.parts": "1 f1"}, "asks more than a module alone can know"),
        ({"reward.parts": "1 ndcg?dcg=exp-log2"}, "'dcg' of reward 'ndcg'"),
        ({"method": "sft"}, "verl is handed GRPO recipes"),
        ({"reward.shaping": "rank"}, "reward.shaping is 'rank', which looks at a group"),
    ],
)
def test_what_cannot_be_handed_over_is_told(change, problem, qwen, tmp_path):
    told = TextRecipe.of({**BASE, "model": str(qwen), "method": "grpo", **change})
    with pytest.raises(InvalidInput, match=problem):
        export(told, lessons_of(told, lessons(2), []), tmp_path / "out")
