"""Where a run stands, as values and as a state to go on from."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from shortlist.data.files import atomic_writer
from shortlist.errors import InvalidFile
from shortlist.training.development import Measured
from shortlist.training.experience import Experience
from shortlist.training.log import rounded
from shortlist.training.reference import Reference
from shortlist.types import RerankRequest

SPENT: Final = "the budget is spent"
"""Why a run ended that goes on with a larger budget."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the step of the best weights, dev before and with them, and why it ended."""

    best_step: int
    before: Mapping[str, float]
    after: Mapping[str, float]
    steps: int
    why: str


@dataclass
class Progress:
    """What a state keeps beside tensors. ``why``: the run is over, for that reason."""

    step: int = 0
    why: str = ""
    best: list[tuple[float, int, str]] = field(default_factory=list)  # score, step, weights: best first
    stale: int = 0  # measurements since the best one
    rate: float = 1.0  # halved by each rollback
    rollbacks: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Progress:
        """What :meth:`to_json` gave."""
        progress = cls(**{**told, "best": [(score, step, name) for score, step, name in told["best"]]})
        if progress.why.startswith(SPENT):  # the budget may be larger now; if it is not, that shows at once
            progress.why = ""
        return progress


def pack_batch(batch: Sequence[tuple[int, torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Shortlists under way (place of the query, scores that drew, picks), as tensors of a state."""
    told: dict[str, torch.Tensor] = {}
    for i, (place, scores, picks) in enumerate(batch):
        told |= {f"ahead.{i}.place": torch.tensor(place), f"ahead.{i}.scores": scores, f"ahead.{i}.picks": picks}
    return told


def unpack_batch(
    tensors: Mapping[str, torch.Tensor], requests: Sequence[RerankRequest], reference: Reference
) -> list[Experience]:
    """The shortlists that :func:`pack_batch` told; empty if there were none."""
    batch: list[Experience] = []
    while f"ahead.{len(batch)}.place" in tensors:
        name = f"ahead.{len(batch)}"
        place = int(tensors[f"{name}.place"])
        (known,) = reference.scores([requests[place]])
        batch.append(
            Experience(
                place=place,
                request=requests[place],
                scores_N=tensors[f"{name}.scores"],
                reference_N=known,
                picks_SK=tensors[f"{name}.picks"],
            )
        )
    return batch


def write_measured(run: Path, name: str, found: Measured) -> None:
    """Keep what dev came to, query by query, in ``dev/NAME.json``."""
    records = [{name: value for name, value in r.items() if name not in {"scores", "labels"}} for r in found.records]
    told = rounded({"values": dict(found.values), "records": records}, digits=17)
    with atomic_writer(run / "dev" / f"{name}.json") as file:
        file.write(json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def read_measured(run: Path, name: str) -> Measured:
    """What :func:`write_measured` kept. Raises :class:`InvalidFile`."""
    path = run / "dev" / f"{name}.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        values = {name: math.nan if value is None else value for name, value in told["values"].items()}
        return Measured(values, told["records"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidFile(path, f"not a run's measurement ({problem}); start anew without --resume") from problem
