"""Backends that are equal are one; others are not."""

from __future__ import annotations

from shortlist.backends.gguf import GgufBackend
from shortlist.backends.onnx import OnnxCrossEncoder
from shortlist.backends.openai import OpenAIBackend
from shortlist.backends.shared import Opened
from shortlist.backends.transformers import TransformersBackend

URL = "http://127.0.0.1:9/v1"


def test_a_model_opened_twice_alike_is_one():
    opened = Opened()
    for make in (
        lambda: GgufBackend("smollm2-135m"),
        lambda: OnnxCrossEncoder("minilm-l12"),
        lambda: OpenAIBackend("m", URL),
        lambda: TransformersBackend("./a-model"),
    ):
        first = opened.one(make())
        assert opened.one(make()) is first


def test_one_opened_otherwise_is_another():
    opened = Opened()
    first = opened.one(GgufBackend("smollm2-135m"))
    assert opened.one(GgufBackend("smollm2-135m", context=512)).context == 512
    assert opened.one(GgufBackend("smollm2-135m")) is first
    assert opened.one(OpenAIBackend("m", URL, timeout=3)) is not opened.one(OpenAIBackend("m", URL))
