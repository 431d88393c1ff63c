"""A Plackett–Luce policy: any network that scores passages, and a null document's score if it learns when to stop.

A request is always run by itself, in batches of its own rows: scores do not depend on what else is in the step, so
that a resumed run, a run on two processes and a cached score agree to the last digit on one thread of a CPU.

Memory is bounded by the chain rule: scores are computed without a graph, the loss gives its gradient with respect to
the scores, and then one small batch after another is run again and back-propagated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor

from shortlist.backends.models import LocalModel
from shortlist.backends.store import Store
from shortlist.backends.torch_models import Device, batches
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.configuration import stored_null
from shortlist.rerankers.cutoffs import NullDocument
from shortlist.training.networks import Network, Row, freeze_below, layers_of, prepare_half
from shortlist.training.opening import LoRA, open_network
from shortlist.training.reference import Reference
from shortlist.training.trunk import Trunk
from shortlist.types import RerankRequest

Loss = Callable[[list[Tensor]], Tensor]
"""From the scores of each request (leaves that take a gradient) to a scalar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """How a policy is run.

    ``train_layers``: only so many of the top layers (and what is above them) are trained; ``None``: all.
    ``dtype``: ``bfloat16`` computes in half precision where that is safe, weights and logits stay float32.
    ``batch_tokens``, ``batch_rows``: of one forward pass; on a GPU give 16384 tokens or more.
    ``trunk_megabytes``: room for the output of frozen layers, kept from step to step (a pair of 128 tokens at width 384
    takes 0.2); 0 keeps none.
    ``skip_below``: pairs whose gradient is less than this share of the request's largest are left out of the backward
    pass; 0 leaves out those alone whose gradient is nought.
    """

    train_layers: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_tokens: int = 640
    batch_rows: int = 64
    trunk_megabytes: int = 512
    skip_below: float = 0.0

    def __post_init__(self) -> None:
        if self.dtype not in {"float32", "bfloat16"}:
            raise UnknownName("dtype", self.dtype, ("float32", "bfloat16"))
        if min(self.batch_tokens, self.batch_rows) < 1 or self.trunk_megabytes < 0:
            told = f"batch_tokens {self.batch_tokens}, batch_rows {self.batch_rows}"
            raise InvalidInput(f"{told}, trunk_megabytes {self.trunk_megabytes}: give 1 or more, 1 or more, 0 or more")
        if not 0 <= self.skip_below < 1:
            raise InvalidInput(f"skip_below is {self.skip_below}; give a share from 0 to below 1")


class Gradient(NamedTuple):
    """What :meth:`ScorePolicy.scores_and_backward` gives: the scores of each request, and the loss at them."""

    scores: list[Tensor]
    loss: float


