"""Models run in this process by transformers on torch: a chat model, and a cross-encoder.

Batches hold inputs of like length, padded on the left and masked, so that an item's result does not depend on its
neighbours (beyond rounding). When memory runs out a batch is halved, and the log says so.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from shortlist.backends.base import Ask, Completion, Likelihoods, Pair, PairScore, Question
from shortlist.backends.chat_tokens import ChatTokens
from shortlist.backends.models import LocalModel, resolve, trained_length
from shortlist.backends.pairs import PairTokenizer, failed_score, pair_score
from shortlist.backends.torch_generation import complete
from shortlist.backends.torch_likelihoods import likelihoods
from shortlist.backends.torch_models import (
    Device,
    Precision,
    batches,
    check_precision,
    halving,
    import_torch,
    load_model,
    load_tokenizer,
    pick_device,
    pick_precision,
)
from shortlist.backends.torch_trie import TESTED
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable


@dataclass(frozen=True)
class _TorchModel:
    """What the two kinds share. Loaded on first use; one call at a time computes, others wait."""

    model: str | Path | LocalModel
    _: KW_ONLY
    device: Device = "auto"
    dtype: Precision = "auto"
    batch_tokens: int = 8192
    batch_rows: int = 64
    threads: int | None = None

    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_precision(self.dtype)
        if min(self.batch_tokens, self.batch_rows, self.threads or 1) < 1:
            told = f"batch_tokens {self.batch_tokens}, batch_rows {self.batch_rows}, threads {self.threads}"
            raise InvalidInput(f"{told}: give 1 or more")

    @functools.cached_property
    def local(self) -> LocalModel:
        """The model's files."""
        return resolve(self.model)

    @property
    def identity(self) -> str:
        """The files' checksum, the kind of device and the precision."""
        device = pick_device(import_torch(), self.device)
        return f"transformers {self.local.identity} {device.type} {pick_precision(device, self.dtype)}"


@dataclass(frozen=True)
class TransformersBackend(_TorchModel):
    """A :class:`Continuer` and :class:`Cuts` over a causal language model.

    ``model``: a hub id, a folder with safetensors, a GGUF file (dequantised) or a catalog name. ``adapter``: a folder
    with a LoRA adapter, merged into the weights. ``batch_tokens``: rows × (prompt and reply) in one batch. Models
    without a chat template read the messages' texts joined by blank lines. ``Ask.language`` is held to exactly, for any
    number of passages; ``Ask.schema`` is not honoured. ``reuse_prefix``: prompts that begin alike (likelihoods,
    greedy replies) are computed as a trie, each common beginning once. Sampling draws from a generator per ask, so that a
    seed gives the same reply in any batch.
    """

    continues: ClassVar[Literal[True]] = True

    _: KW_ONLY
    adapter: str | Path | None = None
    reuse_prefix: bool = False

    @property
    def identity(self) -> str:
        """Model, adapter, device and precision; and whether beginnings are shared, which decides the rounding."""
        adapter = f" adapter={_adapter_digest(Path(self.adapter))}" if self.adapter else ""
        return super().identity + adapter + (" reuse_prefix" if self.reuse_prefix else "")

    def load(self) -> tuple[Any, ChatTokens]:
        """The torch model (in evaluation mode) and its tokenizer; loaded on the first call."""
        with self._lock:
            if "_loaded" not in self.__dict__:
                model = load_model("AutoModelForCausalLM", self.local, self.device, self.dtype, self.threads)
                if self.adapter is not None:
                    model = _with_adapter(model, Path(self.adapter))
                self.__dict__["_loaded"] = model, ChatTokens(load_tokenizer(self.local))
            loaded: tuple[Any, ChatTokens] = self.__dict__["_loaded"]
            return loaded

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """One completion an ask; an ask longer than the model takes has its error set."""
        with self._lock:
            model, tokens = self.load()
            share = self.reuse_prefix and self._check_trie(model)
            return complete(
                model, tokens, asks, batch_tokens=self.batch_tokens, batch_rows=self.batch_rows, share=share
            )

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """One result a question, exact for labels of any length."""
        with self._lock:
            model, tokens = self.load()
            share = self.reuse_prefix and self._check_trie(model)
            return likelihoods(
                model, tokens, questions, batch_tokens=self.batch_tokens, batch_rows=self.batch_rows, share=share
            )

    def _check_trie(self, model: Any) -> bool:
        if model.config.model_type not in TESTED:
            told = ", ".join(sorted(TESTED))
            raise InvalidInput(f"reuse_prefix is for {told}, not for {model.config.model_type}; leave it out")
        return True

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        with self._lock:
            return self.load()[1].cut(text, max_tokens)


