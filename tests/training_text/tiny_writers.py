"""Tiny causal models that see bytes, and lessons in short words, for the tests of text policies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from shortlist.data.lessons import Lesson, Target
from shortlist.types import Candidate, Document, Query, Slate

CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
COLOURS = ("blue", "red", "green")


def byte_tokenizer() -> Any:
    """A token a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: i for i, sign in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT
    return fast


def writer(folder: Path, architecture: str = "Qwen2", *, layers: int = 2, seed: int = 3) -> Path:
    """A model of an architecture of transformers: Qwen2, Llama, Qwen3."""
    import torch
    import transformers

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    getattr(transformers, f"{architecture}ForCausalLM")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def lessons(count: int = 8, size: int = 3, *, seed: int = 0, first: int = 0) -> list[Lesson]:
    """Questions after a colour; passages that name it are graded 2, and the teacher and the target say so."""
    draw = random.Random(seed)
    made = []
    for q in range(first, first + count):
        wanted = COLOURS[q % 3]
        named = [draw.choice(COLOURS) for _ in range(size)]
        named[draw.randrange(size)] = wanted
        documents = [Document(id=f"d{q}-{i}", text=f"a {colour} cat") for i, colour in enumerate(named)]
        good = [colour == wanted for colour in named]
        scores = tuple(9.0 if right else 1.0 for right in good)
        order = tuple(sorted(range(size), key=lambda i: -scores[i]))
        subset = tuple(i for i in range(size) if good[i])
        worse = Target(
            order=order[::-1], scores=tuple(10 - score for score in scores), subset=(), reasoning="by no colour"
        )
        made.append(
            Lesson(
                slate=Slate(
                    Query(id=f"q{q}", text=f"which is {wanted}", answers=(wanted,)),
                    tuple(Candidate(document, float(size - i)) for i, document in enumerate(documents)),
                ),
                grades={document.id: 2.0 * right for document, right in zip(documents, good, strict=True)},
                teacher={document.id: score for document, score in zip(documents, scores, strict=True)},
                target=Target(order=order, scores=scores, subset=subset, reasoning="by colour", rejected=worse),
                meta={"qid": f"q{q}"},
            )
        )
    return made


BASE = {
    "prompt.kind": "group-scores",
    "prompt.passage_tokens": 16,
    "prompt.reply_tokens": 8,
    "optimiser.steps": 2,
    "optimiser.lessons": 2,
    "optimiser.micro": 2,
    "optimiser.lr": 1e-3,
    "sampling.samples": 4,
    "dev.every": 2,
    "dev.patience": None,
    "dev.queries": 1,
    "save_every": 1,
    "guards.entropy": None,
    "guards.zero_variance": None,
    "llm.dtype": "float32",
}
