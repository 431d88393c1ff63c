"""Networks that score a passage for a query, so that a gradient can flow: a cross-encoder, a language model's yes.

What they read is what the served reranker reads: the same tokenizer, the same cut, the same prompt. Both are run in
evaluation mode, without dropout: the scores that a sample was drawn from are the scores that its gradient is taken at.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from shortlist.backends.chat_tokens import ChatTokens
from shortlist.backends.models import LocalModel, trained_length
from shortlist.backends.pairs import PairTokenizer
from shortlist.backends.torch_generation import left_padded
from shortlist.backends.torch_models import import_transformers, load_tokenizer, no_progress_bars
from shortlist.errors import InvalidInput, ModelUnavailable
from shortlist.rerankers.policies import pair_of
from shortlist.text.base import GOLDEN, PromptBase
from shortlist.text.pointwise import PointwiseYesNo
from shortlist.text.truncation import cut_slate
from shortlist.training.parallel import gathered
from shortlist.types import RerankRequest, Slate

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json")
_MORE_FILES = ("merges.txt", "added_tokens.json", "chat_template.jinja", "tokenizer.model", "sentencepiece.bpe.model")


class Row(NamedTuple):
    """One passage with its query, as token ids; ``types`` tell which sequence a token belongs to (pairs only)."""

    ids: tuple[int, ...]
    types: tuple[int, ...] = ()


class Network(Protocol):
    """A scorer of rows. ``kind`` is what a checkpoint of it is called in the catalog of rerankers."""

    kind: str
    pads_left: bool
    model: Any
    local: LocalModel
    max_length: int

    @property
    def prompt(self) -> PromptBase | None:
        """What it asks, if it asks."""

    def rows(self, request: RerankRequest) -> list[Row]:
        """One row a candidate."""

    def scores(self, rows: Sequence[Row]) -> Tensor:
        """One float32 score a row, differentiable."""

    def save(self, folder: Path) -> None:
        """Weights, configuration and tokenizer, as transformers reads them."""


class CrossEncoderNetwork:
    """A sequence-classification model with one label, or two of which the second's lead counts."""

    kind = "cross-encoder"
    pads_left = False
    prompt: PromptBase | None = None

    def __init__(self, model: Any, local: LocalModel, *, max_length: int) -> None:
        if model.config.num_labels not in {1, 2}:
            raise InvalidInput(f"{local.name} has {model.config.num_labels} labels; a cross-encoder has one or two")
        self.model, self.local = model, local
        self.max_length = min(max_length, trained_length(local))
        whole = load_tokenizer(local)
        self._tokenizer = PairTokenizer(whole.backend_tokenizer.to_str(), max_length=self.max_length)
        self._padding, self._typed = whole.pad_token_id or 0, "token_type_ids" in whole.model_input_names

    def rows(self, request: RerankRequest) -> list[Row]:
        """One row a candidate; the passage alone is cut."""
        pairs = [pair_of(request.query, candidate.document) for candidate in request.candidates]
        encodings, _ = self._tokenizer.pairs(pairs)
        return [Row(tuple(encoding.ids), tuple(encoding.type_ids)) for encoding in encodings]

    def scores(self, rows: Sequence[Row]) -> Tensor:
        """The raw logits."""
        width, device = max(len(row.ids) for row in rows), self.model.device

        def padded(values: Sequence[Sequence[int]], filler: int) -> Tensor:
            return torch.tensor([[*v, *[filler] * (width - len(v))] for v in values], device=device)

        feed = {
            "input_ids": padded([row.ids for row in rows], self._padding),
            "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        }
        if self._typed:
            feed["token_type_ids"] = padded([row.types for row in rows], 0)
        logits_BL = self.model(**feed).logits.float()
        return logits_BL[:, -1] - logits_BL[:, 0] if logits_BL.shape[1] == 2 else logits_BL[:, 0]

    def save(self, folder: Path) -> None:
        """Weights, configuration and tokenizer."""
        save_model(self.model, folder)
        save_tokenizer(self.local, folder)


class YesNoNetwork:
    """A causal language model, asked whether the passage is relevant; the score is log P(yes) − log P(no)."""

    kind = "pointwise"
    pads_left = True

    def __init__(self, model: Any, local: LocalModel, *, max_length: int) -> None:
        self.model, self.local, self.max_length = model, local, max_length
        self.prompt = PointwiseYesNo(passage_tokens=max_length)
        self._tokens = ChatTokens(load_tokenizer(local))
        self._yes, self._no = self._labels()

    def rows(self, request: RerankRequest) -> list[Row]:
        """One prompt a candidate; passage and query are cut as the served reranker cuts them."""
        slates = [Slate(request.query, (candidate,)) for candidate in request.candidates]
        rows = [Row(tuple(self._tokens.prompt(self._text(slate)))) for slate in slates]
        limit = int(getattr(self.model.config, "max_position_embeddings", 0) or 0)
        longest = max((len(row.ids) for row in rows), default=0)
        if 0 < limit < longest:
            raise InvalidInput(
                f"query {request.query.id!r}: a prompt of {longest} tokens; {self.local.name} takes {limit}"
            )
        return rows

    def scores(self, rows: Sequence[Row]) -> Tensor:
        """The logit of yes less the logit of no, at the prompt's end."""
        ids_BT, mask_BT = left_padded(torch, [list(row.ids) for row in rows], self._tokens.padding, self.model.device)
        places_BT = (mask_BT.cumsum(-1) - 1).clamp_min(0)
        out = self.model(
            input_ids=ids_BT, attention_mask=mask_BT, position_ids=places_BT, use_cache=False, logits_to_keep=1
        )
        logits_BV = out.logits[:, -1].float()
        return logits_BV[:, self._yes] - logits_BV[:, self._no]

    def save(self, folder: Path) -> None:
        """Weights (an adapter is merged into them), configuration and tokenizer."""
        save_model(self.model, folder)
        save_tokenizer(self.local, folder)

    def _text(self, slate: Slate) -> str:
        budget, query_budget = self.prompt.passage_tokens, self.prompt.query_tokens
        shown = cut_slate(slate, budget, self._tokens.cut, query_tokens=query_budget)
        return self._tokens.render(self.prompt.render(shown))

    def _labels(self) -> tuple[int, int]:
        """The tokens of yes and no as they begin the reply."""
        start = self._text(Slate(GOLDEN.query, GOLDEN.candidates[:1]))
        spelt = [self._tokens.label_after(start, label) for label in ("yes", "no")]
        if any(len(ids) != 1 for ids in spelt):
            raise InvalidInput(f"{self.local.name} spells yes and no as {spelt}; a policy needs one token each")
        return spelt[0][0], spelt[1][0]


# ------------------------------------------------------------------------------------------------ what can be trained


def layers_of(model: Any) -> Any:
    """The stack of layers, bottom first: the longest list of modules there is."""
    stacks = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module)]
    if not stacks:
        raise InvalidInput(f"{type(model).__name__} has no list of layers; train all of it (train_layers=None)")
    return max(stacks, key=len)


