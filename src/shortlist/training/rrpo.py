"""RRPO: a reranker learns from what a reader answers with its shortlists. The loop, to be read from top to bottom.

A step: score the candidates of a batch of queries; draw shortlists; have the reader answer from their prefixes (while it
reads the next batch's, this one is trained on); credit every pick; take the loss's gradient with respect to the scores,
and from there back through the model in small batches; AdamW. Every few steps the dev queries are ranked and read, and
the best weights are kept.

All that is random is drawn from seeds of (seed, step, place), so that a state is no more than weights, AdamW's memory, a
window of advantages and the shortlists under way: a killed run goes on to the same curve.

Left out, each in a file of its own: drawing and log-probabilities (plackett_luce), credit (advantages, experience), losses
(losses, objectives), the model (policy), the reader and its cache (rewards.environment), dev (development), alarms
(guards), files (log, state, checkpoint), several processes (parallel). There is no critic and no second reader.

Wu et al., "Optimizing RAG Rerankers with LLM Feedback via Reinforcement Learning", arXiv 2604.02091.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shortlist.backends.store import Store
from shortlist.errors import InvalidInput
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.training.advantages import SlidingWhitener
from shortlist.training.checkpoint import average
from shortlist.training.development import Development, Measured
from shortlist.training.experience import Experience
from shortlist.training.guards import Guards, check_finite, stopped_by
from shortlist.training.log import Log
from shortlist.training.parallel import Processes
from shortlist.training.policy import ScorePolicy
from shortlist.training.progress import Outcome, Progress, pack_batch, read_measured, unpack_batch, write_measured
from shortlist.training.recipe import Recipe
from shortlist.training.rollouts import Rolled, Rollouts
from shortlist.training.schedule import schedule
from shortlist.training.state import State, States, load_optimiser, optimiser_tensors
from shortlist.training.step_metrics import cost_facts, query_facts, step_facts
from shortlist.types import Qrels, RerankRequest


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that a run needs. ``publish`` writes a checkpoint of the policy as it is: (name, before, now)."""

    recipe: Recipe
    run: Path
    requests: Sequence[RerankRequest]
    policy: ScorePolicy
    environment: ReaderEnvironment
    development: Development
    publish: Callable[[str, Measured, Measured], object]
    labels: Qrels | None = None
    store: Store | None = None
    processes: Processes = Processes()


