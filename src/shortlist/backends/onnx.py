"""Cross-encoders and embedding models in ONNX files, run on the CPU by onnxruntime.

Texts are run one by one, each on a single core, as many side by side as there are cores. That is as fast as any
batching we measured (nothing is spent on padding, and no core waits for another), and it makes the scores independent
of the neighbours: int8 models scale their activations by the largest value of the whole batch, so that in batches the
logits of ms-marco-MiniLM-L-12-v2 moved by up to 1.0 with what else was in them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from shortlist.backends.base import Pair, PairScore, Vectors
from shortlist.backends.models import LocalModel, file_sha256, resolve, trained_length
from shortlist.backends.pairs import PairTokenizer, failed_score, pair_score
from shortlist.backends.threads import cores, told_threads
from shortlist.errors import BackendError, InvalidInput, MissingExtra, ModelUnavailable

_T = TypeVar("_T")
_R = TypeVar("_R")
_WEIGHTS = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")


@dataclass(frozen=True)
class _OnnxModel:
    """What the two kinds share: files, session, tokenizer, threads. Loaded on first use; safe to use from threads."""

    model: str | Path | LocalModel
    _: KW_ONLY
    max_length: int | None = None
    threads: int | None = None

    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.max_length is not None and self.max_length < 8) or (self.threads is not None and self.threads < 1):
            raise InvalidInput(f"max_length {self.max_length}, threads {self.threads}: give at least 8 and 1")

    @functools.cached_property
    def local(self) -> LocalModel:
        """The model's files."""
        return resolve(self.model)

    @functools.cached_property
    def tokens(self) -> int:
        """The longest input in tokens, special ones included."""
        limit = trained_length(self.local)
        return min(self.max_length, limit) if self.max_length else min(limit, 512)

    @property
    def identity(self) -> str:
        """The weights' checksum and the longest input."""
        return f"onnx {self.local.name}@{file_sha256(self.local.file(*_WEIGHTS))[:16]} max_length={self.tokens}"

    @property
    def _threads(self) -> int:
        return self.threads or told_threads() or cores()

    def load(self) -> _Loaded:
        """The session and its tokenizer; made on the first call."""
        with self._lock:
            made: _Loaded | None = self.__dict__.get("_loaded")
            if made is None:
                made = _Loaded(self.local.file(*_WEIGHTS), self._tokenizer(), self._threads)
                self.__dict__["_loaded"] = made
            return made

    def _tokenizer(self) -> PairTokenizer:
        description = self.local.file("tokenizer.json").read_text(encoding="utf-8")
        return PairTokenizer(description, max_length=self.tokens)

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        return self.load().tokenizer.cut(text, max_tokens)


@dataclass(frozen=True)
class OnnxCrossEncoder(_OnnxModel):
    """A :class:`PairScorer` and :class:`Cuts`: raw logits, higher is better.

    ``model``: a catalog name, a folder with ``model.onnx`` and ``tokenizer.json``, or a hub id that has them.
    ``max_length``: of query and passage together, in tokens; the passage alone gives way, and the cut is reported.
    ``max_query_tokens``: longer queries are cut to so many, and reported likewise. ``threads``: default
    ``SHORTLIST_THREADS``, else all cores. Models with two labels score by the difference of their logits.
    """

    model: str | Path | LocalModel = "minilm-l12"
    _: KW_ONLY
    max_query_tokens: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_query_tokens < 1:
            raise InvalidInput(f"max_query_tokens is {self.max_query_tokens}; give 1 or more")

    @property
    def identity(self) -> str:
        """The weights' checksum and the longest inputs."""
        return f"{super().identity} max_query_tokens={self.max_query_tokens}"

    def _tokenizer(self) -> PairTokenizer:
        description = self.local.file("tokenizer.json").read_text(encoding="utf-8")
        return PairTokenizer(description, max_length=self.tokens, max_query_tokens=self.max_query_tokens)

    def score_pairs(self, pairs: Sequence[Pair], /) -> list[PairScore]:
        """One score a pair. A pair's score does not depend on the other pairs."""
        if not pairs:
            return []
        loaded = self.load()
        encodings, lost = loaded.tokenizer.pairs(pairs)
        return loaded.longest_first(_score, list(zip(encodings, lost, strict=True)), [len(e) for e in encodings])


