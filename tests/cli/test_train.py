"""`shortlist train`: from files to a checkpoint in use, with a tiny model and a reader behind HTTP."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest
from loopback import last_words, serve

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import toy_run

from shortlist.cli import run
from shortlist.cli.train_common import shipped
from shortlist.data import read_run
from shortlist.training.log import read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")


def colour(body):
    words = last_words(body).partition("Question")[0].split() or last_words(body).split()
    return next((word for word in words if word in toy_run.COLOURS), "mat")


def train(toy, output, url, *more, recipe="rrpo-ours"):
    data, model = toy
    overrides = [*toy_run.BASE, f"model={model}", f"reader=openai:m@{url}/v1?max_tokens=8", "reward.likelihood=0"]
    job = ["train", "rrpo", recipe, *overrides, "optimiser.steps=4", "--data", str(data), "--output", str(output)]
    return run([*job, *map(str, more)])


def test_three_commands_from_files_to_a_checkpoint_in_use(toy, tmp_path, capsys):
    data, _ = toy
    with serve(colour) as server:
        assert train(toy, tmp_path / "run", server.url, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 4
    reader = told["reader"]
    assert reader["made"] > 0
    assert reader["saved_share"] == reader["saved"] / (reader["made"] + reader["saved"]) > 0.3
    assert 0 < reader["busy"] <= 1
    checkpoint = told["checkpoint"]
    out = tmp_path / "out.trec"
    job = ["rerank", "--data", str(data), "--run", str(data / "run.first.trec"), "--reranker", checkpoint]
    assert run([*job, "--output", str(out)]) == 0
    assert len(read_run(out)) == 16
    assert {"recipe.yaml", "manifest.json", "metrics.jsonl", "costs.jsonl", "report.html", "checkpoints", "state"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }


def test_a_server_s_likelihoods_are_not_trained_on(toy, tmp_path, capsys):
    """It shows its own reply alone: gold answers that it finds unlikely would be masked, and nobody would be told."""
    with serve(colour) as server:
        assert train(toy, tmp_path / "run", server.url, "reward.likelihood=0.5") == 3
        assert not server.seen
    assert "reward.likelihood=0 reward.f1=1" in capsys.readouterr().err.replace("\n", " ")


def test_an_interrupted_run_goes_on(toy, tmp_path, capsys, monkeypatch):
    with serve(colour) as server:
        assert train(toy, tmp_path / "whole", server.url) == 0
        from shortlist.training.rrpo import Trainer

        real = Trainer._learn

        def interrupted(self, step, batch):
            if step == 3:
                raise KeyboardInterrupt
            return real(self, step, batch)

        monkeypatch.setattr(Trainer, "_learn", interrupted)
        assert train(toy, tmp_path / "run", server.url) == 130
        monkeypatch.undo()
        assert train(toy, tmp_path / "run", server.url) == 3
        assert "--resume" in capsys.readouterr().err
        asked = len(server.seen)
        assert train(toy, tmp_path / "run", server.url, "--resume") == 0
        assert len(server.seen) - asked < asked / 3  # what was read before is not read again
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_dry_run_opens_no_model_and_writes_nothing(toy, tmp_path, capsys):
    assert train(toy, tmp_path / "run", "http://nowhere", "--dry-run") == 0
    told = capsys.readouterr()
    assert "samples: 4" in told.out
    assert "12 queries to learn from, 4 to choose by" in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("optimiser.stepz=3",), "Did you mean 'optimiser.steps'"),
        (("data.train=test.jsonl",), "there is no file test.jsonl"),
        (("model=/nowhere/at/all",), "/nowhere/at/all"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(toy, tmp_path, capsys, more, told):
    with serve(colour) as server:
        assert train(toy, tmp_path / "run", server.url, *more) in {3, 4}
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_reader_that_is_not_there_is_exit_code_5(toy, tmp_path, capsys):
    from loopback import free_port

    assert train(toy, tmp_path / "run", f"http://127.0.0.1:{free_port()}", "data.solvable=false") == 5
    assert capsys.readouterr().err


def test_recipes_come_along_by_name_and_by_path(toy, tmp_path, capsys):
    assert {
        "rrpo-ours",
        "rrpo-paper",
        "rrpo-ours-stop",
        "rrpo-hops",
        "rrpo-hops-stop",
        "rrpo-relevance",
    } <= shipped().keys()
    assert train(toy, tmp_path / "run", "http://nowhere", "--dry-run", recipe=str(shipped()["rrpo-paper"])) == 0
    assert train(toy, tmp_path / "run", "http://nowhere", "--dry-run", recipe="rrpo-hours") == 3
    assert "rrpo-ours" in capsys.readouterr().err


def test_half_precision_that_would_be_emulated_is_told_and_left(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shortlist.training.networks.emulates_half", lambda: True)
    assert train(toy, tmp_path / "run", "http://nowhere", "--dry-run", "policy.dtype=bfloat16") == 0
    told = capsys.readouterr()
    assert "policy.dtype=float32 instead of bfloat16" in told.err
    assert "dtype: float32" in told.out


def test_the_report_can_be_made_of_a_run_that_was_killed(toy, tmp_path, capsys):
    with serve(colour) as server:
        assert train(toy, tmp_path / "run", server.url) == 0
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [0, 1, 2, 3, 4]
    (tmp_path / "run" / "report.html").unlink()
    assert run(["train", "report", str(tmp_path / "run")]) == 0
    assert "Training run" in (tmp_path / "run" / "report.html").read_text()
    assert run(["train", "report", str(tmp_path)]) == 3


def test_a_report_that_cannot_be_written_hides_nothing(toy, tmp_path, capsys, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shortlist.training.report.write_report", full)
    with serve(colour) as server:
        assert train(toy, tmp_path / "run", server.url) == 0
    assert "no report" in capsys.readouterr().err


def test_a_dry_run_counts_what_may_be_read(toy, tmp_path, capsys):
    more = ("reward.likelihood=0.5", "sampling.samples=3", "data.solvable_samples=4", "reward.budget=99")
    assert train(toy, tmp_path / "run", "http://nowhere", *more, "--dry-run") == 0
    # 4 steps of 4 queries, 3 lists and a greedy one, 2 prefixes each, 12 queries filtered by 4 lists; answer and likelihood
    assert f"at most {2 * (4 * 4 * 4 * 2 + 12 * 4)} readings" in capsys.readouterr().err.replace("\n", " ")