class Trainer:
    """One run, see the module."""

    def __init__(self, task: Task, on_step: Callable[[int, Mapping[str, Any]], None] | None = None) -> None:
        self.task, self.recipe, self.policy, self.processes = task, task.recipe, task.policy, task.processes
        self.on_step = on_step or (lambda _step, _told: None)
        self.parameters = list(self.policy.trained().values())
        told = self.recipe.optimiser
        groups = self.policy.groups(told.lr, null_lr=told.null_lr, weight_decay=told.weight_decay)
        self.optimiser = torch.optim.AdamW(groups)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.whitener = SlidingWhitener(self.recipe.credit.window)
        self.reference = self.policy.reference(task.store)
        self.rollouts = Rollouts(
            recipe=task.recipe,
            requests=task.requests,
            policy=task.policy,
            reference=self.reference,
            environment=task.environment,
            whitener=self.whitener,
            labels=task.labels,
            processes=task.processes,
        )
        self.sampler, self.objective = self.rollouts.sampler, self.rollouts.method.objective
        self.guards = Guards(self.recipe.guards)
        self.states, self.log = States(task.run), Log(task.run, write=self.processes.first)
        self.now = Progress()
        self.ahead: Rolled | None = None
        self.due = False  # a state is to be written as soon as it can be
        self.before: Measured | None = None

    def run(self, *, resume: bool = False) -> Outcome:
        """Train to the end. With ``resume``, from the last state.

        Raises:
            TrainingStopped: NaN, or a disk that is full; the run folder is whole.
            BackendError: the reader is dead.
        """
        try:
            with self.log, self.task.environment:
                self._begin(self.states.last() if resume else None)
                while not self.now.why:
                    self._step()
                return self._finish()
        except OSError as problem:
            raise stopped_by(problem) from problem

    # -------------------------------------------------------------------------------------------- a step

    def _step(self) -> None:
        started, before, step = time.perf_counter(), self.task.environment.counters, self.now.step + 1
        rolled = self.ahead or self.rollouts.roll(step)
        more = self.recipe.overlap and step < self.recipe.optimiser.steps
        self.ahead = self.rollouts.roll(step + 1) if more else None  # drawn before this step is taken: one step stale
        waiting = time.perf_counter()
        levels, self.now.why = self.rollouts.read(rolled)
        waited = time.perf_counter() - waiting
        if self.now.why:  # the budget is spent: this step is not taken
            self.ahead = rolled  # unless a resumed run has a larger one
            self._save()
            return
        metrics = self._learn(step, self.rollouts.credited(rolled.batch, levels))
        self.now.step = step
        alarms = self.guards.check(metrics)
        if step % self.recipe.dev.every == 0 or step == self.recipe.optimiser.steps:
            metrics["dev"], fell = self._measure()
            alarms += fell
        if step == self.recipe.optimiser.steps:
            self.now.why = self.now.why or "all steps taken"
        metrics["alarms"] = alarms
        self._write(metrics, before, seconds=time.perf_counter() - started, waited=waited)
        if alarms:
            self._alarmed(alarms)
        self.due |= bool(self.now.why) or step % self.recipe.save_every == 0
        if self.due or (metrics.get("dev") and not self.now.stale):
            self._save()

    def _learn(self, step: int, batch: list[Experience]) -> dict[str, Any]:
        """The updates of a step, and its metrics."""
        requests, norm = [one.request for one in batch], 0.0
        facts: list[dict[str, Any]] = []
        for epoch in range(self.recipe.optimiser.epochs):
            fresh = epoch == 0 and not self.recipe.overlap  # the scores that drew are those of the present weights
            scores = [one.scores_N for one in batch] if fresh else self.policy.scores(requests)
            leaves = [u.clone().requires_grad_() for u in scores]
            told = [
                self.objective(self.sampler.logits(u), one, self.sampler, self.recipe.loss)
                for u, one in zip(leaves, batch, strict=True)
            ]
            losses = torch.stack([loss for loss, _ in told])
            check_finite({"loss": math.fsum(self.processes.gather(losses.tolist()))}, step)
            gradients = torch.autograd.grad(losses.sum() / self.recipe.optimiser.queries, leaves)
            self.optimiser.zero_grad(set_to_none=True)
            self.policy.backward(requests, gradients, scores)
            self.processes.add_gradients(self.parameters)
            norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optimiser.clip_norm))
            check_finite({"gradient's norm": norm}, step)
            self._set_rates(step)
            self.optimiser.step()
            facts = facts or [
                query_facts(one, u, self.sampler, loss=float(loss.detach()), clipped=clipped)
                for one, u, (loss, clipped) in zip(batch, scores, told, strict=True)
            ]
        summary = step_facts(self.processes.gather(facts))
        return {"step": step, **summary, "norm": norm, "lr": self.optimiser.param_groups[0]["lr"]}

    def _set_rates(self, step: int) -> None:
        factor = schedule(step, self.recipe.optimiser) * self.now.rate
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    # -------------------------------------------------------------------------------------------- choosing

    def _measure(self) -> tuple[dict[str, float], list[str]]:
        """Dev now; the best weights are kept, and published if they are better than all before."""
        if self.ahead is not None and self.ahead.levels is not None:
            self.ahead.levels.exception()  # one thread at a time asks the reader; a failure shows when it is needed
        found = self.task.development.measure(self.policy)
        score = found.score(self.recipe.dev.measure)
        top = self.now.best[0][0] if self.now.best else None
        fell = self.guards.check_dev(score, top, found.values.get("format"))
        if self.before is None:
            self.before = found
            if self.processes.first:
                write_measured(self.task.run, "before", found)
        name = f"step-{self.now.step:06d}.safetensors"
        ranked = sorted([*self.now.best, (score, self.now.step, name)], key=lambda each: -each[0])
        self.now.best = ranked[: self.recipe.dev.average]
        if self.processes.first and any(kept == name for _, _, kept in self.now.best):
            self.states.keep_weights(self.now.step, self.policy.state())
        better = top is None or score > top
        self.now.stale = 0 if better else self.now.stale + 1
        if better:
            self._publish("best", found)
        if self.recipe.dev.patience is not None and self.now.stale >= self.recipe.dev.patience:
            self.now.why = f"no better dev {self.recipe.dev.measure} in {self.now.stale} measurements"
        return dict(found.values), fell

    def _publish(self, name: str, found: Measured) -> None:
        if self.processes.first and self.before is not None:
            self.task.publish(name, self.before, found)

    def _alarmed(self, alarms: list[str]) -> None:
        """What the recipe says is to be done."""
        action, told = self.recipe.guards.action, "; ".join(alarms)
        if action == "warn":
            return
        if action == "stop" or self.now.rollbacks >= self.recipe.guards.rollbacks:
            self.now.why = f"alarm: {told}"
            return
        self.now.rollbacks += 1
        self.now.rate /= 2
        self.processes.wait()
        self.policy.load_state(self.states.weights(self.now.best[0][2]))
        self.optimiser.state.clear()
        self.guards.calm()
        self.ahead = None  # drawn from the weights that went wrong

    def _finish(self) -> Outcome:
        """The mean of the best weights, or the last ones, if they are better still; then the checkpoints."""
        last, before, measure = self.policy.state(), self.before, self.recipe.dev.measure
        assert before is not None  # noqa: S101 - measured at the beginning
        self.processes.wait()
        self._publish("last", final := self.task.development.measure(self.policy))
        score, step, name = self.now.best[0]
        self.policy.load_state(self.states.weights(name))
        best = self.task.development.measure(self.policy)
        if final.values[measure] > score:  # a run that ended between two measurements
            score, step, best = final.values[measure], self.now.step, final
            self.policy.load_state(last)
        elif len(self.now.best) > 1:
            self.policy.load_state(average([self.states.weights(kept) for _, _, kept in self.now.best]))
            mean = self.task.development.measure(self.policy)
            steps = [kept for _, kept, _ in self.now.best]
            self.log.metrics({"step": self.now.step, "averaged": steps, "dev": dict(mean.values)})
            if mean.values[measure] > score:
                best = mean
            else:
                self.policy.load_state(self.states.weights(name))
        self._publish("best", best)
        return Outcome(step, before.values, best.values, self.now.step, self.now.why)

    # -------------------------------------------------------------------------------------------- files

    def _begin(self, state: State | None) -> None:
        """The first measurement, or where a killed run stood."""
        self.log.go_on_after(None if state is None else state.step)
        if state is None:
            told, _ = self._measure()
            self.log.metrics({"step": 0, "dev": told})
            self.on_step(0, {"dev": told})
            self._save()
        else:
            self._load(state)

    def _write(self, metrics: Mapping[str, Any], before: Any, *, seconds: float, waited: float) -> None:
        now, spent = self.task.environment.counters, self.task.environment.spent
        told = cost_facts(before, now, spent=spent, seconds=seconds, waiting=waited)
        self.log.metrics(metrics)
        self.log.costs({"step": metrics["step"], **told, "utilisation": now.utilisation})
        self.on_step(metrics["step"], {**metrics, "cost": told})

    def _save(self) -> None:
        """A state, after which what is older or stands in none is deleted; none while the reader is silent."""
        # should it turn out to be dead, a resumed run goes on from before its silence
        self.due = any(self.processes.everyone(self.task.environment.streak.failures > 0))
        if self.due:
            return
        ahead = [] if self.ahead is None else self.ahead.batch
        drawn = self.processes.gather([(one.place, one.scores_N, one.picks_SK) for one in ahead])
        environments = self.processes.everyone(self.task.environment.state_dict())
        if not self.processes.first:
            return
        facts = {"progress": self.now.to_json(), "streaks": self.guards.streaks, "environments": environments}
        weights = {f"policy.{name}": value for name, value in self.policy.state().items()}
        tensors = {**weights, **optimiser_tensors(self.optimiser), **pack_batch(drawn)}
        self.log.sync()
        self.states.save(State(self.now.step, tensors, {**facts, "whitener": self.whitener.state_dict()}))
        self.states.forget_weights(but=[name for _, _, name in self.now.best])

    def _load(self, state: State) -> None:
        """Stand where a state was saved."""
        weights = {n[len("policy.") :]: t for n, t in state.tensors.items() if n.startswith("policy.")}
        self.policy.load_state(weights)
        load_optimiser(self.optimiser, state.tensors)
        self.now = Progress.from_json(state.facts["progress"])
        self.guards.streaks.update(state.facts["streaks"])
        self.whitener.load_state_dict(state.facts["whitener"])
        known = state.facts["environments"]
        if len(known) != self.processes.world:
            raise InvalidInput(f"the run was begun with {len(known)} processes, not {self.processes.world}")
        self.task.environment.load_state_dict(known[self.processes.rank])
        self.before = read_measured(self.task.run, "before")
        drawn = unpack_batch(state.tensors, self.task.requests, self.reference)
        self.ahead = self.rollouts.submitted(list(self.processes.share(drawn))) if drawn else None