class ScorePolicy(torch.nn.Module):  # type: ignore[misc]
    """Scores every candidate of a request; with ``stop``, one more score, the last, is the null document's.

    The null document scores ``w · (max, mean, std) + b`` of the request's own scores, through which no gradient flows
    back: see :class:`~shortlist.rerankers.cutoffs.NullDocument`, which is what serving does with it. Scores are
    float32 on the CPU, (N,) or (N + 1,) a request of N candidates, and deterministic.
    """

    def __init__(self, network: Network, *, null: NullDocument | None = None, options: PolicyOptions) -> None:
        super().__init__()
        self.network, self.options = network, options
        self.model = network.model  # registers its parameters
        self.null = None
        if null is not None:
            start = torch.tensor([null.of_max, null.of_mean, null.of_std, null.bias], dtype=torch.float32)
            self.null = torch.nn.Parameter(start)
        self._trunk = _frozen(network, options)
        if options.dtype == "bfloat16":
            prepare_half(self.model)
        self.start = {name: value.detach().clone() for name, value in self.trained().items()}
        self.eval()

    @classmethod
    def open(
        cls,
        model: str | Path | LocalModel,
        *,
        stop: bool = False,
        max_length: int = 256,
        lora: LoRA | None = None,
        device: Device = "auto",
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """The policy that a model is before training.

        ``model``: a folder or hub id of a sequence-classification model or of a causal language model (asked yes or
        no), or a catalog name; a quantised cross-encoder of the catalog is turned into a float32 copy, kept in the
        cache. ``max_length``: tokens of query and passage together; for language models, of the passage. ``stop``: the
        null document starts where the checkpoint has it, else at mean + standard deviation. ``seed``: of whatever is
        new (adapters, a head that the model lacks). ``options``: see :class:`PolicyOptions`.
        """
        if max_length < 8:
            raise InvalidInput(f"max_length is {max_length}; give 8 or more")
        chosen = PolicyOptions(**options)
        network = open_network(model, max_length=max_length, lora=lora, device=device, seed=seed)
        null = (stored_null(network.local.folder) or NullDocument()) if stop else None
        return cls(network, null=null, options=chosen)

    # -------------------------------------------------------------------------------------------- scores

    def forward(self, requests: Sequence[RerankRequest]) -> list[Tensor]:
        """The scores of each request, with a graph if one is wanted."""
        return [self._request_scores(self.network.rows(request)) for request in requests]

    @torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def scores(self, requests: Sequence[RerankRequest]) -> list[Tensor]:
        """The scores of each request, without a graph."""
        return self.forward(requests)

    def reference(self, store: Store | None = None) -> Reference:
        """The policy as it was before training, which never changes."""
        return Reference(self, self.start, store)

    def backward(
        self,
        requests: Sequence[RerankRequest],
        gradients: Sequence[Tensor],
        scores: Sequence[Tensor] | None = None,
    ) -> None:
        """Adds to every trained parameter's ``grad``, given the loss's gradient with respect to each request's scores.

        The gradients have the shapes of :meth:`scores`, and are taken at the present weights. ``scores``: those at the
        present weights, if known; a null document needs them, and has them computed once more otherwise.
        """
        known = scores if scores is not None or not self.stops else self.scores(requests)
        for i, (request, gradient) in enumerate(zip(requests, gradients, strict=True)):
            rows = self.network.rows(request)
            if gradient.shape != (len(rows) + self.stops,):
                told = f"query {request.query.id!r}: a gradient of shape {tuple(gradient.shape)}"
                raise InvalidInput(f"{told} for {len(rows)} candidates; give one number a score")
            if known is not None and self.stops:
                self._with_null(known[i][:-1])[-1].backward(gradient[-1])
            self._backward_rows(rows, gradient[: len(rows)])

    def scores_and_backward(self, requests: Sequence[RerankRequest], loss: Loss) -> Gradient:
        """The scores, the loss at them, and its gradient added to every trained parameter's ``grad``."""
        leaves = [scores.requires_grad_() for scores in self.scores(requests)]
        value = loss(leaves)
        found = torch.autograd.grad(value, leaves, allow_unused=True)
        scores = [leaf.detach() for leaf in leaves]
        told = [torch.zeros_like(u) if g is None else g for u, g in zip(scores, found, strict=True)]
        self.backward(requests, told, scores)
        return Gradient(scores, float(value.detach()))

    @property
    def stops(self) -> bool:
        """Whether there is a null document, the last of the scores."""
        return self.null is not None

    # -------------------------------------------------------------------------------------------- parameters

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def groups(self, lr: float, *, null_lr: float | None = None, weight_decay: float = 0.01) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser: matrices decay, vectors and the null document do not.

        ``null_lr`` defaults to a hundred times ``lr``, at least 1e-3.
        """
        rest = [value for name, value in self.trained().items() if name != "null"]
        made = [
            {"params": [value for value in rest if value.ndim > 1], "lr": lr, "weight_decay": weight_decay},
            {"params": [value for value in rest if value.ndim <= 1], "lr": lr, "weight_decay": 0.0},
        ]
        if self.null is not None:
            rate = max(1e-3, 100 * lr) if null_lr is None else null_lr
            made.append({"params": [self.null], "lr": rate, "weight_decay": 0.0})
        return [group for group in made if group["params"]]

    def state(self) -> dict[str, Tensor]:
        """A copy, on the CPU, of everything that training has changed."""
        return {name: value.detach().cpu().clone() for name, value in self.trained().items()}

    @torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave; of a policy opened alike."""
        own = self.trained()
        if set(own) != set(state) or any(own[name].shape != state[name].shape for name in own):
            odd = sorted(set(own) ^ set(state))[:3]
            raise InvalidInput(f"a state of another policy (not in both, or of other shape: {odd}); open it alike")
        for name, value in own.items():
            value.copy_(state[name])

    def rule(self, *, at_most: int | None = None) -> NullDocument | None:
        """The cutoff that serving applies; ``None`` without a null document."""
        if self.null is None:
            return None
        of_max, of_mean, of_std, bias = (float(weight) for weight in self.null.detach())
        weights = {"of_max": of_max, "of_mean": of_mean, "of_std": of_std, "bias": bias}
        return NullDocument(**weights, at_most=at_most, of_shares=self.network.kind == "pointwise")

    @property
    def identity(self) -> str:
        """What decides the scores before training."""
        null = None if self.null is None else self.start["null"].tolist()
        told = f"{self.network.local.identity} {self.network.max_length} {self.options.dtype} {null}"
        prompt = self.network.prompt
        return f"policy {self.network.kind} {told}" + (f" {prompt.fingerprint[:16]}" if prompt else "")

    # -------------------------------------------------------------------------------------------- batches of rows

    def _request_scores(self, rows: Sequence[Row]) -> Tensor:
        if not rows:
            return self._with_null(torch.zeros(0))
        states, order = self._states(rows), self._batches(rows, range(len(rows)))
        found = [self._batch_scores(rows, states, places) for places in order]
        back = torch.tensor([i for places in order for i in places]).argsort()
        return self._with_null(torch.cat(found)[back])

    def _backward_rows(self, rows: Sequence[Row], gradient_N: Tensor) -> None:
        least = self.options.skip_below * float(gradient_N.abs().max()) if rows else 0.0
        wanted = [i for i, g in enumerate(gradient_N.tolist()) if g != 0 and abs(g) >= least]
        states = self._states(rows) if wanted else None
        for places in self._batches(rows, wanted):
            scores = self._batch_scores(rows, states, places)
            if scores.requires_grad:  # else the network as a whole is frozen
                scores.backward(gradient_N[places])

    def _states(self, rows: Sequence[Row]) -> list[Tensor] | None:
        """The output of the frozen layers, if it is kept."""
        if self._trunk is None or not rows:
            return None
        with self._precision():
            return self._trunk.states(rows, self._batches(rows, range(len(rows))))

    def _batch_scores(self, rows: Sequence[Row], states: list[Tensor] | None, places: list[int]) -> Tensor:
        chosen = [rows[i] for i in places]
        with self._precision():
            if states is None or self._trunk is None:
                return self.network.scores(chosen).cpu()
            with self._trunk.starting_from([states[i] for i in places]):
                return self.network.scores(chosen).cpu()

    def _with_null(self, scores_N: Tensor) -> Tensor:
        if self.null is None:
            return scores_N
        return torch.cat([scores_N, (_facts(scores_N.detach()) * self.null).sum()[None]])

    def _batches(self, rows: Sequence[Row], places: Sequence[int]) -> list[list[int]]:
        """The places in batches of like length."""
        lengths = [len(rows[i].ids) for i in places]
        made = batches(lengths, max_tokens=self.options.batch_tokens, max_rows=self.options.batch_rows)
        return [[places[i] for i in batch] for batch in made]

    def _precision(self) -> Any:
        half = self.options.dtype == "bfloat16"
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=half)


def _facts(scores_N: Tensor) -> Tensor:
    """Maximum, mean, standard deviation and 1: what the null document knows of its rivals."""
    if not len(scores_N):
        return torch.tensor([0.0, 0.0, 0.0, 1.0])
    std = scores_N.std(correction=0)
    return torch.stack([scores_N.max(), scores_N.mean(), std, torch.ones(())])


def _frozen(network: Network, options: PolicyOptions) -> Trunk | None:
    """The layers that need be run only once, if there are any; freezes them."""
    if options.train_layers is None:
        return None
    layers = layers_of(network.model)
    depth = freeze_below(network.model, options.train_layers)
    if not 0 < depth < len(layers) or not options.trunk_megabytes:
        return None
    return Trunk(network, layers, depth, megabytes=options.trunk_megabytes)
