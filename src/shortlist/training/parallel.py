"""One process or several: who takes which queries, and how what they found comes together.

Several are started by ``torchrun``; each takes its share of every batch, and gradients are summed, so that the curve is
that of one process. Only the first one writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process, number ``rank`` of ``world``."""

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls) -> Processes:
        """The processes that ``torchrun`` started, or this one alone."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        return cls(torch.distributed.get_rank(), world)

    @property
    def first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of a batch: every ``world``-th."""
        return items[self.rank :: self.world]

    def gather(self, mine: Sequence[T]) -> list[T]:
        """What all found of their shares, in the order of the whole batch."""
        if self.world == 1:
            return list(mine)
        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, list(mine))
        places = sorted(
            (place * self.world + rank, rank, place) for rank in range(self.world) for place in range(len(found[rank]))
        )
        return [found[rank][place] for _, rank, place in places]

    def everyone(self, mine: T) -> list[T]:
        """One value of each process, by rank."""
        return self.gather([mine])

    def from_first(self, value: T) -> T:
        """What the first process has."""
        told = [value]
        if self.world > 1:
            torch.distributed.broadcast_object_list(told, src=0)
        return told[0]

    def add_gradients(self, parameters: Sequence[Any]) -> None:
        """Sum gradients over the processes; a parameter without one has 0."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world > 1:
            for parameter in parameters:
                torch.distributed.all_reduce(parameter.grad)

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            torch.distributed.barrier()


def leave() -> None:
    """Part from the others, at the end of a command: threads that still wait for them would abort the interpreter's exit."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


# ------------------------------------------------------------------------------------------------ sharded tensors


def is_sharded(value: torch.Tensor) -> bool:
    """Whether each process holds a part of it (FSDP 2)."""
    return hasattr(value, "full_tensor")


def gathered(value: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor, on the CPU and apart from the model; of a sharded one every process must ask."""
    whole: torch.Tensor = value.detach().full_tensor() if hasattr(value, "full_tensor") else value.detach()  # type: ignore[operator, unused-ignore]
    return whole.cpu().clone()


def spread(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor, sharded as another one is; as it stands where that one is whole or of another shape."""
    if not is_sharded(like) or whole.shape != like.shape:
        return whole
    from torch.distributed.tensor import distribute_tensor

    placed: Any = like
    return distribute_tensor(whole.to(placed.device), placed.device_mesh, placed.placements)