def _score(loaded: _Loaded, item: tuple[Any, bool]) -> PairScore:
    encoding, lost = item
    try:
        return pair_score(loaded.run(encoding)[0], tokens=len(encoding), truncated=lost)
    except _RunFailed as failure:
        return failed_score(failure, tokens=len(encoding), truncated=lost)


@dataclass(frozen=True)
class OnnxEmbedder(_OnnxModel):
    """An :class:`Embedder` and :class:`Cuts`.

    ``pooling`` and ``query_prefix`` (put before queries, not before passages) default to what the catalog says of the
    model, and for others to the mean and to nothing. Texts longer than ``max_length`` tokens are embedded by their
    beginning.
    """

    model: str | Path | LocalModel = "bge-small"
    _: KW_ONLY
    pooling: Literal["cls", "mean"] | None = None
    query_prefix: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in {None, "cls", "mean"}:
            raise InvalidInput(f"pooling is {self.pooling!r}; give 'cls' or 'mean'")

    @property
    def identity(self) -> str:
        """The weights' checksum, the longest input, pooling and prefix."""
        return f"{super().identity} {self._pooling} {self._prefix!r}"

    @property
    def _pooling(self) -> str:
        return self.pooling or (self.local.card.pooling if self.local.card else "mean")

    @property
    def _prefix(self) -> str:
        if self.query_prefix is not None:
            return self.query_prefix
        return self.local.card.query_prefix if self.local.card else ""

    def embed(self, texts: Sequence[str], /, *, role: Literal["query", "passage"]) -> Vectors:
        """Unit vectors, one row a text (float32, texts × dimensions)."""
        if role not in {"query", "passage"}:
            raise InvalidInput(f"role is {role!r}; give 'query' or 'passage'")
        loaded = self.load()
        prefix = self._prefix if role == "query" else ""
        encodings = loaded.tokenizer.texts([prefix + text for text in texts])
        pool = _cls if self._pooling == "cls" else _mean
        rows = loaded.longest_first(
            lambda loaded, encoding: pool(loaded.run(encoding)[0]), encodings, [len(e) for e in encodings]
        )
        if not rows:
            return np.zeros((0, loaded.dimensions), np.float32)
        return np.stack([row / max(float(np.linalg.norm(row)), 1e-12) for row in rows]).astype(np.float32)


def _cls(states_TD: Vectors) -> Vectors:  # noqa: N803 - shapes are part of the name
    first: Vectors = states_TD[0]
    return first


def _mean(states_TD: Vectors) -> Vectors:  # noqa: N803
    mean: Vectors = states_TD.mean(axis=0)
    return mean


# ------------------------------------------------------------------------------------------------ session and tokenizer


class _Loaded:
    """A session that computes on its caller's thread, a tokenizer, and the threads that call."""

    def __init__(self, weights: Path, tokenizer: PairTokenizer, threads: int) -> None:
        self._session = _session(weights)
        self._inputs = [spec.name for spec in self._session.get_inputs()]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="shortlist-onnx") if threads > 1 else None
        self.tokenizer = tokenizer

    @property
    def dimensions(self) -> int:
        """The width of the output."""
        return int(self._session.get_outputs()[0].shape[-1])

    def run(self, encoding: Any) -> Vectors:
        """The first output for one input, float32."""
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        try:
            feed = {name: np.array([values[name]], np.int64) for name in self._inputs}
        except KeyError as error:
            raise BackendError(f"the model wants an input that we do not know: {error}") from error
        try:
            output: Vectors = self._session.run(None, feed)[0]
        except Exception as error:
            raise _RunFailed(f"onnxruntime failed on {len(encoding)} tokens: {error}") from error
        return output.astype(np.float32, copy=False)

    def longest_first(self, work: Callable[[_Loaded, _T], _R], items: Sequence[_T], lengths: Sequence[int]) -> list[_R]:
        """``work`` on every item, side by side; the long ones first, so that no core ends alone with one of them."""
        if self._pool is None or len(items) < 2:
            return [work(self, item) for item in items]
        order = sorted(range(len(items)), key=lambda i: -lengths[i])
        futures = {i: self._pool.submit(work, self, items[i]) for i in order}
        return [futures[i].result() for i in range(len(items))]


class _RunFailed(Exception):
    """One input failed; its neighbours may not."""


def _session(weights: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnavailable(f"onnxruntime cannot load {weights}: {error}") from error
