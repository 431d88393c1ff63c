"""What the policy was before training, by which it is held: it never changes, so that its scores are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from shortlist.backends.store import Store
from shortlist.types import RerankRequest


class Reference:
    """A policy's scores with the parameters that it had at the ``start`` (by name).

    Each request is scored once, and kept in memory and in ``store``.
    """

    def __init__(self, policy: Any, start: Mapping[str, Tensor], store: Store | None = None) -> None:
        self._policy, self._start, self._store = policy, dict(start), store
        self._known: dict[str, Tensor] = {}
        self._about = f"{policy.identity} {_digest(self._start)}"

    @torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def scores(self, requests: Sequence[RerankRequest]) -> list[Tensor]:
        """The scores of each request, with the shapes of the policy's."""
        keys = [self._key(request) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._known}
        if self._store is not None:
            stored = self._store.get_many(missing)
            self._known |= {key: torch.tensor(value, dtype=torch.float32) for key, value in stored.items()}
        fresh = {key: self._score(request) for key, request in missing.items() if key not in self._known}
        if self._store is not None:
            self._store.put_many({key: scores.tolist() for key, scores in fresh.items()})
        self._known |= fresh
        return [self._known[key].clone() for key in keys]

    def _score(self, request: RerankRequest) -> Tensor:
        (scores,) = torch.func.functional_call(self._policy, self._start, ([request],))
        return scores.detach()

    def _key(self, request: RerankRequest) -> str:
        rows = self._policy.network.rows(request)
        return hashlib.sha256(repr((self._about, rows)).encode()).hexdigest()


def _digest(start: Mapping[str, Tensor]) -> str:
    """SHA-256 over parameters: a head that the model lacked was drawn, and no name tells how."""
    digest = hashlib.sha256()
    for name, value in sorted(start.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