def keep_layers(model: Any, count: int) -> None:
    """Drop all layers but the first ``count``, for good: what is saved is a model of so many layers.

    What ranks a passage is told halfway up (BGE's layer-wise rerankers are read there); the layers above it cost time.
    """
    layers = layers_of(model)
    if not 1 <= count <= len(layers):
        raise InvalidInput(f"keep_layers is {count}; the model has {len(layers)}: give 1 to {len(layers)}")
    del layers[count:]
    model.config.num_hidden_layers = count
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[:count]


def freeze_below(model: Any, train_layers: int) -> int:
    """Leave only the top ``train_layers`` layers, and what stands above them, to be trained; how many are frozen.

    Above means: registered after the stack of layers, as pooler and classifier are; a final norm is among them.
    """
    layers = layers_of(model)
    if not 0 <= train_layers <= len(layers):
        raise InvalidInput(f"train_layers is {train_layers}; the model has {len(layers)}: give 0 to {len(layers)}")
    frozen = len(layers) - train_layers
    last = {id(parameter) for parameter in layers.parameters()}
    below = True
    for parameter in model.parameters():
        if id(parameter) in last:
            below = False
        elif below:
            parameter.requires_grad = False
    for parameter in layers[:frozen].parameters():
        parameter.requires_grad = False
    return frozen


