"""The shapes of models by their names, so that a plan needs no download; a folder's own ``config.json`` goes first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from shortlist.errors import InvalidFile, InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A decoder of the Llama family: grouped-query attention, gated MLP."""

    layers: int
    hidden: int
    mlp: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    head_size: int = 0  # 0: hidden / heads

    @property
    def head(self) -> int:
        """Width of an attention head."""
        return self.head_size or self.hidden // self.heads

    @property
    def layer(self) -> int:
        """Parameters of a layer (norms and biases, less than a thousandth, are left out)."""
        attention = self.hidden * self.head * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.hidden * self.mlp

    @property
    def embedding(self) -> int:
        """Parameters of the input embedding, and of the output's where it has its own."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.layer + self.embedding

    @property
    def cache(self) -> int:
        """Numbers kept a token while drawing: keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head

    def adapters(self, rank: int) -> int:
        """Parameters of low-rank adapters on all linear maps of the layers."""
        q, kv = self.heads * self.head, self.kv_heads * self.head
        sides = 2 * (self.hidden + q) + 2 * (self.hidden + kv) + 3 * (self.hidden + self.mlp)
        return self.layers * rank * sides


def _qwen(layers: int, hidden: int, mlp: int, heads: int, kv: int, *, tied: bool, vocabulary: int = 151_936) -> Shape:
    return Shape(layers=layers, hidden=hidden, mlp=mlp, heads=heads, kv_heads=kv, vocabulary=vocabulary, tied=tied)


def _qwen3(layers: int, hidden: int, mlp: int, heads: int, *, tied: bool) -> Shape:
    return Shape(
        layers=layers, hidden=hidden, mlp=mlp, heads=heads, kv_heads=8, vocabulary=151_936, tied=tied, head_size=128
    )


SHAPES: dict[str, Shape] = {
    "smollm2-135m": Shape(layers=30, hidden=576, mlp=1536, heads=9, kv_heads=3, vocabulary=49_152, tied=True),
    "Qwen/Qwen2.5-0.5B-Instruct": _qwen(24, 896, 4864, 14, 2, tied=True),
    "Qwen/Qwen2.5-1.5B-Instruct": _qwen(28, 1536, 8960, 12, 2, tied=True),
    "Qwen/Qwen2.5-3B-Instruct": _qwen(36, 2048, 11_008, 16, 2, tied=True),
    "Qwen/Qwen2.5-7B-Instruct": _qwen(28, 3584, 18_944, 28, 4, tied=False, vocabulary=152_064),
    "Qwen/Qwen2.5-14B-Instruct": _qwen(48, 5120, 13_824, 40, 8, tied=False, vocabulary=152_064),
    "Qwen/Qwen2.5-32B-Instruct": _qwen(64, 5120, 27_648, 40, 8, tied=False, vocabulary=152_064),
    "Qwen/Qwen3-0.6B": _qwen3(28, 1024, 3072, 16, tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(28, 2048, 6144, 16, tied=True),
    "Qwen/Qwen3-4B": _qwen3(36, 2560, 9728, 32, tied=True),
    "Qwen/Qwen3-8B": _qwen3(36, 4096, 12_288, 32, tied=False),
    "Qwen/Qwen3-14B": _qwen3(40, 5120, 17_408, 40, tied=False),
    "Qwen/Qwen3-32B": _qwen3(64, 5120, 25_600, 64, tied=False),
    "meta-llama/Meta-Llama-3-8B-Instruct": Shape(
        layers=32, hidden=4096, mlp=14_336, heads=32, kv_heads=8, vocabulary=128_256, tied=False
    ),
}
"""From the models' own configurations."""


def shape_of(model: str) -> Shape:
    """The shape of a model: of its folder's configuration, or known by its name; nothing is fetched."""
    if model in SHAPES:
        return SHAPES[model]
    path = Path(model).expanduser() / "config.json"
    if not path.is_file():
        raise InvalidInput(
            f"the shape of {model!r} is not known; give a folder with a config.json, or one of {', '.join(SHAPES)}"
        )
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Shape(
            layers=told["num_hidden_layers"],
            hidden=told["hidden_size"],
            mlp=told["intermediate_size"],
            heads=told["num_attention_heads"],
            kv_heads=told.get("num_key_value_heads") or told["num_attention_heads"],
            vocabulary=told["vocab_size"],
            tied=bool(told.get("tie_word_embeddings", False)),
            head_size=told.get("head_dim") or 0,
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidFile(path, f"not the configuration of a decoder: {problem}") from problem
