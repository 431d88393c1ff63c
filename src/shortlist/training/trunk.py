"""Frozen lower layers, run once a request: their output is kept, and the upper layers start from it.

A policy that trains the top third of its layers spends most of its time below them, on what never changes: when it
samples, when it takes the gradient, and in every epoch again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from shortlist.training.networks import Network, Row

_LOG = logging.getLogger(__name__)


class Trunk:
    """The lowest ``depth`` layers of a network, all frozen; keeps up to ``megabytes`` of states, those used last.

    A layer must take its states as the first argument and return states alone, as those of transformers 5 do. Where
    something trained has a part in the lower layers (relative positions that all layers share), nothing is kept, and
    the log says so. ``hits`` and ``misses`` count requests.
    """

    def __init__(self, network: Network, layers: Any, depth: int, *, megabytes: int) -> None:
        self._network, self._lower, self._first = network, list(layers[:depth]), layers[depth]
        self._room, self._used = megabytes * 2**20, 0
        self._kept: OrderedDict[tuple[Row, ...], list[Tensor]] = OrderedDict()
        self.hits = self.misses = 0

    def states(self, rows: Sequence[Row], batches: Sequence[Sequence[int]]) -> list[Tensor] | None:
        """What the first trained layer is given for each row, (tokens, width); ``None`` if it has to be run anyway.

        ``batches``: positions of rows to run together, the first time.
        """
        key = tuple(rows)
        if not self._room:
            return None
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]
        self.misses += 1
        states: dict[int, Tensor] = {}
        for places in batches:
            padded_BTD = self._reached(lambda places=places: self._network.scores([rows[i] for i in places]))  # type: ignore[misc]
            if padded_BTD.requires_grad:
                _LOG.warning("something trained has a part in the frozen layers; their output is not kept")
                self._room = 0
                return None
            states |= {i: self._bare(padded_BTD[b], len(rows[i].ids)) for b, i in enumerate(places)}
        return self._keep(key, [states[i] for i in range(len(rows))])

    @contextmanager
    def starting_from(self, states: Sequence[Tensor]) -> Iterator[None]:
        """A forward pass within starts at the first trained layer, from these states of its rows."""
        side = "left" if self._network.pads_left else "right"
        padded_BTD = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True, padding_side=side)
        handle = self._first.register_forward_pre_hook(lambda _, inputs: (padded_BTD, *inputs[1:]))
        for layer in self._lower:
            layer.forward = _unchanged
        try:
            yield
        finally:
            handle.remove()
            for layer in self._lower:
                del layer.forward

    def _reached(self, forward: Callable[[], Tensor]) -> Tensor:
        """The states that the first trained layer would be given, (rows, tokens, width)."""
        caught: list[Tensor] = []

        def stop(_: Any, inputs: tuple[Tensor, ...]) -> None:
            caught.append(inputs[0])
            raise _Reached

        handle = self._first.register_forward_pre_hook(stop)
        try:
            with torch.enable_grad():  # costs nothing where nothing is trained, and shows where something is
                forward()
        except _Reached:
            pass
        finally:
            handle.remove()
        return caught[0]

    def _bare(self, padded_TD: Tensor, tokens: int) -> Tensor:
        return (padded_TD[-tokens:] if self._network.pads_left else padded_TD[:tokens]).clone()

    def _keep(self, key: tuple[Row, ...], states: list[Tensor]) -> list[Tensor]:
        self._kept[key] = states
        self._used += _size(states)
        while self._used > self._room and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._used -= _size(dropped)
        return states


class _Reached(Exception):
    """The first trained layer is about to run."""


def _unchanged(states: Tensor, *_: Any, **__: Any) -> Tensor:
    return states


def _size(states: Sequence[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in states)
