"""What a killed run goes on from: tensors in safetensors, the rest in JSON, written beside and renamed.

```
RUN/state/step-000040/{tensors.safetensors, facts.json}     the newest state; older ones are deleted after it is there
RUN/weights/step-000025.safetensors                         the weights of the best measurements
```

A folder that is being written ends in ``.part`` and counts for nothing. No pickle is written or read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from shortlist.errors import InvalidFile
from shortlist.training.parallel import gathered, spread

Tensors: TypeAlias = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class State:
    """A moment of a run: after so many steps."""

    step: int
    tensors: Tensors
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class States:
    """The states of a run folder."""

    run: Path

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.run / "state"

    def save(self, state: State) -> None:
        """Write a state; then delete the older ones."""
        name = f"step-{state.step:06d}"
        part, place = self.folder / f"{name}.part", self.folder / name
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write_tensors(part / "tensors.safetensors", state.tensors)
        told = json.dumps({"step": state.step, **state.facts}, ensure_ascii=False)
        _write_bytes(part / "facts.json", told.encode("utf-8", "backslashreplace"))
        if place.exists():  # the same step again, after a resumption: put the old one aside first
            aside = place.with_suffix(".old.part")
            shutil.rmtree(aside, ignore_errors=True)
            place.rename(aside)
        part.rename(place)
        _sync_folder(self.folder)
        for other in self.folder.iterdir():
            if other != place:
                shutil.rmtree(other, ignore_errors=True)

    def last(self) -> State | None:
        """The newest state, ``None`` if there is none yet. Raises :class:`InvalidFile` if it cannot be read."""
        found = sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []
        whole = [path for path in found if path.suffix != ".part"] or [p for p in found if p.name.endswith(".old.part")]
        if not whole:
            return None
        path = whole[-1] / "facts.json"
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            step = int(facts.pop("step"))
        except (OSError, ValueError, KeyError, AttributeError) as problem:
            raise InvalidFile(
                path, f"not the state of a run ({problem}); delete {self.folder} to start anew"
            ) from problem
        return State(step, read_tensors(whole[-1] / "tensors.safetensors"), facts)

    # -------------------------------------------------------------------------------------------- weights

    def keep_weights(self, step: int, weights: Tensors) -> str:
        """Keep the weights of a measurement; gives the name by which :meth:`weights` finds them."""
        name = f"step-{step:06d}.safetensors"
        folder = self.run / "weights"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        _write_tensors(part, weights)
        part.replace(folder / name)
        return name

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        """Weights that were kept."""
        return read_tensors(self.run / "weights" / name)

    def forget_weights(self, but: Iterable[str]) -> None:
        """Delete all weights but these; once a state is saved that names no others."""
        kept = set(but)
        for path in (self.run / "weights").glob("*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file. Raises :class:`InvalidFile`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as problem:
        raise InvalidFile(path, f"no safetensors file that can be read: {problem}") from problem


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What an optimiser remembers, by parameter number and name; of sharded weights every process must ask."""
    state = optimiser.state_dict()["state"]
    return {f"optimiser.{i}.{name}": gathered(value) for i, kept in state.items() for name, value in kept.items()}


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Have an optimiser remember what :func:`optimiser_tensors` told."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".")
            state.setdefault(int(number), {})[name] = spread(value, parameters[int(number)])
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _write_tensors(path: Path, tensors: Tensors) -> None:
    from safetensors.torch import save

    _write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))


def _write_bytes(path: Path, content: bytes) -> None:
    """On disk when this returns: a rename must not overtake what it names."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
