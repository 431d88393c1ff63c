"""What goes on around TRL's steps: rates, logs, dev measurements, alarms, states to go on from.

All of it is decided by the step's number and what was measured, so that a killed run goes on to the same curve. TRL's own
checkpoints are not used: they are pickles, and they know nothing of dev.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from shortlist.errors import UnknownName
from shortlist.training.development import Measured
from shortlist.training.guards import Guards, check_finite
from shortlist.training.log import Log
from shortlist.training.progress import Progress, read_measured, write_measured
from shortlist.training.recipe import OptimiserRecipe
from shortlist.training.schedule import schedule
from shortlist.training.state import State, States, load_optimiser, optimiser_tensors
from shortlist.training.text.development import TextDevelopment
from shortlist.training.text.models import LiveCompleter
from shortlist.training.text.recipe import TextRecipe

OnStep = Callable[[int, Mapping[str, Any]], None]


@dataclass(kw_only=True)
class Control(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """One run's bookkeeping. ``facts`` is filled by the reward of each step; ``first``: this process writes."""

    recipe: TextRecipe
    run: Path
    steps: int
    completer: LiveCompleter
    development: TextDevelopment | None
    publish: Callable[[str, Measured, Measured], object]
    log: Log
    facts: dict[str, Any] = field(default_factory=dict)
    on_step: OnStep = lambda _step, _told: None
    first: bool = True
    now: Progress = field(default_factory=Progress)
    before: Measured | None = None
    _started: float = 0.0
    _spent: float = 0.0
    _rate: float = 0.0
    _optimiser: Any = None
    _known: State | None = None

    def __post_init__(self) -> None:
        self.guards, self.states = Guards(self.recipe.guards), States(self.run)
        told, warmup = self.recipe.optimiser, self.recipe.optimiser.warmup
        rise = round(warmup * self.steps) if warmup < 1 else round(warmup)
        self._schedule = OptimiserRecipe(steps=self.steps, warmup=rise, decay=told.decay)

    # -------------------------------------------------------------------------------------------- beginning

    def begin(self, *, resume: bool) -> int:
        """Measure, or stand where the last state was saved; gives the steps taken so far. Before TRL begins."""
        self._known = self.states.last() if resume else None
        self.log.go_on_after(None if self._known is None else self._known.step)
        if self._known is None:
            told = {"step": 0, **self._measured([])}
            if self.development is not None:
                self.log.metrics(told)
                self.on_step(0, told)
            return 0
        weights = {n.removeprefix("policy."): t for n, t in self._known.tensors.items() if n.startswith("policy.")}
        self.completer.text.load_state(weights)
        self.now = Progress.from_json(self._known.facts["progress"])
        self.guards.streaks.update(self._known.facts["streaks"])
        self.completer.step = self.now.step
        if (self.run / "dev" / "before.json").is_file():
            self.before = read_measured(self.run, "before")
        return self.now.step

    # -------------------------------------------------------------------------------------------- TRL's calls

    def on_train_begin(self, args: Any, state: Any, control: Any, **told: Any) -> None:  # noqa: ARG002, D102
        self._optimiser = told["optimizer"]
        if self._known is not None:
            load_optimiser(self._optimiser, self._known.tensors)

    def on_step_begin(self, args: Any, state: Any, control: Any, **told: Any) -> None:  # noqa: ARG002, D102
        self._started = time.perf_counter()
        self._rate = self.recipe.optimiser.lr * schedule(self.now.step + 1, self._schedule) * self.now.rate
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **told: Any) -> None:  # noqa: ARG002, D102
        logs = logs or {}
        if "train_runtime" in logs or "loss" not in logs:
            return
        self._spent += time.perf_counter() - self._started
        check_finite({"loss": logs["loss"], "gradient's norm": logs.get("grad_norm", 0.0)}, self.now.step + 1)
        if state.global_step % self.recipe.loss.iterations:
            return
        self.now.step += 1
        self.completer.step = self.now.step
        self._after(logs)
        control.should_training_stop = bool(self.now.why)

    # -------------------------------------------------------------------------------------------- after a step

    def _after(self, logs: Mapping[str, Any]) -> None:
        step = self.now.step
        metrics = {"step": step, **_of_trl(logs), **self.facts, "lr": self._rate}
        alarms = self.guards.check(metrics)
        if self.development is not None and (step % self.recipe.dev.every == 0 or step == self.steps):
            metrics |= self._measured(alarms)
        if step == self.steps:
            self.now.why = self.now.why or "all steps taken"
        metrics["alarms"] = alarms
        self.log.metrics(metrics)
        self.log.costs({"step": step, "seconds": self._spent, **_nothing_read()})
        self.on_step(step, {**metrics, "seconds": self._spent})
        self._spent = 0.0
        if alarms:
            self._alarmed(alarms)
        if self.now.why or step % self.recipe.save_every == 0:
            self.save()

    def _measured(self, alarms: list[str]) -> dict[str, Any]:
        """Dev now; the best weights are kept, and published if they are better than all before."""
        if self.development is None:
            return {}
        found = self.development.measure(self.completer)
        wanted = self.recipe.dev.measure
        if wanted not in found.values:
            raise UnknownName("dev.measure", wanted, found.values)
        score = found.values[wanted]
        check_finite({f"dev {wanted}": score}, self.now.step)
        top = self.now.best[0][0] if self.now.best else None
        alarms += self.guards.check_dev(score, top)
        if self.before is None:
            self.before = found
            self._write("before", found)
        if top is None or score > top:
            self._better(score, found)
        else:
            self.now.stale += 1
        if self.recipe.dev.patience is not None and self.now.stale >= self.recipe.dev.patience:
            self.now.why = f"no better dev {wanted} in {self.now.stale} measurements"
        return {"dev": dict(found.values)}

    def _better(self, score: float, found: Measured) -> None:
        name, text = f"step-{self.now.step:06d}.safetensors", self.completer.text
        weights = text.state() if self.gathers else {}
        if self.first:
            self.states.keep_weights(self.now.step, weights)
            self._write("best", found)
        self.now.best, self.now.stale = [(score, self.now.step, name)], 0
        if self.gathers and self.before is not None:
            self.publish("best", self.before, found)

    @property
    def gathers(self) -> bool:
        """Whether this process takes part in telling what was learnt: the one that writes, or all where it is sharded."""
        return self.first or self.completer.text.sharded

    def _write(self, name: str, found: Measured) -> None:
        if self.first:
            write_measured(self.run, name, found)

    def _alarmed(self, alarms: list[str]) -> None:
        action, told = self.recipe.guards.action, "; ".join(alarms)
        if action == "warn":
            return
        if action == "stop" or not self.now.best or self.now.rollbacks >= self.recipe.guards.rollbacks:
            self.now.why = f"alarm: {told}"
            return
        self.now.rollbacks += 1
        self.now.rate /= 2
        self.completer.text.load_state(self.states.weights(self.now.best[0][2]))
        self._optimiser.load_state_dict({"state": {}, "param_groups": self._optimiser.state_dict()["param_groups"]})
        self.guards.calm()

    def save(self) -> None:
        """A state, after which what is older or stands in none is deleted."""
        if not self.gathers:
            return
        weights = {f"policy.{name}": value for name, value in self.completer.text.state().items()}
        optimiser = optimiser_tensors(self._optimiser)
        if not self.first:
            return
        facts = {"progress": self.now.to_json(), "streaks": self.guards.streaks}
        self.log.sync()
        self.states.save(State(self.now.step, {**weights, **optimiser}, facts))
        self.states.forget_weights(but=[name for _, _, name in self.now.best])


_NAMES = {
    "loss": "loss",
    "grad_norm": "norm",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clipped",
    "mean_token_accuracy": "token_accuracy",
    "rewards/accuracies": "preferred",
    "rewards/margins": "margin",
}
"""TRL's names of numbers → ours."""


def _of_trl(logs: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of TRL's that we log, by our names."""
    return {ours: float(logs[theirs]) for theirs, ours in _NAMES.items() if logs.get(theirs) is not None}


def _nothing_read() -> dict[str, float]:
    """The columns of a reader's costs, which the report sums."""
    return dict.fromkeys(("made", "saved", "failed", "tokens", "waiting", "reading"), 0.0)


def known(values: Mapping[str, float]) -> dict[str, float]:
    """Without what is no number."""
    return {name: value for name, value in values.items() if not math.isnan(value)}
