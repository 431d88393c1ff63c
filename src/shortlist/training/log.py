"""What a run writes as it goes: two JSONL files, and TensorBoard's events if that package is there.

``metrics.jsonl`` has one line a step and holds only what follows from recipe, data and seed: a resumed run's file is that
of an uninterrupted one, byte for byte. ``costs.jsonl`` tells what the steps cost this time: seconds, calls made and saved.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shortlist.data.files import json_line

METRICS, COSTS, EVENTS = "metrics.jsonl", "costs.jsonl", "tensorboard"


class Log:
    """The logs of a run folder. ``write=False``: another process of the run writes them."""

    def __init__(self, run: Path, *, write: bool = True) -> None:
        self._run, self._write = run, write
        self._events: Any = _tensorboard(run / EVENTS) if write else None

    def go_on_after(self, step: int | None) -> None:
        """Cut off what a killed run wrote after its last state; ``None``: all of it."""
        if not self._write:
            return
        kept = [] if step is None else [line for line in read_metrics(self._run) if _before(line, step)]
        part = self._run / f"{METRICS}.part"
        part.write_text("".join(json_line(line) + "\n" for line in kept), encoding="utf-8")
        part.replace(self._run / METRICS)
        costs = self._run / COSTS
        if step is None:
            costs.unlink(missing_ok=True)
        elif costs.exists():  # what was spent was spent; but a line that a full disk tore would spoil the next
            os.truncate(costs, costs.read_bytes().rfind(b"\n") + 1)

    def metrics(self, told: Mapping[str, Any]) -> None:
        """One step."""
        self._append(METRICS, told)

    def costs(self, told: Mapping[str, Any]) -> None:
        """What it cost."""
        self._append(COSTS, told)

    def sync(self) -> None:
        """See to it that the metrics are on disk: before a state that counts on them."""
        path = self._run / METRICS
        if self._write and path.exists():
            with path.open("ab") as file:
                os.fsync(file.fileno())

    def close(self) -> None:
        """Finish the events."""
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, name: str, told: Mapping[str, Any]) -> None:
        if not self._write:
            return
        with (self._run / name).open("a", encoding="utf-8") as file:
            file.write(json_line(rounded(told)) + "\n")
        if self._events is not None:
            for key, value in scalars(told):
                if key != "step":
                    self._events.add_scalar(f"{Path(name).stem}/{key}", value, told["step"])


def rounded(value: Any, digits: int = 9) -> Any:
    """Floats to so many digits (17 are all of them), and ``None`` for what is no number: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: rounded(each, digits) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each, digits) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def read_metrics(run: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a run's metrics; one that a kill tore is none."""
    path = run / METRICS
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            return


def scalars(told: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by their path."""
    for key, value in told.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key, value


def _before(line: Mapping[str, Any], step: int) -> bool:
    return line["step"] <= step and not line.get("averaged")


def _tensorboard(folder: Path) -> Any:
    """A writer of events; ``None`` without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
