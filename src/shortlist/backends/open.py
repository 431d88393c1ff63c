"""Opening a model by its name: which backend runs it, as far as that can be told from its files.

A name is a catalog name (``minilm-l12``), a hub id (``org/name``), a local path, or ``openai:MODEL@URL`` for a server
that speaks OpenAI's protocol. ``engine`` overrules the choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.backends.base import Completer, Embedder, PairScorer, Scorer
from shortlist.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from shortlist.backends.torch_models import Precision

SERVER = "openai:"

LLM_ENGINES = ("auto", "gguf", "transformers", "vllm")
PAIR_ENGINES = ("auto", "onnx", "transformers", "sentence-transformers")


@dataclass(frozen=True, kw_only=True)
class LLMOptions:
    """How to run a language model: ``concurrency`` and ``timeout`` (seconds a call) are for servers, ``context`` (tokens
    of prompt and reply) for llama.cpp, ``dtype`` (``float32``, ``bfloat16``, ``float16``) for transformers, and
    ``reuse_prefix`` (compute the common beginning of prompts once) for these two. ``None`` is the backend's own default.
    """

    engine: str = "auto"
    concurrency: int | None = None
    timeout: float | None = None
    context: int | None = None
    dtype: Precision = "auto"
    reuse_prefix: bool = False


def open_llm(model: str, options: LLMOptions = LLMOptions()) -> Completer:
    """A language model that completes; those of ours also score (see :func:`open_scorer`)."""
    engine = options.engine
    if engine == "auto" and not model.startswith(SERVER):
        engine = "gguf" if _is_gguf(model) else "transformers"
    if options.reuse_prefix and engine not in {"gguf", "transformers"}:
        told = "an option of llama.cpp and transformers, which do not run"
        raise InvalidInput(f"reuse_prefix is {told} {model!r}; leave it out")
    if options.dtype != "auto" and engine != "transformers":
        raise InvalidInput(f"dtype is an option of transformers, which does not run {model!r}; leave it out")
    if model.startswith(SERVER):
        return _server(model, options)
    if engine == "gguf":
        from shortlist.backends.gguf import GgufBackend

        given = {} if options.context is None else {"context": options.context}
        return GgufBackend(model, reuse_prefix=options.reuse_prefix, **given)
    if engine == "transformers":
        from shortlist.backends.transformers import TransformersBackend

        return TransformersBackend(model, dtype=options.dtype, reuse_prefix=options.reuse_prefix)
    if engine == "vllm":
        from shortlist.backends.vllm import VLLMBackend

        return VLLMBackend(model)
    raise UnknownName("engine", engine, LLM_ENGINES)


def open_scorer(model: str, options: LLMOptions = LLMOptions()) -> Scorer:
    """A language model that tells the likelihoods of fixed replies."""
    backend = open_llm(model, options)
    if not isinstance(backend, Scorer):
        raise InvalidInput(f"the backend of {model!r} does not tell likelihoods; read its replies instead (?read=text)")
    return backend


def open_pair_scorer(
    model: str, *, engine: str = "auto", max_length: int | None = None, threads: int | None = None
) -> PairScorer:
    """A cross-encoder. A folder with an ONNX file runs on ONNX Runtime, any other on transformers."""
    if engine == "auto":
        engine = "onnx" if _has_onnx(model) else "transformers"
    if engine == "onnx":
        from shortlist.backends.onnx import OnnxCrossEncoder

        return OnnxCrossEncoder(model, max_length=max_length, threads=threads)
    if engine == "transformers":
        from shortlist.backends.transformers import TransformersCrossEncoder

        return TransformersCrossEncoder(model, max_length=max_length, threads=threads)
    if engine == "sentence-transformers":
        from shortlist.backends.sentence_transformers import SentenceTransformersCrossEncoder

        return SentenceTransformersCrossEncoder(model, max_length=max_length, threads=threads)
    raise UnknownName("engine", engine, PAIR_ENGINES)


def open_embedder(model: str, *, threads: int | None = None) -> Embedder:
    """An embedding model. A folder with an ONNX file runs on ONNX Runtime, any other on sentence-transformers."""
    if _has_onnx(model):
        from shortlist.backends.onnx import OnnxEmbedder

        return OnnxEmbedder(model, threads=threads)
    from shortlist.backends.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(model)


def _server(model: str, options: LLMOptions) -> Completer:
    from shortlist.backends.openai import OpenAIBackend

    name, at, url = model.removeprefix(SERVER).rpartition("@")
    if not at or not name or not url.startswith(("http://", "https://")):
        raise InvalidInput(
            f"{model!r} is no server; write openai:MODEL@URL, as in openai:my-model@http://127.0.0.1:8000/v1"
        )
    told = {"concurrency": options.concurrency, "timeout": options.timeout}
    given: dict[str, Any] = {option: value for option, value in told.items() if value is not None}
    return OpenAIBackend(name, url, **given)


def _is_gguf(model: str) -> bool:
    from shortlist.backends.catalog import CATALOG

    if model in CATALOG:
        return any(file.name.endswith(".gguf") for file in CATALOG[model].files)
    path = Path(model).expanduser()
    return path.suffix == ".gguf" or (
        path.is_dir() and any(path.glob("*.gguf")) and not any(path.glob("*.safetensors"))
    )


def _has_onnx(model: str) -> bool:
    from shortlist.backends.catalog import CATALOG

    if model in CATALOG:
        return any(file.name.endswith(".onnx") for file in CATALOG[model].files)
    path = Path(model).expanduser()
    return path.is_dir() and (any(path.glob("*.onnx")) or any(path.glob("onnx/*.onnx")))
