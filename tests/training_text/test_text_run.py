"""Whole runs on tiny models: two steps of each method, one curve however it is cut up, a checkpoint that serves."""

from __future__ import annotations

import dataclasses
import json
import types

import pytest
import torch
from tiny_writers import BASE, lessons

from shortlist.backends import transformers as served
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.rewards.text import REWARDS, Reply
from shortlist.text import Subset
from shortlist.training.guards import TrainingStopped
from shortlist.training.log import read_metrics
from shortlist.training.progress import read_measured
from shortlist.training.report import write_report
from shortlist.training.text import adapter
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import TextRun, lessons_of, train_text
from shortlist.training.text.scoring import StepScorer
from shortlist.training.text.tools import Rewarding
from shortlist.types import Status

# a reward that differs between the replies of a model that has not learnt to write: see conftest
MIXED = {"reward.parts": "1.0 signs + 0.5 status-format", "dev.measure": "reward"}


def recipe(model, method, **changes):
    told = {name.replace("__", "."): value for name, value in changes.items()}
    return TextRecipe.of({**BASE, "model": str(model), "method": method, "name": method, **told})


def train(folder, told, *, resume=False, dev=(), on_step=None, data=None, **more):
    """Without dev lessons unless they are asked for (``None``: a share): measuring takes longer than learning here."""
    some = lessons(8) if data is None else data
    on_step = on_step or (lambda *_: None)
    run = TextRun(recipe=told, folder=folder, lessons=lessons_of(told, some, dev), on_step=on_step, **more)
    return train_text(run, resume=resume)


def curve(folder):
    return list(read_metrics(folder))


