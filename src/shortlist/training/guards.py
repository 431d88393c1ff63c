"""Alarms of a run that goes wrong, and what is done about them."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shortlist.errors import ShortlistError
from shortlist.training.recipe import GuardRecipe

_FORM = "replies cannot be read"


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

    def check_dev(self, value: float, best: float | None, form: float | None = None) -> list[str]:
        """The alarms that a measurement raises; ``form``: the share of replies that could be read."""
        drop, alarms = self.recipe.drop, []
        if drop is not None and best is not None and value < best - drop:
            alarms.append(f"dev fell to {value:.4f}, more than {drop:g} below its best, {best:.4f} (guards.drop)")
        return alarms + [told for told in [_under("format on dev", form, self.recipe.format, _FORM)] if told]

    def calm(self) -> None:
        """Begin to count anew."""
        self.streaks.clear()

    def _due(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        bounds = self.recipe
        return {
            "kl": _over(metrics, "kl", bounds.kl, "the policy has gone far from the reference"),
            "zero_variance": _over(metrics, "zero_variance", bounds.zero_variance, "samples are all worth the same"),
            "failures": _over(metrics, "failed", bounds.failures, "rewards cannot be had"),
            "entropy": _under("entropy", metrics.get("entropy"), bounds.entropy, "nothing is explored"),
            "format": _under("format", metrics.get("format"), bounds.format, _FORM),
        }


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Raise :class:`TrainingStopped` where a number is none: a step with it would spoil the weights."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingStopped(
                f"step {step}: the {name} is {value}; the weights are those of the step before. To go on would come to the "
                "same: start anew with a lower optimiser.lr or a higher sampling.temperature (model=RUN/checkpoints/best "
                "starts from the best so far)"
            )


def _under(name: str, value: float | None, bound: float | None, means: str) -> str:
    if bound is None or value is None or not value < bound:
        return ""
    return f"{name} {value:.4g} is below {bound:g}: {means}"


def _over(metrics: Mapping[str, Any], name: str, bound: float | None, means: str) -> str:
    value = metrics.get(name)
    if bound is None or value is None or not value > bound:
        return ""
    return f"{name} {value:.4g} is over {bound:g}: {means}"