def _with_adapter(model: Any, folder: Path) -> Any:
    """The model with a LoRA adapter's weights added into its own."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelUnavailable(f"{folder} holds no adapter_model.safetensors; other adapters are not loaded")
    try:
        import peft  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtra("peft", "train") from error
    return peft.PeftModel.from_pretrained(model, str(folder)).merge_and_unload().eval()


def _adapter_digest(folder: Path) -> str:
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelUnavailable(f"{folder} holds no adapter_model.safetensors; other adapters are not loaded")
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------ cross-encoders


@dataclass(frozen=True)
class TransformersCrossEncoder(_TorchModel):
    """A :class:`PairScorer` and :class:`Cuts` over a sequence-classification model with one label (or two).

    ``max_length``: of query and passage together, in tokens; the passage alone gives way, and the cut is reported.
    ``batch_tokens``: small batches are the fast ones on a CPU (twice the pairs a second of 32 rows, padded); on a GPU
    give 16384 or more.
    """

    _: KW_ONLY
    max_length: int | None = None
    max_query_tokens: int = 128
    batch_tokens: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.max_length is not None and self.max_length < 8) or self.max_query_tokens < 1:
            told = f"max_length {self.max_length}, max_query_tokens {self.max_query_tokens}"
            raise InvalidInput(f"{told}: give at least 8 and 1")

    @functools.cached_property
    def tokens(self) -> int:
        """The longest input in tokens, special ones included."""
        limit = trained_length(self.local)
        return min(self.max_length, limit) if self.max_length else min(limit, 512)

    @property
    def identity(self) -> str:
        """Model, device, precision and the longest inputs."""
        return f"{super().identity} max_length={self.tokens} max_query_tokens={self.max_query_tokens}"

    def load(self) -> tuple[Any, PairTokenizer, int]:
        """The torch model (in evaluation mode), its tokenizer and its padding token; loaded on the first call.

        The model is told which tokens are the query's and which the passage's if its tokenizer says that it wants it.
        """
        with self._lock:
            if "_loaded" not in self.__dict__:
                kind = "AutoModelForSequenceClassification"
                model = load_model(kind, self.local, self.device, self.dtype, self.threads)
                whole = load_tokenizer(self.local)
                described = whole.backend_tokenizer.to_str()
                tokenizer = PairTokenizer(described, max_length=self.tokens, max_query_tokens=self.max_query_tokens)
                self.__dict__["_typed"] = "token_type_ids" in whole.model_input_names
                self.__dict__["_loaded"] = model, tokenizer, whole.pad_token_id or 0
            loaded: tuple[Any, PairTokenizer, int] = self.__dict__["_loaded"]
            return loaded

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        return self.load()[1].cut(text, max_tokens)

    def score_pairs(self, pairs: Sequence[Pair], /) -> list[PairScore]:
        """One score a pair."""
        if not pairs:
            return []
        with self._lock:
            _, tokenizer, _ = self.load()
            encodings, lost = tokenizer.pairs(pairs)
            lengths = [len(encoding) for encoding in encodings]
            scores: list[PairScore | None] = [None] * len(pairs)
            for places in batches(lengths, max_tokens=self.batch_tokens, max_rows=self.batch_rows):
                rows = halving(self._logits, [encodings[i] for i in places], lambda told: told)
                for i, row in zip(places, rows, strict=True):
                    make = failed_score if isinstance(row, str) else pair_score
                    scores[i] = make(row, tokens=lengths[i], truncated=lost[i])
            return [score for score in scores if score is not None]

    def _logits(self, encodings: list[Any]) -> list[Any]:
        """One row of logits an encoding, float32."""
        torch = import_torch()
        model, _, padding = self.load()
        width = max(map(len, encodings))
        ids = np.full((len(encodings), width), padding, np.int64)
        types, mask = np.zeros_like(ids), np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            n = len(encoding)
            ids[row, :n], types[row, :n], mask[row, :n] = encoding.ids, encoding.type_ids, 1
        feed = {"input_ids": ids, "attention_mask": mask}
        if self.__dict__["_typed"]:
            feed["token_type_ids"] = types
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(value).to(model.device) for name, value in feed.items()}).logits
        return list(logits.float().cpu().numpy())
