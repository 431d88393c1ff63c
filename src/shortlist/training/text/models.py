"""Models that write: opening one for training, letting it answer as it is, and saving it as a folder that serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from shortlist.backends.base import Ask, Completion, Likelihoods, Question
from shortlist.backends.chat_tokens import ChatTokens
from shortlist.backends.models import LocalModel, resolve
from shortlist.backends.torch_generation import complete
from shortlist.backends.torch_likelihoods import likelihoods
from shortlist.backends.torch_models import load_model, load_tokenizer
from shortlist.backends.torch_trie import TESTED
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import save_checkpoint_config
from shortlist.text.base import PromptBase
from shortlist.training.card import CardFacts, Checkpoint, model_card
from shortlist.training.checkpoint import replaced
from shortlist.training.networks import (
    freeze_below,
    keep_layers,
    merged_state,
    prepare_half,
    save_state,
    save_tokenizer,
    without_adapters,
)
from shortlist.training.opening import LoRA, adapted, is_causal
from shortlist.training.parallel import gathered, is_sharded, spread
from shortlist.training.text.recipe import ModelRecipe


@dataclass(frozen=True)
class TextModel:
    """A causal model under training, its tokenizer, and where it came from."""

    model: Any
    tokens: ChatTokens
    local: LocalModel

    @property
    def trained(self) -> dict[str, torch.Tensor]:
        """The parameters that learn, by name."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    @property
    def ends(self) -> list[int]:
        """The tokens that end a reply: the tokenizer's, and those of the model's generation settings."""
        told = getattr(getattr(without_adapters(self.model), "generation_config", None), "eos_token_id", None)
        mine = self.tokens.tokenizer.eos_token_id
        return list(
            dict.fromkeys([*([] if mine is None else [mine]), *([told] if isinstance(told, int) else told or [])])
        )

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the weights: what is told of them must be asked by every process."""
        return any(map(is_sharded, self.model.parameters()))

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of what learns."""
        return {name: gathered(value) for name, value in self.trained.items()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put :meth:`state` back."""
        mine = self.trained
        if set(mine) != set(state):
            odd = sorted(set(mine) ^ set(state))[:3]
            raise InvalidInput(f"the state is of a model in which other weights learn ({', '.join(odd)} …)")
        with torch.no_grad():
            for name, value in state.items():
                mine[name].copy_(spread(value, mine[name]))


def open_text_model(name: str | Path, told: ModelRecipe, *, seed: int = 0, device: str = "auto") -> TextModel:
    """A catalog name, hub id, folder or GGUF file (dequantised) as a model to train; adapters are drawn from ``seed``."""
    local = resolve(name)
    if not is_causal(local):
        raise InvalidInput(f"{local.name} is no causal language model; text policies write: give one that does")
    model = load_model("AutoModelForCausalLM", local, device, told.dtype)
    for parameter in model.parameters():  # in memory of their own: the file may be overwritten
        parameter.data = parameter.data.clone()
    if told.attention != "sdpa":
        model.set_attn_implementation(told.attention)
    _without_dropout(model)
    if told.keep_layers is not None:
        keep_layers(model, told.keep_layers)
    if told.lora_rank is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = adapted(model, LoRA(rank=told.lora_rank, alpha=told.lora_alpha))
    elif told.train_layers is not None:
        freeze_below(model, told.train_layers)
    if told.autocast == "bfloat16":
        prepare_half(model)
    return TextModel(model, ChatTokens(load_tokenizer(local)), local)


def _without_dropout(model: Any) -> None:
    """Samples, old and new log-probabilities must come of one model."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop"):
        if getattr(model.config, name, 0):
            setattr(model.config, name, 0.0)


def autocast(device: Any, precision: str) -> AbstractContextManager[Any]:
    """Half precision, if asked for."""
    half: AbstractContextManager[Any] = torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )
    return half


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode, in its own precision, and as it was afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.autocast(torch.device(model.device).type, enabled=False):
            yield
    finally:
        model.train(training)


@dataclass
class LiveCompleter:
    """A :class:`~shortlist.backends.base.Continuer` over the model as it stands; ``step`` tells caches which.

    ``share``: what prompts begin with is read once, as ``reuse_prefix`` has it in serving.
    """

    continues: ClassVar[Literal[True]] = True

    text: TextModel
    step: int = 0
    batch_tokens: int = 8192
    batch_rows: int = 64
    name: str = field(default="live", kw_only=True)
    share: bool = field(default=False, kw_only=True)

    @property
    def identity(self) -> str:
        """Name and step: what was answered before a step is not what is answered after it."""
        return f"{self.name}@{self.step}"

    def complete(self, asks: Sequence[Ask], /) -> list[Completion]:
        """As the transformers backend completes."""
        rows, tokens = self.batch_rows, self.batch_tokens
        with evaluating(self.text.model):
            return complete(
                self.text.model, self.text.tokens, asks, batch_tokens=tokens, batch_rows=rows, share=self.share
            )

    def likelihoods(self, questions: Sequence[Question], /) -> list[Likelihoods]:
        """As the transformers backend tells them."""
        rows, tokens = self.batch_rows, self.batch_tokens
        with evaluating(self.text.model), torch.no_grad():
            return likelihoods(
                self.text.model, self.text.tokens, questions, batch_tokens=tokens, batch_rows=rows, share=self.share
            )

    def cut(self, text: str, max_tokens: int, /) -> tuple[str, bool]:
        """By the model's tokenizer."""
        return self.text.tokens.cut(text, max_tokens)


# ------------------------------------------------------------------------------------------------ saving


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a checkpoint serves: the catalog's kind, its options, the prompt it was trained with."""

    kind: str
    options: dict[str, str]
    prompt: PromptBase


def shares_beginnings(text: TextModel, prompt: PromptBase) -> bool:
    """Whether prompts share most of what they say, and the model can read that once."""
    alike = getattr(prompt, "query_last", False) or getattr(prompt, "query_each", False)
    return alike and without_adapters(text.model).config.model_type in TESTED


def save_text_checkpoint(
    text: TextModel, folder: Path, serving: Serving, card: CardFacts, *, write: bool = True
) -> Path:
    """A folder for transformers (adapters merged), ``open_reranker`` and, with its README, a model hub.

    Of a sharded model every process calls this, and one has ``write``.
    """
    state = merged_state(text.model)
    if not write:
        return folder
    base = (
        text.local.card.hub.repo if text.local.card is not None and text.local.card.hub is not None else text.local.name
    )
    with replaced(folder) as staged:
        save_state(text.model, state, staged)
        save_tokenizer(text.local, staged)
        options = {**({"reuse_prefix": "true"} if shares_beginnings(text, serving.prompt) else {}), **serving.options}
        save_checkpoint_config(staged, serving.kind, {"engine": "transformers", **options}, serving.prompt)
        facts = Checkpoint(kind=serving.kind, base=base, options=options, prompt=serving.prompt)
        (staged / "README.md").write_text(model_card(card, facts), encoding="utf-8")
    return folder
