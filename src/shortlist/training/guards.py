"""Alarms of a run that goes wrong, and what is done about them."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shortlist.errors import ShortlistError
from shortlist.training.recipe import GuardRecipe


class TrainingStopped(ShortlistError):
    """A run ended before its time. Its folder is whole; what is told says whether ``--resume`` can go on with it."""

    exit_code = 1


def stopped_by(problem: OSError) -> TrainingStopped:
    """What to tell of a file that could not be written or read."""
    full = problem.errno in {errno.ENOSPC, errno.EDQUOT}
    return TrainingStopped(f"{problem}; {'free the disk' if full else 'mend that'}, then go on with --resume")


@dataclass
class Guards:
    """Watches the metrics of each step. ``streaks``: for how many steps in a row each alarm has been due."""

    recipe: GuardRecipe
    streaks: dict[str, int] = field(default_factory=dict)

    def check(self, metrics: Mapping[str, Any]) -> list[str]:
        """The alarms that a step raises: of what has been out of bounds ``patience`` steps in a row."""
        alarms = []
        for name, told in self._due(metrics).items():
            self.streaks[name] = self.streaks.get(name, 0) + 1 if told else 0
            if told and self.streaks[name] >= self.recipe.patience:
                alarms.append(f"{told}, {self.streaks[name]} steps in a row")
        return alarms

    def check_dev(self, value: float, best: float | None) -> list[str]:
        """The alarm that a measurement raises."""
        drop = self.recipe.drop
        if drop is None or best is None or not value < best - drop:
            return []
        return [f"dev fell to {value:.4f}, more than {drop:g} below its best, {best:.4f} (guards.drop)"]

    def calm(self) -> None:
        """Begin to count anew."""
        self.streaks.clear()

    def _due(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        bounds = self.recipe
        told = {
            "kl": _over(metrics, "kl", bounds.kl, "the policy has gone far from the reference"),
            "zero_variance": _over(metrics, "zero_variance", bounds.zero_variance, "samples are all worth the same"),
            "failures": _over(metrics, "failed", bounds.failures, "rewards cannot be had"),
            "entropy": "",
        }
        if bounds.entropy is not None and _number(metrics, "entropy") < bounds.entropy:
            told["entropy"] = f"entropy {metrics['entropy']:.4g} is below {bounds.entropy:g}: nothing is explored"
        return told


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Raise :class:`TrainingStopped` where a number is none: a step with it would spoil the weights."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingStopped(
                f"step {step}: the {name} is {value}; the weights are those of the step before. To go on would come to the "
                "same: start anew with a lower optimiser.lr or a higher sampling.temperature (model=RUN/checkpoints/best "
                "starts from the best so far)"
            )


def _number(metrics: Mapping[str, Any], name: str) -> float:
    value = metrics.get(name)
    return math.inf if value is None else float(value)


def _over(metrics: Mapping[str, Any], name: str, bound: float | None, means: str) -> str:
    value = metrics.get(name)
    if bound is None or value is None or not value > bound:
        return ""
    return f"{name} {value:.4g} is over {bound:g}: {means}"
