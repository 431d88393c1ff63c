"""An int8 ONNX copy of a cross-encoder's checkpoint, and how far its rankings agree with the torch model's."""

from __future__ import annotations

import json
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shortlist.backends.models import LocalModel, resolve, trained_length
from shortlist.backends.onnx import OnnxCrossEncoder
from shortlist.backends.torch_models import load_model, load_tokenizer
from shortlist.backends.transformers import TransformersCrossEncoder
from shortlist.errors import InvalidFile, InvalidInput, MissingExtra
from shortlist.rerankers.configuration import CONFIG
from shortlist.rerankers.policies import PairPolicy
from shortlist.training.opening import is_causal
from shortlist.types import RerankRequest, Slate

OPSET = 17
_TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How well two scorers agree. ``tau`` (Kendall's τ-b) and ``top10`` (share in common) are means over requests.

    ``largest`` and ``mean`` are of the absolute differences of raw logits. NaN where there was nothing to compare.
    """

    requests: int
    pairs: int
    tau: float
    top10: float
    largest: float
    mean: float

    def __str__(self) -> str:
        differences = f"logits differ by {self.mean:.3f} in the mean, {self.largest:.3f} at most"
        return (
            f"{self.requests} requests, {self.pairs} pairs: Kendall's tau {self.tau:.4f}, "
            f"top-{_TOP} in common {self.top10:.4f}, {differences}"
        )


def export_onnx(
    folder: str | Path,
    requests: Sequence[RerankRequest],
    *,
    max_length: int | None = None,
    quantise: bool = True,
    threads: int | None = None,
) -> Parity:
    """Write ``onnx/model.onnx`` into a cross-encoder's folder; tells how it agrees with the torch model on requests.

    ``quantise``: int8 weights, activations quantised as they come (a quarter of the size, faster on a CPU); else
    float32. Open the copy as ``FOLDER?engine=onnx``. ``max_length``: of the comparison; by default what the checkpoint
    is served with. Raises :class:`InvalidInput` for a model that is no cross-encoder.
    """
    local = resolve(Path(folder))
    if is_causal(local):
        raise InvalidInput(f"{local.name} is a language model; only cross-encoders are exported to ONNX")
    max_length = max_length or _served_length(local.folder)
    target = local.folder / "onnx" / "model.onnx"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as scratch:
        plain, small = Path(scratch) / "float32.onnx", Path(scratch) / "int8.onnx"
        _trace(local, plain)
        if quantise:
            _quantise(plain, small)
        (small if quantise else plain).replace(target)
    ours = TransformersCrossEncoder(local, device="cpu", max_length=max_length, threads=threads)
    copy = OnnxCrossEncoder(local, max_length=max_length, threads=threads)
    return parity(_scores(ours, requests), _scores(copy, requests))


def _served_length(folder: Path) -> int | None:
    """What the checkpoint's own configuration says; ``None`` if it has none."""
    path = folder / CONFIG
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return None if (length := told.get("options", {}).get("max_length")) is None else int(length)
    except (ValueError, TypeError, AttributeError) as problem:
        raise InvalidFile(path, f"not a reranker's configuration: {problem}") from problem


def parity(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> Parity:
    """The agreement of two scorers' scores, one sequence a request."""
    both = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(expected, found, strict=True)]
    apart = np.concatenate([np.abs(a - b) for a, b in both]) if both else np.zeros(0)
    taus = [tau for a, b in both if not math.isnan(tau := kendall(a, b))]
    return Parity(
        requests=len(both),
        pairs=len(apart),
        tau=_mean(taus),
        top10=_mean([_in_common(a, b) for a, b in both if len(a)]),
        largest=float(apart.max()) if len(apart) else math.nan,
        mean=_mean(apart),
    )


def kendall(a: Any, b: Any) -> float:
    """Kendall's τ-b of two score vectors; NaN where one of them has no two different values.

    >>> kendall(np.array([3.0, 2.0, 1.0]), np.array([9.0, 1.0, 2.0]))
    0.3333333333333333
    """
    upper = np.triu_indices(len(a), 1)
    x, y = np.sign(a[:, None] - a[None])[upper], np.sign(b[:, None] - b[None])[upper]
    pairs = math.sqrt(float((x != 0).sum()) * float((y != 0).sum()))
    return float((x * y).sum()) / pairs if pairs else math.nan


def _in_common(a: Any, b: Any) -> float:
    k = min(_TOP, len(a))
    first, second = (set(np.argsort(-scores, kind="stable")[:k].tolist()) for scores in (a, b))
    return len(first & second) / k


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _scores(scorer: Any, requests: Sequence[RerankRequest]) -> list[tuple[float, ...]]:
    turns = PairPolicy(scorer=scorer).judge([Slate(request.query, request.candidates) for request in requests])
    return [turn.verdict.scores for turn in turns]


# ------------------------------------------------------------------------------------------------ writing


class _Logits(torch.nn.Module):  # type: ignore[misc]
    """The model with its inputs by place, as the exporter gives them."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def _trace(local: LocalModel, path: Path) -> None:
    """The float32 graph, by torch's older exporter: the newer one needs a package more (onnxscript)."""
    _need_onnx()
    model = load_model("AutoModelForSequenceClassification", local, "cpu", "float32")
    model.set_attn_implementation("eager")
    wanted = load_tokenizer(local).model_input_names
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in wanted]
    if "input_ids" not in names:
        raise InvalidInput(f"{local.name} takes {wanted}, not token ids; it cannot be exported")
    width = min(16, trained_length(local))
    shown = {"input_ids": torch.ones(2, width, dtype=torch.int64), "attention_mask": torch.ones(2, width).long()}
    shown["attention_mask"][1, width // 2 :] = 0  # lest the exporter takes masks for something that is never needed
    inputs = tuple(shown.get(name, torch.zeros(2, width, dtype=torch.int64)) for name in names)
    free = {name: {0: "batch", 1: "tokens"} for name in names} | {"logits": {0: "batch"}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Logits(model, names).eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )


def _quantise(plain: Path, small: Path) -> None:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx") from error
    with _root_silenced():
        quantize_dynamic(str(plain), str(small), weight_type=QuantType.QUInt8, per_channel=True)


@contextmanager
def _root_silenced() -> Iterator[None]:
    """Without the advice that onnxruntime gives through the root logger."""

    def drop(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    root = logging.getLogger()
    root.addFilter(drop)
    try:
        yield
    finally:
        root.removeFilter(drop)


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtra("onnx", "train") from error
