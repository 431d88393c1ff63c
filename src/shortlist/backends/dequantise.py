"""A trainable float32 copy of the catalog's int8 ONNX cross-encoder, in the format of transformers.

The int8 weights are turned back into numbers, ``(q − zero point) × scale``, and put into a BERT classifier of the same
shape. Its logits differ from the ONNX model's by 0.03 in the mean (at most 0.45 among 200 pairs): what is left is the
rounding of the activations, which only the ONNX model does.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.backends.models import LocalModel, resolve
from shortlist.backends.torch_models import import_torch, import_transformers, no_progress_bars
from shortlist.errors import InvalidInput, MissingExtra, ModelUnavailable

Array = npt.NDArray[Any]
_QUANTISED = "_quantized"
_HEAD_WIDTH = 32  # of the MiniLM family: the ONNX file does not tell the number of heads


def dequantise_minilm(model: str | Path | LocalModel, output: str | Path) -> Path:
    """Write the float32 copy of an int8 ONNX BERT cross-encoder into ``output``, a new folder; returns it.

    The folder holds ``model.safetensors``, configuration and tokenizer, and loads in transformers and in
    sentence-transformers (with the identity as its activation: raw logits). An ``output`` that is such a copy already
    is left as it is; any other folder that is not empty is refused.
    """
    local, folder = resolve(model), Path(output)
    if (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty and holds no model; give a new folder")
    weights = read_weights(local.file("model.onnx"))
    copy = _build(weights)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dequantise-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "model"
        with no_progress_bars(import_transformers()):
            copy.save_pretrained(staged)
        _write_rest(local, staged)
        if folder.exists():
            folder.rmdir()
        staged.rename(folder)
    return folder


def read_weights(path: Path) -> dict[str, Array]:
    """The parameters of an ONNX BERT by their names in torch, float32; int8 ones turned back into numbers."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingExtra("onnx", "train") from error
    graph = onnx.load(str(path)).graph
    held = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    weights = {_own_name(name): _float(held, name) for name in held if name.startswith(("bert.", "classifier."))}
    for node in graph.node:  # the matrices have lost their names; their nodes have not
        quantised = [name for name in node.input if name.endswith(_QUANTISED) and name in held]
        if node.op_type == "MatMulInteger" and quantised:
            weights[_module(node.name) + ".weight"] = _float(held, quantised[0]).T
    return {name: value for name, value in weights.items() if not name.endswith(("_scale", "_zero_point"))}


def _own_name(name: str) -> str:
    return name.removesuffix(_QUANTISED)


def _float(held: dict[str, Array], name: str) -> Array:
    value = held[name]
    if not name.endswith(_QUANTISED):
        return value.astype(np.float32)
    stem = name.removesuffix(_QUANTISED)
    shifted = value.astype(np.float32) - held[stem + "_zero_point"].astype(np.float32)
    restored: Array = shifted * held[stem + "_scale"].astype(np.float32)
    return restored


def _module(node: str) -> str:
    """``/bert/encoder/layer.0/…/query/MatMul_quant`` → ``bert.encoder.layer.0.….query``."""
    return ".".join(node.strip("/").split("/")[:-1])


def _build(weights: dict[str, Array]) -> Any:
    """The transformers model that has these weights, its shape read off them."""
    torch, transformers = import_torch(), import_transformers()
    vocabulary, width = weights["bert.embeddings.word_embeddings.weight"].shape
    layers = sum(name.endswith("attention.self.query.weight") for name in weights)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // _HEAD_WIDTH,
        intermediate_size=weights["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=weights["bert.embeddings.position_embeddings.weight"].shape[0],
        num_labels=1,
    )
    model = transformers.BertForSequenceClassification(config)
    state = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in weights.items()}
    missing, extra = model.load_state_dict(state, strict=False)
    if missing or extra:
        raise ModelUnavailable(f"not a BERT cross-encoder: missing {missing[:3]}, unknown {extra[:3]}")
    return model.eval()


def _write_rest(local: LocalModel, folder: Path) -> None:
    """The tokenizer, and what makes sentence-transformers give raw logits."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(local.file(name), folder / name)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
