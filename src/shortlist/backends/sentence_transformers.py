"""Cross-encoders and embedding models run by sentence-transformers, for models that only it can put together."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shortlist.backends.base import Pair, PairScore, Vectors
from shortlist.backends.models import LocalModel, resolve, trained_length
from shortlist.backends.pairs import PairTokenizer, failed_score, pair_score
from shortlist.backends.torch_models import (
    Device,
    batches,
    halving,
    import_torch,
    import_transformers,
    no_progress_bars,
    pick_device,
)
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable


@dataclass(frozen=True)
class _SentenceModel:
    """What the two kinds share. Loaded on first use; one call at a time computes, others wait."""

    model: str | Path | LocalModel
    _: KW_ONLY
    device: Device = "auto"
    max_length: int | None = None
    batch_rows: int = 32
    threads: int | None = None

    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.batch_rows, self.threads or 1) < 1 or (self.max_length is not None and self.max_length < 8):
            told = f"batch_rows {self.batch_rows}, threads {self.threads}, max_length {self.max_length}"
            raise InvalidInput(f"{told}: give at least 1, 1 and 8")

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
        """The files' checksum, the kind of device and the longest input."""
        device = pick_device(import_torch(), self.device)
        return f"sentence-transformers {self.local.identity} {device.type} max_length={self.tokens}"

    def _open(self, kind: str, **options: Any) -> Any:
        """The package's object; no code of the repository is run, and pickled weights are refused."""
        torch = import_torch(self.threads)
        try:
            import sentence_transformers
        except ImportError as error:
            raise MissingExtra("sentence-transformers", "encoder") from error
        if not any(self.local.folder.rglob("*.safetensors")):
            raise ModelUnavailable(f"{self.local.folder} holds no .safetensors file; other weights are not loaded")
        options |= {"device": str(pick_device(torch, self.device)), "local_files_only": True}
        options["model_kwargs"] = {"use_safetensors": True}
        try:
            with no_progress_bars(import_transformers()):
                return getattr(sentence_transformers, kind)(str(self.local.folder), **options)
        except (OSError, ValueError, KeyError) as error:
            told = f"sentence-transformers cannot load {self.local.path} as {kind}: {error}"
            raise ModelUnavailable(told) from error


@dataclass(frozen=True)
class SentenceTransformersCrossEncoder(_SentenceModel):
    """A :class:`PairScorer`: raw logits, whatever activation the model's configuration asks for.

    sentence-transformers shortens query and passage alike; here the passage alone is cut beforehand, and the cut is
    reported.
    """

    _: KW_ONLY
    max_query_tokens: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_query_tokens < 1:
            raise InvalidInput(f"max_query_tokens is {self.max_query_tokens}; give 1 or more")

    @property
    def identity(self) -> str:
        """Model, device and the longest inputs."""
        return f"{super().identity} max_query_tokens={self.max_query_tokens}"

    def load(self) -> tuple[Any, PairTokenizer]:
        """The ``CrossEncoder`` and a tokenizer for cutting; loaded on the first call."""
        with self._lock:
            if "_loaded" not in self.__dict__:
                torch = import_torch(self.threads)
                encoder = self._open("CrossEncoder", max_length=self.tokens, activation_fn=torch.nn.Identity())
                described = encoder.tokenizer.backend_tokenizer.to_str()
                tokenizer = PairTokenizer(described, max_length=self.tokens, max_query_tokens=self.max_query_tokens)
                self.__dict__["_loaded"] = encoder, tokenizer
            loaded: tuple[Any, PairTokenizer] = self.__dict__["_loaded"]
            return loaded

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        return self.load()[1].cut(text, max_tokens)

    def score_pairs(self, pairs: Sequence[Pair], /) -> list[PairScore]:
        """One score a pair."""
        if not pairs:
            return []
        with self._lock:
            _, tokenizer = self.load()
            encodings, lost = tokenizer.pairs(pairs)
            fitting = [tokenizer.fitted(*item) for item in zip(pairs, encodings, strict=True)]
            lengths = [len(encoding) for encoding in encodings]
            scores: list[PairScore | None] = [None] * len(pairs)
            for places in batches(lengths, max_tokens=self.batch_rows * self.tokens, max_rows=self.batch_rows):
                rows = halving(self._logits, [fitting[i] for i in places], lambda told: told)
                for i, row in zip(places, rows, strict=True):
                    make = failed_score if isinstance(row, str) else pair_score
                    scores[i] = make(row, tokens=lengths[i], truncated=lost[i])
            return [score for score in scores if score is not None]

    def _logits(self, pairs: list[Pair]) -> list[Any]:
        encoder, _ = self.load()
        told = [(pair.query, pair.passage) for pair in pairs]
        logits = encoder.predict(told, batch_size=len(told), show_progress_bar=False, convert_to_numpy=True)
        return list(np.asarray(logits, np.float32).reshape(len(told), -1))


@dataclass(frozen=True)
class SentenceTransformersEmbedder(_SentenceModel):
    """An :class:`Embedder`. Queries and passages get the prompts that the model's configuration names for them.

    ``query_prefix``, if given, is put before queries instead.
    """

    _: KW_ONLY
    query_prefix: str | None = None

    @property
    def identity(self) -> str:
        """Model, device, longest input and prefix."""
        return f"{super().identity} {self.query_prefix!r}"

    def load(self) -> Any:
        """The ``SentenceTransformer``; loaded on the first call."""
        with self._lock:
            if "_loaded" not in self.__dict__:
                encoder = self._open("SentenceTransformer")
                encoder.max_seq_length = self.tokens
                self.__dict__["_loaded"] = encoder
            return self.__dict__["_loaded"]

    def embed(self, texts: Sequence[str], /, *, role: Literal["query", "passage"]) -> Vectors:
        """Unit vectors, one row a text (float32, texts × dimensions)."""
        if role not in {"query", "passage"}:
            raise InvalidInput(f"role is {role!r}; give 'query' or 'passage'")
        with self._lock:
            encoder = self.load()
            if not texts:
                return np.zeros((0, encoder.get_embedding_dimension()), np.float32)
            options: dict[str, Any] = {"batch_size": self.batch_rows, "show_progress_bar": False}
            options |= {"normalize_embeddings": True, "convert_to_numpy": True}
            if role == "query" and self.query_prefix is not None:
                options["prompt"] = self.query_prefix
            encode = encoder.encode_query if role == "query" else encoder.encode_document
            return np.asarray(encode(list(texts), **options), np.float32)