def without_adapters(model: Any) -> Any:
    """The transformers model inside of a peft one, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def emulates_half() -> bool:
    """Whether bfloat16 is slower than float32 here: no accelerator, and an x86 processor without AVX-512.

    Torch then computes it by detours: a linear layer forwards at a ninth of float32's speed, with its backward pass at a
    twentieth (AVX2, torch 2.13).
    """
    return not torch.accelerator.is_available() and torch.backends.cpu.get_cpu_capability() in {"AVX2", "NO AVX"}


EMULATED = "this processor has no bfloat16 arithmetic, and emulates it at a tenth of float32's speed"


def prepare_half(model: Any) -> None:
    """Make a float32 model fit for bfloat16 autocast: the logits stay exact, and on a CPU attention is spelt out.

    Torch's fused attention takes five times as long backwards in bfloat16 as in float32 there (version 2.13).
    """
    for head in heads_of(model):
        in_full_precision(head)
    if model.device.type == "cpu":
        without_adapters(model).set_attn_implementation("eager")


def heads_of(model: Any) -> list[Any]:
    """The parts that turn states into logits, which half precision would spoil."""
    plain = without_adapters(model)
    output = plain.get_output_embeddings()
    if output is not None:
        return [output]
    base = plain.base_model
    return [child for child in plain.children() if child is not base and any(True for _ in child.parameters())]


def in_full_precision(module: Any) -> None:
    """Have a module compute in float32, whatever precision is on around it."""
    plain: Callable[..., Any] = module.forward

    def forward(states: Tensor, *rest: Any, **options: Any) -> Any:
        with torch.autocast(states.device.type, enabled=False):
            return plain(states.float(), *rest, **options)

    module.forward = forward


# ------------------------------------------------------------------------------------------------ saving


def save_model(model: Any, folder: Path) -> None:
    """The model with adapters merged, in safetensors; the model at hand stays as it is."""
    save_state(model, merged_state(model), folder)


def save_state(model: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    """Weights (see :func:`merged_state`) as a model of the same kind, in safetensors."""
    plain = without_adapters(model)
    config = copy.deepcopy(plain.config)
    if hasattr(config, "quantization_config"):  # of the file it was dequantised from; the copy is in full precision
        del config.quantization_config
    with torch.device("meta"):
        fresh = type(plain)(config)
    missing, extra = fresh.load_state_dict(state, strict=False, assign=True)
    if extra or set(missing) - tied_names(fresh):
        raise ModelUnavailable(f"the trained weights do not fit {type(plain).__name__}: {missing[:3]}, {extra[:3]}")
    fresh.tie_weights()
    with no_progress_bars(import_transformers()):
        fresh.save_pretrained(folder)


def tied_names(model: Any) -> set[str]:
    """Parameters that are another one by a second name, and need not be there."""
    tied = getattr(model, "_tied_weights_keys", None) or {}
    return set(tied)


def merged_state(model: Any) -> dict[str, Tensor]:
    """The weights by the names of the model without adapters."""
    if hasattr(model, "merge_and_unload"):
        model = copy.deepcopy(model).merge_and_unload()
    return {name: gathered(value) for name, value in model.state_dict().items()}


def save_tokenizer(local: LocalModel, folder: Path) -> None:
    """The tokenizer's own files if the model has them, else what transformers makes of it (GGUF files carry one)."""
    found = [local.folder / name for name in (*_TOKENIZER_FILES, *_MORE_FILES) if (local.folder / name).is_file()]
    if local.path.is_dir() and (local.folder / "tokenizer.json").is_file():
        for path in found:
            shutil.copyfile(path, folder / path.name)
    else:
        load_tokenizer(local).save_pretrained(folder)
