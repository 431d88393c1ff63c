"""Fixtures that any test may ask for: real models, taken from the package registry once; one thread; the toy of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from shortlist.backends.models import LocalModel, resolve
from shortlist.errors import ModelUnavailable

settings.register_profile("calm", deadline=None)  # a busy machine is no failure
settings.load_profile("calm")


def _model(name: str) -> LocalModel:
    try:
        return resolve(name)
    except ModelUnavailable as error:
        pytest.skip(f"model {name} cannot be had here: {error}")


@pytest.fixture(scope="session")
def model_minilm() -> LocalModel:
    """The int8 ONNX cross-encoder ``minilm-l12``."""
    return _model("minilm-l12")


@pytest.fixture(scope="session")
def model_bge() -> LocalModel:
    """The int8 ONNX embedding model ``bge-small``."""
    return _model("bge-small")


@pytest.fixture(scope="session")
def model_smollm() -> LocalModel:
    """The chat model ``smollm2-135m``, one GGUF file."""
    return _model("smollm2-135m")


@pytest.fixture(scope="session")
def model_minilm_torch(model_minilm: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """The float32 copy of ``minilm-l12``."""
    from shortlist.backends.dequantise import dequantise_minilm

    return resolve(dequantise_minilm(model_minilm, tmp_path_factory.mktemp("fp32") / "minilm"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on a single thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data folder and the model of ``toy_run``, to be read only; the test file says where that lies."""
    import toy_run

    root = tmp_path_factory.mktemp("toy")
    return toy_run.collection(root / "data"), toy_run.bert(root / "bert")
