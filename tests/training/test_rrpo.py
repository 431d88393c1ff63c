"""The loop on a toy: it learns, it goes on after a kill, it ends clearly when something breaks."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import torch
import toy_run

from shortlist.backends.store import Store
from shortlist.errors import BackendError, InvalidFile, InvalidInput, UnknownName
from shortlist.rerankers.catalog import open_reranker
from shortlist.training import checkpoint
from shortlist.training.assembly import _calibration, assemble
from shortlist.training.development import Development, Measured
from shortlist.training.guards import Guards, TrainingStopped, stopped_by
from shortlist.training.log import Log, read_metrics
from shortlist.training.recipe import GuardRecipe
from shortlist.training.report import write_report
from shortlist.training.state import State, States
from shortlist.types import Status

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")


def train(toy, run, *overrides, **told):
    data, model = toy
    return toy_run.train(run, toy_run.recipe(model, *overrides), data, **told)


def metrics(run):
    return (run / "metrics.jsonl").read_bytes()


# ------------------------------------------------------------------------------------------------ a run


def test_a_run_writes_all_that_it_should(toy, tmp_path):
    shown = []
    outcome = train(toy, tmp_path / "run", on_step=lambda step, told: shown.append(step))
    assert outcome.steps == 12
    assert shown == list(range(13))
    lines = list(read_metrics(tmp_path / "run"))
    assert [line["step"] for line in lines] == list(range(13))
    assert [line["step"] for line in lines if "dev" in line] == [0, 3, 6, 9, 12]
    assert {"loss", "kl", "entropy", "greedy", "zero_variance", "kept", "k", "reward", "parts", "norm", "lr"} <= lines[
        1
    ].keys()
    costs = [json.loads(line) for line in (tmp_path / "run" / "costs.jsonl").read_text().splitlines()]
    assert sum(cost["saved"] for cost in costs) > sum(cost["made"] for cost in costs)
    assert costs[-1]["spent"] <= 12 * 4 * 5 * 2
    best = outcome.after["reward"]
    assert best == max(line["dev"]["reward"] for line in lines if "dev" in line)
    page = write_report(tmp_path / "run").read_text()
    assert page.startswith("<!doctype html>")
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_checkpoint_ranks_as_the_policy_did(toy, tmp_path):
    train(toy, tmp_path / "run", "policy.stop=true", "credit.form=marginal", "reward.passage_cost=0.1")
    data, model = toy
    told = toy_run.recipe(model, "policy.stop=true")
    opened = toy_run.opened(tmp_path / "other", told, data)
    records = json.loads((tmp_path / "run" / "dev" / "best.json").read_text())["records"]
    rankings = list(open_reranker(str(tmp_path / "run" / "checkpoints" / "best")).rerank(opened.data.dev))
    assert [[c.id for c in r.kept] for r in rankings] == [[d["id"] for d in record["kept"]] for record in records]
    assert "rrpo" in (tmp_path / "run" / "checkpoints" / "best" / "README.md").read_text()


def test_a_calibration_ranks_as_the_scores_do_or_there_is_none():
    told = {"id": "q", "scores": [3.0, 2.0, 1.0], "labels": [1.0, 1.0, 0.0]}
    assert _calibration(Measured({}, [told])).a > 0
    assert _calibration(Measured({}, [{**told, "labels": [0.0, 0.0, 1.0]}])) is None
    assert _calibration(Measured({}, [{**told, "labels": [1.0, 1.0, 1.0]}])) is None


def test_it_learns(toy, tmp_path):
    """The training reward rises: which passages name a colour can be told from their words."""
    train(toy, tmp_path / "run", "optimiser.steps=40", "optimiser.lr=3e-3", "dev.every=40", "data.solvable=false")
    rewards = [line["reward"] for line in read_metrics(tmp_path / "run") if "reward" in line]
    assert sum(rewards[-8:]) / 8 > sum(rewards[:8]) / 8 + 0.15


@pytest.mark.parametrize("objective", ["dpo", "list_mle", "distil", "supervised"])
def test_the_other_objectives_go_through_the_same_loop(toy, tmp_path, objective):
    outcome = train(toy, tmp_path / "run", f"objective={objective}", "optimiser.steps=4")
    assert outcome.steps == 4
    assert any(line["norm"] > 0 for line in read_metrics(tmp_path / "run") if "norm" in line)
    assert (tmp_path / "run" / "checkpoints" / "best" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "readings"),
    [
        ((), 5 * 2),  # four samples and the list that the baseline compares them with, both prefixes of each
        (("credit.baseline=none",), 4 * 2),
        (("objective=dpo",), 4),
        (("objective=list_mle",), 4),
    ],
    ids=["mixed", "none", "dpo", "list_mle"],
)
def test_nothing_is_read_that_the_objective_does_not_ask(toy, tmp_path, changes, readings):
    """So that objectives that credit no pick, or compare with no list, have the whole budget for their samples."""
    train(toy, tmp_path / "run", "data.solvable=false", "optimiser.steps=1", *changes)
    costs = [json.loads(line) for line in (tmp_path / "run" / "costs.jsonl").read_text().splitlines()]
    assert sum(cost["made"] + cost["saved"] for cost in costs) == 4 * readings


def test_judgements_in_the_reader_s_place(toy, tmp_path):
    data, model = toy
    told = toy_run.recipe(model, "reward.f1=0", "reward.ndcg=1", "reader=null", "dev.measure=ndcg@10")
    outcome = toy_run.train(tmp_path / "run", told, data)
    assert outcome.after["ndcg@10"] >= outcome.before["ndcg@10"]


def test_averaging_is_kept_only_if_it_is_better(toy, tmp_path):
    outcome = train(toy, tmp_path / "run", "dev.average=3")
    lines = list(read_metrics(tmp_path / "run"))
    assert len(lines[-1]["averaged"]) == 3
    best = max(line["dev"]["reward"] for line in lines if "dev" in line)
    assert outcome.after["reward"] == pytest.approx(best)


# ------------------------------------------------------------------------------------------------ going on


def test_a_killed_trainer_loses_nothing():
    """Real processes, killed with SIGKILL at random moments (scripts/kill_trainer.py --kills 20 does more of it)."""
    job = [sys.executable, str(ROOT / "scripts" / "kill_trainer.py"), "--kills", "3", "credit.normalise=window"]
    done = subprocess.run(job, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 kills" in done.stdout


class Stop(Exception):
    pass


def stop_at(step):
    def told(now, _):
        if now == step:
            raise Stop

    return told


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("overlap=false", "optimiser.epochs=2", "credit.normalise=window", "loss.kl=k1", "loss.ratio=reference"),
        ("policy.stop=true", "credit.form=marginal", "loss.kl=k3", "policy.train_layers=1"),
        ("guards.drop=0.0", "guards.action=rollback", "optimiser.lr=1e-2"),
        ("dev.average=2", "dev.patience=2"),
        ("objective=distil", "reward.budget=60"),
    ],
    ids=lambda more: ",".join(more) or "plain",
)
def test_a_resumed_run_is_the_uninterrupted_one(toy, tmp_path, more):
    whole = train(toy, tmp_path / "whole", *more)
    for step in (1, 4, 7):
        if step < whole.steps:
            with pytest.raises(Stop):
                train(toy, tmp_path / "run", *more, resume=True, on_step=stop_at(step))
    again = train(toy, tmp_path / "run", *more, resume=True)
    assert again == whole
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")
    name = "checkpoints/best/model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_chat_model_with_adapters_learns_to_stop_and_goes_on_after_a_break(toy, tmp_path):
    more = (
        "policy.lora_rank=2",
        "policy.max_length=8",
        "policy.stop=true",
        "credit.form=marginal",
        "optimiser.steps=5",
    )
    chat = (toy[0], toy_run.tiny.llama(tmp_path / "chat"))
    whole = train(chat, tmp_path / "whole", *more)
    with pytest.raises(Stop):
        train(chat, tmp_path / "run", *more, on_step=stop_at(3))
    assert train(chat, tmp_path / "run", *more, resume=True) == whole
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")
    assert any(line["norm"] > 0 for line in read_metrics(tmp_path / "run") if "norm" in line)
    config = json.loads((tmp_path / "run" / "checkpoints" / "best" / "reranker_config.json").read_text())
    assert (config["kind"], config["options"]["keep"][:4]) == ("pointwise", "null")


def test_going_on_with_a_run_that_is_over_changes_nothing(toy, tmp_path):
    outcome = train(toy, tmp_path / "run")
    before = metrics(tmp_path / "run")
    assert train(toy, tmp_path / "run", resume=True) == outcome
    assert metrics(tmp_path / "run") == before


def test_a_run_is_not_gone_on_with_as_another(toy, tmp_path):
    train(toy, tmp_path / "run", "optimiser.steps=2")
    with pytest.raises(InvalidInput, match="holds a run already"):
        train(toy, tmp_path / "run", "optimiser.steps=2")
    with pytest.raises(InvalidInput, match=r"loss\.beta was 0\.02, is 0\.5"):
        train(toy, tmp_path / "run", "optimiser.steps=2", "loss.beta=0.5", resume=True)
    other = toy_run.collection(tmp_path / "data", seed=1)
    with pytest.raises(InvalidInput, match="other queries or candidates"):
        train((other, toy[1]), tmp_path / "run", "optimiser.steps=2", resume=True)
    same = toy_run.collection(tmp_path / "again")
    lines = (same / "queries.jsonl").read_text().splitlines()
    for changed in (lines[::-1], [line.replace("blue", "azure") for line in lines]):
        (same / "queries.jsonl").write_text("\n".join(changed) + "\n")
        with pytest.raises(InvalidInput, match="other gold answers or judgements, or in another order"):
            train((same, toy[1]), tmp_path / "run", "optimiser.steps=2", resume=True)


def test_a_torn_state_counts_for_nothing(tmp_path):
    states = States(tmp_path)
    states.save(State(2, {"a": torch.ones(2)}, {"x": 1}))
    states.save(State(4, {"a": torch.zeros(2)}, {"x": "é\udc80"}))
    (states.folder / "step-000006.part").mkdir()
    found = states.last()
    assert (found.step, found.facts["x"], found.tensors["a"].tolist()) == (4, "é\udc80", [0, 0])
    assert [path.name for path in states.folder.glob("step-000002*")] == []
    (states.folder / "step-000004" / "facts.json").write_text("{")
    with pytest.raises(InvalidFile, match="start anew"):
        states.last()


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_a_dead_reader_ends_the_run_and_a_living_one_goes_on(toy, tmp_path):
    with pytest.raises(BackendError, match="connection refused"):
        train(toy, tmp_path / "run", reader=toy_run.Colourist(dies_after=60))
    assert train(toy, tmp_path / "run", resume=True).steps == 12
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == list(range(13))


def test_a_reader_that_dies_anywhere_costs_nothing(toy, tmp_path):
    """What it failed to say before it was known to be dead is in no state, so it is asked again."""
    whole = train(toy, tmp_path / "whole")
    for calls in (3, 36, 47, 55, 70, 90):  # while filtering, in the first measurement, at steps
        run = tmp_path / f"run-{calls}"
        with pytest.raises((BackendError, InvalidInput, TrainingStopped)):
            train(toy, run, reader=toy_run.Colourist(dies_after=calls))
        assert train(toy, run, resume=True) == whole, calls
        assert metrics(run) == metrics(tmp_path / "whole"), calls


def test_a_larger_budget_goes_on_as_if_it_had_been_there(toy, tmp_path):
    whole = train(toy, tmp_path / "whole")
    assert "budget" in train(toy, tmp_path / "run", "reward.budget=70").why
    assert "budget" in train(toy, tmp_path / "run", "reward.budget=70", resume=True).why
    assert train(toy, tmp_path / "run", "reward.budget=10000", resume=True) == whole
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_what_the_filter_asked_is_spent_however_often_the_run_is_begun(toy, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise Stop

    whole = train(toy, tmp_path / "whole", "reward.budget=70")
    monkeypatch.setattr("shortlist.training.rrpo.Trainer.run", killed)
    with pytest.raises(Stop):
        train(toy, tmp_path / "run", "reward.budget=70")
    monkeypatch.undo()
    assert train(toy, tmp_path / "run", "reward.budget=70", resume=True) == whole


def test_the_last_weights_are_taken_if_they_are_the_best(toy, tmp_path, monkeypatch):
    """A budget ends a run between two measurements."""
    real = Development.measure

    def better_when_moved(self, policy):
        found, state = real(self, policy), policy.state()
        moved = any(not torch.equal(value, policy.start[name]) for name, value in state.items())
        return Measured({**found.values, "reward": float(moved)}, found.records)

    monkeypatch.setattr(Development, "measure", better_when_moved)
    outcome = train(toy, tmp_path / "run", "reward.budget=150", "data.solvable=false", "dev.every=1000")
    assert 0 < outcome.best_step == outcome.steps < 12
    assert (outcome.before["reward"], outcome.after["reward"]) == (0.0, 1.0)
    best, last = (tmp_path / "run" / "checkpoints" / name / "model.safetensors" for name in ("best", "last"))
    assert best.read_bytes() == last.read_bytes()


def test_dev_questions_that_cannot_be_scored_are_told(toy, tmp_path):
    data = toy_run.collection(tmp_path / "data")
    lines = [json.loads(line) for line in (data / "queries.jsonl").read_text().splitlines()]
    dev = set(json.loads((data / "splits.json").read_text())["dev"])
    kept = [{**line, "answers": [] if line["_id"] in dev else line["answers"]} for line in lines]
    (data / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    with pytest.raises(TrainingStopped, match=r"none of the 4 dev questions could be scored \(4 of them have no gold"):
        train((data, toy[1]), tmp_path / "run")


def test_a_dev_question_without_candidates_counts(toy, tmp_path):
    data = toy_run.collection(tmp_path / "data")
    run = (data / "run.first.trec").read_text().splitlines()
    (data / "run.first.trec").write_text("".join(f"{line}\n" for line in run if not line.startswith("q15 ")))
    outcome = train((data, toy[1]), tmp_path / "run", "optimiser.steps=2")
    assert outcome.before["kept"] == pytest.approx(2 * 3 / 4)


def test_answers_are_reported_where_order_does_not_count(toy, tmp_path):
    train(toy, tmp_path / "run", "optimiser.steps=2", "reward.key=set")
    told = json.loads((tmp_path / "run" / "dev" / "best.json").read_text())
    assert all(record["answer"] for record in told["records"])


def test_a_spent_budget_ends_the_run_with_what_was_learnt(toy, tmp_path):
    outcome = train(toy, tmp_path / "run", "reward.budget=70", "data.solvable=false")
    assert 0 < outcome.steps < 12
    assert "budget" in outcome.why
    assert (tmp_path / "run" / "checkpoints" / "best").is_dir()


def test_a_budget_that_the_filter_alone_would_spend_is_told_at_once(toy, tmp_path):
    with pytest.raises(InvalidInput, match=r"up to 4 shortlists of each of 12 .* raise reward\.budget"):
        train(toy, tmp_path / "run", "reward.budget=3")


def test_a_noisy_supervisor_is_wrong_as_a_whole_and_dev_is_not(toy, tmp_path):
    data, model = toy
    told = toy_run.recipe(model, "reward.noise=1.0", "reward.em=1", "reward.passage_cost=0.1")
    task = assemble(toy_run.opened(tmp_path / "run", told, data))
    shown = [(request.query, (request.candidates[0].document,)) for request in task.requests]
    noisy, true = (e.evaluate(shown, [1]).parts for e in (task.environment, task.development.environment))
    assert (noisy["f1"] == 1 - true["f1"]).all()
    assert (noisy["em"] == 1 - true["em"]).all()
    assert (noisy["passage_cost"] == true["passage_cost"]).all()


def test_nan_ends_the_run_before_it_reaches_the_weights(toy, tmp_path, monkeypatch):
    from shortlist.training import rrpo

    real = rrpo.Trainer._learn

    def spoilt(self, step, batch):
        if step == 5:
            self.objective = lambda logits, *_: (logits.sum() * float("nan"), 0.0)
        return real(self, step, batch)

    monkeypatch.setattr(rrpo.Trainer, "_learn", spoilt)
    with pytest.raises(TrainingStopped, match=r"step 5: the loss is nan.* start anew with a lower optimiser\.lr"):
        train(toy, tmp_path / "run")
    monkeypatch.undo()
    assert train(toy, tmp_path / "run", resume=True).steps == 12


@pytest.mark.parametrize(
    ("place", "name", "call"),
    [
        (States, "save", 4),
        (Log, "metrics", 6),
        (Log, "costs", 3),
        (checkpoint, "_write", 2),
        (States, "keep_weights", 1),
        (Store, "put_many", 4),
    ],
    ids=["state", "metrics", "costs", "checkpoint", "weights", "readings"],
)
def test_a_full_disk_ends_the_run_and_freed_it_goes_on(toy, tmp_path, monkeypatch, place, name, call):
    whole = train(toy, tmp_path / "whole")
    real, calls = getattr(place, name), []

    def full(*told, **more):
        calls.append(name)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*told, **more)

    monkeypatch.setattr(place, name, full)
    with pytest.raises((TrainingStopped, InvalidFile), match=r"No space left on device.* go on with --resume"):
        train(toy, tmp_path / "run")
    monkeypatch.undo()
    assert train(toy, tmp_path / "run", resume=True) == whole
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_what_cannot_be_written_is_told_as_it_is():
    assert "free the disk" in str(stopped_by(OSError(errno.ENOSPC, "No space left on device")))
    assert "free the disk" not in str(stopped_by(PermissionError(errno.EACCES, "Permission denied", "x")))


def test_data_that_nothing_can_be_learnt_from(toy, tmp_path):
    class Mute(toy_run.Colourist):
        def _answer(self, reading):
            return toy_run.Answer(text="mat", reading=reading)

    with pytest.raises(InvalidInput, match=r"no training query can be learnt from: .*12 never right"):
        train(toy, tmp_path / "run", reader=Mute())


def test_a_reader_that_cannot_be_read_is_alarming(toy, tmp_path):
    class Babbler(toy_run.Colourist):
        def _answer(self, reading):
            return dataclasses.replace(super()._answer(reading), status=Status.FAILED)

    train(toy, tmp_path / "run", "optimiser.steps=3", "data.solvable=false", reader=Babbler())
    lines = list(read_metrics(tmp_path / "run"))
    assert lines[-1]["dev"]["format"] == 0
    assert any("replies cannot be read" in alarm for alarm in lines[-1]["alarms"])


def test_a_measure_that_dev_does_not_have(toy, tmp_path):
    with pytest.raises(UnknownName, match=r"dev\.measure 'f2'.*Known: em"):
        train(toy, tmp_path / "run", "dev.measure=f2")


def test_alarms_warn_roll_back_and_stop(toy, tmp_path):
    far = ("guards.kl=0.0", "guards.patience=2", "optimiser.lr=1e-2")
    train(toy, tmp_path / "warn", *far)
    assert any(line.get("alarms") for line in read_metrics(tmp_path / "warn"))
    outcome = train(toy, tmp_path / "stop", *far, "guards.action=stop")
    assert outcome.why.startswith("alarm: kl")
    assert outcome.steps < 12
    outcome = train(toy, tmp_path / "back", *far, "guards.action=rollback", "guards.rollbacks=1")
    assert outcome.why.startswith("alarm: kl")
    lines = list(read_metrics(tmp_path / "back"))
    assert outcome.steps > next(line["step"] for line in lines if line.get("alarms"))


def test_a_guard_counts_steps_in_a_row():
    guards = Guards(GuardRecipe(kl=1.0, entropy=0.1, patience=2, drop=0.1))
    calm = {"kl": 0.5, "entropy": 1.0, "zero_variance": None, "failed": 0.0}
    assert [len(guards.check({**calm, "kl": kl})) for kl in (2, 0.5, 2, 2, 2)] == [0, 0, 0, 1, 1]
    assert guards.check({**calm, "entropy": 0.05}) == []
    assert "entropy 0.05" in guards.check({**calm, "entropy": 0.05})[0]
    assert [len(guards.check({**calm, "format": share})) for share in (0.9, 0.4, 0.4)] == [0, 0, 1]
    assert "cannot be read" in guards.check_dev(0.6, 0.65, 0.3)[0]
    assert guards.check_dev(0.5, 0.65)
    assert not guards.check_dev(0.6, 0.65)


# ------------------------------------------------------------------------------------------------ two processes


WORKER = """
import sys
sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
import toy_run
from pathlib import Path
from shortlist.training.parallel import Processes, leave
processes = Processes.join()
overrides = {overrides!r}
toy_run.train(Path({run!r}), toy_run.recipe(Path({model!r}), *overrides), Path({data!r}), processes=processes)
leave()
"""


def test_two_processes_give_the_curve_of_one(toy, tmp_path):
    data, model = toy
    overrides = ["optimiser.steps=6", "credit.normalise=window", "policy.stop=true", "optimiser.queries=3"]
    train(toy, tmp_path / "one", *overrides)
    told = {"tests": str(Path(__file__).parent), "data": str(data), "model": str(model), "overrides": overrides}
    (tmp_path / "worker.py").write_text(WORKER.format(run=str(tmp_path / "two"), **told))
    job = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(tmp_path / "worker.py"),
    ]
    done = subprocess.run(job, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (list(read_metrics(tmp_path / name)) for name in ("one", "two"))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for a, b in zip(one[1:], two[1:], strict=True):
        for name in ("loss", "kl", "entropy", "reward", "norm", "advantage_size"):
            assert a[name] == pytest.approx(b[name], rel=2e-4, abs=1e-5), (a["step"], name)
        assert a["k"] == b["k"]
