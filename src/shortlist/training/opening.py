"""Opening a model for training: which network it is, its float32 weights, an adapter if one is wanted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shortlist.backends.dequantise import dequantise_minilm
from shortlist.backends.fetching import locked
from shortlist.backends.models import LocalModel, home, resolve
from shortlist.backends.torch_models import Device, load_model
from shortlist.errors import InvalidFile, InvalidInput, MissingExtra
from shortlist.training.networks import CrossEncoderNetwork, Network, YesNoNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class LoRA:
    """Low-rank adapters (arXiv 2106.09685) in place of the weights: ``W + alpha / rank · B A``.

    ``targets``: the names of the layers that get one; empty: what peft knows of the architecture.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise InvalidInput(f"rank {self.rank}, alpha {self.alpha}: give 1 or more, and more than 0")


def open_network(
    model: str | Path | LocalModel, *, max_length: int, lora: LoRA | None, device: Device, seed: int
) -> Network:
    """The model as a network with float32 weights; what is new in it is drawn from ``seed``."""
    local = trainable(model)
    causal = is_causal(local)
    kind = "AutoModelForCausalLM" if causal else "AutoModelForSequenceClassification"
    with _drawn_from(seed):
        loaded = _of_its_own(load_model(kind, local, device, "float32"))
        if lora is not None:
            loaded = adapted(loaded, lora)
    make = YesNoNetwork if causal else CrossEncoderNetwork
    return make(loaded, local, max_length=max_length)


def _of_its_own(model: Any) -> Any:
    """The model with weights in memory of their own, rather than in the file's.

    The last digits of a product depend on how its factors lie in memory: copies of them lie alike, wherever the file
    had them. And the file may be overwritten.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


def trainable(model: str | Path | LocalModel) -> LocalModel:
    """The model's files; of a quantised cross-encoder of the catalog, those of its float32 copy."""
    local = resolve(model)
    if local.card is None or not (local.folder / "model.onnx").is_file() or "cross-encoder" not in local.card.tasks:
        return local
    folder = home() / "models" / f"{local.card.name}-{local.card.digest[:12]}-float32"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f"{folder.name}.lock"):
        return LocalModel(f"{local.card.name}-float32", dequantise_minilm(local, folder), card=local.card)


def is_causal(local: LocalModel) -> bool:
    """Whether the model continues texts, by its file or its configuration; other models classify."""
    if local.path.is_file() or (any(local.path.glob("*.gguf")) and not any(local.path.glob("*.safetensors"))):
        return True
    path = local.file("config.json")
    try:
        architectures = json.loads(path.read_text(encoding="utf-8")).get("architectures") or []
    except (ValueError, AttributeError) as problem:
        raise InvalidFile(path, f"not a model's configuration: {problem}") from problem
    return any(name.endswith("ForCausalLM") for name in architectures)


def adapted(model: Any, lora: LoRA) -> Any:
    """The model with adapters; all else in it is frozen."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("peft", "train") from error
    config = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules=list(lora.targets) or None
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name it is about to drop
            return peft.get_peft_model(model, config)
    except ValueError as error:
        raise InvalidInput(f"no adapters with targets {lora.targets or 'by default'}: {error}") from error


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Torch's own generator at a seed, and as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
