"""Tiny models with random weights, built where a test wants them: the logic of the backends without any download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>", "</s>"]
COMMON = "user assistant system : yes no the a cat dog sat on mat is what where blue red green . ? ,"
NUMBERS = "one two three four five six seven eight nine ten"
WORDS = [*SPECIAL, *COMMON.split(), *NUMBERS.split()]
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}{{ m['role'] + ' : ' + m['content'] + ' </s> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant : ' }}{% endif %}"
)


def word_tokenizer(*, pairs: bool) -> Any:
    """Whole words; with ``pairs``, ``[CLS] a [SEP] b [SEP]`` around them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    if pairs:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
        )
    return tokenizer


def fast_tokenizer(*, pairs: bool, chat_template: str | None = None) -> Any:
    from transformers import PreTrainedTokenizerFast

    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(pairs=pairs), bos_token="<s>", eos_token="</s>", **names
    )
    fast.chat_template = chat_template
    return fast


def llama(folder: Path, *, chat_template: str | None = CHAT_TEMPLATE) -> Path:
    """A causal model of two layers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = fast_tokenizer(pairs=False, chat_template=chat_template)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.6,  # wide, so that the likeliest token is clearly the likeliest
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert(folder: Path, *, labels: int = 1) -> Path:
    """A cross-encoder of two layers."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = fast_tokenizer(pairs=True)
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.3,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def onnx_pairs(folder: Path, *, labels: int = 1) -> Path:
    """An ONNX "cross-encoder" whose logits are sums over the tokens of (label + 1) × id × type."""
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [1, labels], list(range(1, labels + 1)))
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["seen"]),
        helper.make_node("Mul", ["seen", "token_type_ids"], ["second"]),
        helper.make_node("Cast", ["second"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sums"], keepdims=1),
        helper.make_node("Mul", ["sums", "scale"], ["logits"]),
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", labels])
    return _save(folder, helper.make_graph(nodes, "toy", inputs, [output], [axes, scale]))


def onnx_states(folder: Path, *, width: int = 6) -> Path:
    """An ONNX "encoder" whose states are rows of a random table, one a token."""
    from onnx import TensorProto, helper, numpy_helper

    table = np.random.default_rng(7).normal(size=(len(set(WORDS)), width)).astype(np.float32)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"]) for name in ("input_ids", "attention_mask")
    ]
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["seen"]),
        helper.make_node("Gather", ["table", "seen"], ["states"], axis=0),
    ]
    output = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", "t", width])
    graph = helper.make_graph(nodes, "toy", inputs, [output], [numpy_helper.from_array(table, "table")])
    return _save(folder, graph)


def _save(folder: Path, graph: Any) -> Path:
    import onnx
    from onnx import helper

    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "model.onnx"))
    word_tokenizer(pairs=True).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64}), encoding="utf-8")
    return folder
