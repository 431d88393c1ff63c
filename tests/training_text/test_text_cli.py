"""`shortlist train sft|grpo|dpo`: from a file of lessons to a reranker in use, by commands."""

from __future__ import annotations

import json

import pytest
from tiny_writers import BASE, lessons

from shortlist.cli import run as shortlist
from shortlist.data.lessons import write_lessons
from shortlist.rerankers.catalog import open_reranker


@pytest.fixture
def words(qwen, tmp_path):
    """Changes that make a tiny recipe of any, and the files."""
    write_lessons(tmp_path / "train.jsonl", lessons(6))
    write_lessons(tmp_path / "dev.jsonl", lessons(1, first=9))
    told = {**BASE, "model": str(qwen), "llm.train_layers": None, "llm.keep_layers": None, "optimiser.warmup": 0}
    files = ["--lessons", str(tmp_path / "train.jsonl"), "--dev", str(tmp_path / "dev.jsonl")]
    return [f"{path}={'null' if value is None else value}" for path, value in told.items()] + files


def test_imitate_then_reinforce_then_rerank(words, tmp_path, capsys):
    job = ["train", "sft", "grouprank-sft-tiny", *words, "--output", str(tmp_path / "sft"), "--json"]
    assert shortlist(job) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 2
    assert {"reward", "ndcg@10", "format", "kept", "length"} <= told["best"].keys()
    assert (tmp_path / "sft" / "report.html").is_file()
    grpo = [
        "train",
        "grpo",
        "grouprank-grpo-tiny",
        *words,
        f"model={told['checkpoint']}",
        "reward.parts=1 signs",
        "loss.credit=reply",
    ]
    assert shortlist([*grpo, "--output", str(tmp_path / "rl"), "optimiser.steps=1", "dev.every=1"]) == 0
    assert "→" in capsys.readouterr().out
    (ranking,) = open_reranker(str(tmp_path / "rl" / "checkpoints" / "best")).rerank([lessons(1)[0].request])
    assert len(ranking) == 3
    assert shortlist([*job, "--resume"]) == 0  # finished: nothing is left to do
    assert json.loads(capsys.readouterr().out)["steps"] == 2


def test_the_wrong_command_for_a_recipe_is_told(words, tmp_path, capsys):
    assert shortlist(["train", "dpo", "grouprank-sft-tiny", *words, "--output", str(tmp_path / "run")]) == 3
    assert "use shortlist train sft" in capsys.readouterr().err
    job = ["train", "sft", "grouprank-sft-tiny", *words, "--output", str(tmp_path / "run")]
    assert shortlist([*job, "optimiser.learning=1"]) == 3
    assert "optimiser.lr" in capsys.readouterr().err
    assert shortlist([*job, "--dry-run"]) == 0
    assert "passes over the lessons" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_export_for_verl(words, tmp_path):
    pytest.importorskip("pyarrow")
    job = [
        "train",
        "export-verl",
        "grouprank-grpo-tiny",
        *words,
        "reward.parts=1 ndcg",
        "loss.credit=reply",
        "prompt.terse=false",
        "--output",
        str(tmp_path / "out"),
    ]
    assert shortlist(job) == 0
    assert {"train.parquet", "dev.parquet", "reward.py", "recipe.yaml"} == {
        p.name for p in (tmp_path / "out").iterdir()
    }