@pytest.mark.parametrize("method", ["sft", "grpo", "dpo"])
def test_each_method_takes_two_steps(method, qwen, tmp_path):
    outcome = train(tmp_path / "run", recipe(qwen, method, **MIXED_IF[method]), dev=None)
    assert outcome.steps == 2
    steps = [line for line in curve(tmp_path / "run") if line["step"]]
    assert all(line["norm"] > 0 for line in steps)
    assert {"recipe.yaml", "manifest.json", "metrics.jsonl", "costs.jsonl", "results.json", "dev", "checkpoints"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    if method == "grpo":
        assert {"reward", "parts", "format", "length", "zero_variance", "failed"} <= steps[0].keys()


MIXED_IF = {"sft": {}, "dpo": {}, "grpo": {name.replace(".", "__"): value for name, value in MIXED.items()}}


@pytest.mark.parametrize(
    ("method", "kind"), [("sft", "dapo"), ("dpo", "dapo"), ("grpo", "dapo"), ("grpo", "grpo"), ("grpo", "dr_grpo")]
)
def test_one_by_eight_is_eight_by_one(method, kind, llama, tmp_path):
    lines = []
    for micro in (8, 1):
        told = recipe(
            llama, method, **MIXED_IF[method], optimiser__lessons=8 if method != "grpo" else 2, loss__kind=kind
        )
        told = dataclasses.replace(told, optimiser=dataclasses.replace(told.optimiser, micro=micro))
        train(tmp_path / f"{micro}", told, data=lessons(12))
        lines.append([(line["loss"], line["norm"]) for line in curve(tmp_path / f"{micro}") if line["step"]])
    for (loss, norm), (other_loss, other_norm) in zip(*lines, strict=True):
        assert other_norm == pytest.approx(norm, rel=1e-3)
        assert other_loss == pytest.approx(loss, abs=1e-4)


def test_packed_and_plain_log_probabilities_give_one_curve(qwen, tmp_path):
    told = [recipe(qwen, "grpo", **MIXED_IF["grpo"], sampling__packed=packed) for packed in (True, False)]
    told = [dataclasses.replace(one, loss=dataclasses.replace(one.loss, beta=0.1)) for one in told]
    for i, one in enumerate(told):
        train(tmp_path / f"{i}", one)
    first, second = ([(line["norm"], line["reward"]) for line in curve(tmp_path / f"{i}")[1:]] for i in (0, 1))
    assert [value for pair in first for value in pair] == pytest.approx([v for pair in second for v in pair], rel=1e-3)


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_run_that_was_cut_off_goes_on_to_the_same_curve(method, qwen, tmp_path):
    class Cut(Exception):
        pass

    def cut(step, _told):
        if step == 3:
            raise Cut

    told = recipe(qwen, method, **MIXED_IF[method], optimiser__steps=4, save_every=2, optimiser__warmup=2, dev__every=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    dev = lessons(1, first=20)
    train(whole, told, dev=dev)
    with pytest.raises(Cut):
        train(parts, told, on_step=cut, dev=dev)
    outcome = train(parts, told, resume=True, dev=dev)
    assert outcome.steps == 4
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    with pytest.raises(InvalidInput, match="not the recipe given"):
        train(parts, recipe(qwen, method, optimiser__lr=1e-5), resume=True)
    with pytest.raises(InvalidInput, match="holds a run already"):
        train(parts, told)


def test_the_checkpoint_serves_with_its_prompt_and_the_report_shows_both_texts(qwen, tmp_path):
    told = recipe(qwen, "sft", optimiser__steps=12, optimiser__lessons=4, optimiser__micro=4, optimiser__lr=2e-2,
                  dev__every=12, prompt__reply_tokens=20, dev__measure="length")  # fmt: skip
    run = tmp_path / "run"
    outcome = train(run, told, dev=None)
    steps = [line["loss"] for line in curve(run) if "loss" in line]
    assert steps[-1] < 0.8 * steps[0]
    best = run / "checkpoints" / "best"
    reranker = open_reranker(str(best))
    assert reranker.policy.prompt.passage_tokens == 16
    assert reranker.policy.max_tokens == 20
    dev = read_measured(run, "best")
    served = list(reranker.rerank([lessons_of(told, lessons(8), None).dev[0].request]))
    assert [c.id for c in served[0].kept] == [kept["id"] for kept in dev.records[0]["kept"]]
    assert json.loads((run / "results.json").read_text())["best"] == pytest.approx(dict(outcome.after))
    path = run / "dev" / "best.json"
    path.write_text(path.read_text().replace('"text": "', '"text": "now '))  # as if the texts had changed
    page = write_report(run).read_text(encoding="utf-8")
    for words in ("Dev questions", "The prompt of both", "which is"):
        assert words in page
    card = (best / "README.md").read_text(encoding="utf-8")
    assert "group-scores" in card
    assert "name: sft" in card


def test_adapters_train_and_are_merged(qwen, tmp_path):
    told = recipe(qwen, "grpo", **MIXED_IF["grpo"], llm__lora_rank=2, loss__beta=0.05)
    train(tmp_path / "run", told)
    state = json.loads((tmp_path / "run" / "checkpoints" / "last" / "config.json").read_text())
    assert state["architectures"] == ["Qwen2ForCausalLM"]
    assert not list((tmp_path / "run" / "checkpoints" / "last").glob("adapter*"))
    open_reranker(str(tmp_path / "run" / "checkpoints" / "best"))


def test_only_the_top_layers_move(qwen, tmp_path):
    from safetensors.torch import load_file

    train(tmp_path / "run", recipe(qwen, "sft", llm__train_layers=1))
    before = load_file(qwen / "model.safetensors")
    after = load_file(tmp_path / "run" / "checkpoints" / "last" / "model.safetensors")
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith(("model.layers.1.", "model.norm")) for name in moved)


def test_layers_that_are_not_kept_are_gone_for_good(qwen, tmp_path):
    train(tmp_path / "run", recipe(qwen, "sft", llm__keep_layers=1))
    checkpoint = tmp_path / "run" / "checkpoints" / "last"
    assert json.loads((checkpoint / "config.json").read_text())["num_hidden_layers"] == 1
    open_reranker(str(checkpoint))
    train(tmp_path / "more", recipe(checkpoint, "sft", llm__keep_layers=1))  # as many as there are: all of them
    with pytest.raises(InvalidInput, match=r"keep_layers is 3; the model has 2"):
        train(tmp_path / "odd", recipe(qwen, "sft", llm__keep_layers=3))


def test_a_rater_with_the_query_last_serves_with_shared_beginnings(qwen, tmp_path):
    told = recipe(
        qwen, "sft", prompt__kind="pointwise-rating", prompt__query_last=True, serve="read=labels", **MIXED_IF["sft"]
    )
    train(tmp_path / "run", told)
    saved = json.loads((tmp_path / "run" / "checkpoints" / "last" / "reranker_config.json").read_text())
    assert saved["options"]["reuse_prefix"] == "true"
    assert saved["options"]["read"] == "labels"
    assert saved["prompt"]["query_last"] is True


def test_half_precision_trains_and_samples_in_full(qwen, tmp_path, monkeypatch):
    monkeypatch.setattr("shortlist.training.text.run.emulates_half", lambda: False)
    train(tmp_path / "run", recipe(qwen, "grpo", **MIXED_IF["grpo"], llm__autocast="bfloat16"))
    assert curve(tmp_path / "run")[-1]["norm"] > 0
    assert "autocast: bfloat16" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_half_precision_that_would_be_emulated_is_told_and_left(qwen, tmp_path, monkeypatch):
    monkeypatch.setattr("shortlist.training.text.run.emulates_half", lambda: True)
    asked, noted = recipe(qwen, "sft", **MIXED_IF["sft"], llm__autocast="bfloat16"), []
    train(tmp_path / "asked", asked, note=noted.append)
    train(tmp_path / "full", recipe(qwen, "sft", **MIXED_IF["sft"], llm__autocast="none"))
    assert any("llm.autocast=none instead of bfloat16" in words for words in noted)
    assert "autocast: none" in (tmp_path / "asked" / "recipe.yaml").read_text()
    assert [row["loss"] for row in curve(tmp_path / "asked")] == [row["loss"] for row in curve(tmp_path / "full")]


def test_pairs_of_own_samples(qwen, tmp_path):
    told = recipe(qwen, "dpo", **MIXED_IF["grpo"], loss__own_pairs=True, sampling__samples=3)
    bare = [dataclasses.replace(lesson, target=None) for lesson in lessons(8)]
    train(tmp_path / "run", told, data=bare)
    pairs = [json.loads(line) for line in (tmp_path / "run" / "pairs.jsonl").read_text().splitlines()]
    assert pairs
    assert all(pair["chosen_ids"] != pair["rejected_ids"] for pair in pairs)


def test_the_model_answers_from_what_it_chose_itself(qwen, tmp_path):
    told = recipe(qwen, "grpo", prompt__kind="subset", reward__reader="policy", dev__measure="reward",
                  reward__parts="1.0 f1 + 0.1 list-cost + 0.2 signs")  # fmt: skip
    train(tmp_path / "run", told)
    assert {"f1", "list-cost", "signs"} <= curve(tmp_path / "run")[-1]["parts"].keys()


def test_what_the_reader_said_is_kept_for_other_runs(qwen, tmp_path, monkeypatch):
    """A second run asks nothing anew, and its replies are worth the same."""
    asked, plain = [], served.complete

    def heard(model, tokens, asks, **told):
        asked.extend(asks)
        return plain(model, tokens, asks, **told)

    monkeypatch.setattr(served, "complete", heard)
    told = recipe(qwen, "grpo", prompt__kind="subset", reward__parts="1.0 f1", reward__cache=str(tmp_path / "said.sqlite"),
                  reward__reader=f"{qwen}?max_tokens=4&abstain=false")  # fmt: skip
    prompt, (lesson,) = Subset(), lessons(1)
    replies = [Reply(lesson, text, prompt.parse(text, lesson.slate)) for text in ("[1]", "[3], [1]")]
    completer = types.SimpleNamespace(step=0)  # not asked: the reader is another model
    levels = [Rewarding(told, completer).reward().score(replies) for _ in range(2)]
    assert len(asked) == 2
    assert levels[0] == levels[1] and None not in levels[0]  # noqa: PT018


def test_the_mixture_teaches_to_choose_and_to_answer(qwen, tmp_path):
    outcome = train(tmp_path / "run", recipe(qwen, "sft", prompt__kind="subset", data__answers=True))
    assert outcome.steps == 2


def test_a_pool_of_single_passages_is_scored_together(qwen, tmp_path):
    told = recipe(qwen, "grpo", prompt__kind="pointwise-rating", prompt__reply_tokens=4, optimiser__lessons=3,
                  optimiser__micro=12, reward__parts="1.0 signs + 0.5 pooled-rank")  # fmt: skip
    train(tmp_path / "run", told)
    assert "pooled-rank" in curve(tmp_path / "run")[-1]["parts"]


def test_lessons_that_the_reward_can_make_nothing_of_are_left_out_and_told(qwen, tmp_path):
    told = recipe(qwen, "grpo", optimiser__lessons=2, optimiser__steps=4)
    mixed = [dataclasses.replace(one, grades={}) if i % 4 else one for i, one in enumerate(lessons(8))]
    notes = []
    train_text(TextRun(recipe=told, folder=tmp_path / "run", lessons=lessons_of(told, mixed, ()), note=notes.append))
    assert all(line["failed"] == 0 for line in curve(tmp_path / "run") if line["step"])
    assert any("6 of 8 lessons are left out; the first: query 'q1'" in note for note in notes)


def test_what_replies_are_credited_with(qwen, tmp_path, monkeypatch):
    """The trainer learns from our advantages: 0 for a group of equals, and for a reply that could not be scored."""
    levels = [1.0, None, 0.0, 0.5, 0.7, 0.7, 0.7, 0.7]
    seen, real = [], adapter.Reinforcer._generate_and_score_completions

    def scored(self, inputs):
        drawn = real(self, inputs)
        seen.append(drawn["advantages"].tolist())
        return drawn

    monkeypatch.setattr(StepScorer, "__call__", lambda *_: levels)
    monkeypatch.setattr(adapter.Reinforcer, "_generate_and_score_completions", scored)
    told = recipe(qwen, "grpo", **MIXED_IF["grpo"], optimiser__lessons=2, sampling__samples=4, optimiser__steps=1,
                  optimiser__micro=8, loss__advantage="leave_one_out")  # fmt: skip
    train(tmp_path / "run", told)
    assert seen == [pytest.approx([0.75, 0.0, -0.75, 0.0, 0.0, 0.0, 0.0, 0.0])]


def test_several_lists_of_one_query_are_told_apart(qwen, tmp_path):
    twice = [dataclasses.replace(one, meta={"id": f"draw-{i}"}) for i, one in enumerate(lessons(1, first=20) * 2)]
    train(tmp_path / "run", recipe(qwen, "sft", dev__queries=3), dev=[*twice, *lessons(1, first=20)])
    records = read_measured(tmp_path / "run", "before").records
    assert [record["id"] for record in records] == ["draw-0", "draw-1", "q20"]


def test_several_passes_over_the_replies_of_a_step(qwen, tmp_path):
    outcome = train(tmp_path / "run", recipe(qwen, "grpo", **MIXED_IF["grpo"], loss__iterations=2))
    assert [line["step"] for line in curve(tmp_path / "run")] == [1, 2]
    assert outcome.steps == 2


def test_what_cannot_be_is_told(qwen, tmp_path):
    bare = [dataclasses.replace(lesson, grades={}) for lesson in lessons(8)]
    with pytest.raises(
        InvalidInput, match=r"learnt from by grpo: query 'q0': nothing in it that the reward could score"
    ):
        train(tmp_path / "a", recipe(qwen, "grpo"), data=bare)
    with pytest.raises(InvalidInput, match=r"no dev lesson has a grade above 0.*dev\.measure=format"):
        train(tmp_path / "e", recipe(qwen, "sft"), data=bare, dev=None)
    with pytest.raises(TrainingStopped, match="is nan"):
        train(tmp_path / "b", recipe(qwen, "sft", optimiser__lr=1e9, optimiser__clip_norm=1e9))
    with pytest.raises(InvalidInput, match="in --lessons and in --dev"):
        train(tmp_path / "c", recipe(qwen, "sft"), dev=lessons(2))
    with pytest.raises(InvalidInput, match=r"give reward\.reader"):
        train(tmp_path / "d", recipe(qwen, "grpo", reward__parts="1.0 f1"))
    with pytest.raises(InvalidInput, match="does not divide"):
        recipe(qwen, "grpo", optimiser__micro=3)


def test_without_dev_the_last_weights_are_the_checkpoint(qwen, tmp_path):
    train(tmp_path / "run", recipe(qwen, "sft"))
    (ranking,) = open_reranker(str(tmp_path / "run" / "checkpoints" / "best")).rerank([lessons(1)[0].request])
    assert ranking.status in set(Status)


def test_alarms_stop_a_run(qwen, tmp_path):
    told = recipe(
        qwen, "grpo", guards__action="stop", guards__zero_variance=0.5, guards__patience=1, optimiser__steps=9
    )
    outcome = train(tmp_path / "run", told)  # nDCG of replies that cannot be read: all are worth 0
    assert outcome.why.startswith("alarm: zero_variance")
    assert outcome.steps == 1


def test_every_reward_of_the_recipes_is_known():
    assert {"ndcg", "relative-ndcg", "pooled-rank", "exact-label"} <= REWARDS.keys()
