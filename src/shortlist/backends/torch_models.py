"""Loading transformers models: device, precision, and nothing that is not safetensors or GGUF."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from shortlist.backends.models import LocalModel
from shortlist.backends.threads import passive_waiting, told_threads
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable

Device: TypeAlias = str
"""``auto`` (a CUDA device if there is one, else the CPU), or a torch device such as ``cuda:1``."""
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
"""``auto``: float32 on the CPU, bfloat16 elsewhere."""
PRECISIONS = ("auto", "float32", "bfloat16", "float16")

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_R = TypeVar("_R")


def import_torch(threads: int | None = None) -> Any:
    """Torch, with threads that sleep while they wait.

    ``threads`` (or ``SHORTLIST_THREADS``) bounds them, for the whole process.
    """
    passive_waiting()
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "local") from error
    wanted = threads or told_threads()
    if wanted is not None and wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)
    return torch


def import_transformers() -> Any:
    """The package; :class:`MissingExtra` without it."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "local") from error
    return transformers


def going_on(cache: Any) -> dict[str, Any]:
    """What a model is called with to go on after ``cache``: transformers 5.24 renamed the argument."""
    return {} if cache is None else {_cache_name(): cache}


def cache_of(out: Any) -> Any:
    """The keys and values that a forward pass kept."""
    return getattr(out, _cache_name())


@functools.cache
def _cache_name() -> str:
    parameters = inspect.signature(import_transformers().LlamaForCausalLM.forward).parameters
    return "cache" if "cache" in parameters else "past_key_values"


def check_precision(dtype: str) -> None:
    """Raises :class:`InvalidInput` for a precision that is not one of ours."""
    if dtype not in PRECISIONS:
        raise InvalidInput(f"dtype is {dtype!r}; give one of {', '.join(PRECISIONS)}")


def pick_device(torch: Any, device: Device) -> Any:
    """The torch device; of several GPUs the one that ``torchrun`` means for this process."""
    if device != "auto":
        return torch.device(device)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = os.environ.get("LOCAL_RANK")
    return torch.device("cuda") if rank is None else torch.device("cuda", int(rank) % torch.cuda.device_count())


def pick_precision(device: Any, dtype: Precision) -> str:
    """The name of the precision that ``auto`` means on a device."""
    return dtype if dtype != "auto" else ("float32" if device.type == "cpu" else "bfloat16")


def load_model(kind: str, local: LocalModel, device: Device, dtype: Precision, threads: int | None = None) -> Any:
    """``kind`` is the transformers class (``AutoModelForCausalLM`` …); the model comes in evaluation mode.

    No code of the repository is run, and pickled weights are refused.
    """
    torch, transformers = import_torch(threads), import_transformers()
    place = pick_device(torch, device)
    options = {"dtype": getattr(torch, pick_precision(place, dtype)), "local_files_only": True}
    folder, extra = _source(local)
    if not extra:
        _need_safetensors(folder)
        extra = {"use_safetensors": True}
    elif hasattr(transformers, "GgufConfig"):  # else the weights stay packed, and every product is one of float32
        extra = {**extra, "quantization_config": transformers.GgufConfig(dequantize=True)}
    try:
        with no_progress_bars(transformers):
            model = getattr(transformers, kind).from_pretrained(folder, **options, **extra)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelUnavailable(f"transformers cannot load {local.path} as {kind}: {error}") from error
    return model.to(place).eval()


def load_tokenizer(local: LocalModel) -> Any:
    """The model's tokenizer."""
    folder, extra = _source(local)
    try:
        transformers = import_transformers()
        with no_progress_bars(transformers):
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **extra)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelUnavailable(f"transformers cannot load the tokenizer of {local.path}: {error}") from error


@contextmanager
def no_progress_bars(transformers: Any) -> Iterator[None]:
    """Transformers without its progress bars; they are put back as they were."""
    logging_ = transformers.utils.logging
    shown = logging_.is_progress_bar_enabled()
    logging_.disable_progress_bar()
    try:
        with _quiet_gguf():
            yield
    finally:
        if shown:
            logging_.enable_progress_bar()


@contextmanager
def _quiet_gguf() -> Iterator[None]:
    """The loader of GGUF files has a bar of its own that no setting stops."""
    loader = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar = getattr(loader, "tqdm", None)
    if bar is None:
        yield
        return
    loader.tqdm = functools.partial(bar, disable=True)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        loader.tqdm = bar  # type: ignore[attr-defined]


def _source(local: LocalModel) -> tuple[Path, dict[str, Any]]:
    """The folder, and the GGUF file in it if the model is one."""
    is_gguf = local.path.is_file() or (any(local.path.glob("*.gguf")) and not any(local.path.glob("*.safetensors")))
    return local.folder, {"gguf_file": local.gguf().name} if is_gguf else {}


def _need_safetensors(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(f"{folder} holds no .safetensors and no .gguf file; other weights are not loaded")


# ------------------------------------------------------------------------------------------------ batches


def batches(lengths: Sequence[int], *, max_tokens: int, max_rows: int) -> list[list[int]]:
    """Positions in batches of like length, the longest first; rows × longest stays within ``max_tokens``.

    A single input that is longer than ``max_tokens`` has a batch of its own.
    """
    made: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if made and len(made[-1]) < max_rows and (len(made[-1]) + 1) * lengths[made[-1][0]] <= max_tokens:
            made[-1].append(place)
        else:
            made.append([place])
    return made


def halving(work: Callable[[list[_T]], list[_R]], items: list[_T], failed: Callable[[str], _R]) -> list[_R]:
    """``work`` on a batch; when memory runs out, on its halves, and so on; an item that fails alone is ``failed``."""
    try:
        return work(items)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    _release()  # outside of the except block, so that the traceback holds no tensors
    if len(items) == 1:
        return [failed(f"out of memory: {told}")]
    half = len(items) // 2
    _LOG.warning("out of memory with a batch of %d; going on with %d and %d", len(items), half, len(items) - half)
    return [*halving(work, items[:half], failed), *halving(work, items[half:], failed)]


def _out_of_memory(error: BaseException) -> bool:
    told = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in told or "can't allocate memory" in told


def _release() -> None:
    torch = import_torch()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
