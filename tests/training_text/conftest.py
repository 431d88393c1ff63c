"""One thread, and models that are built once."""

from __future__ import annotations

import pytest
from tiny_writers import writer

from shortlist.rewards.text import registry

# TRL 1.16 reads names that transformers 5.23 is about to drop
NOISE = (
    "ignore:.*gradient_checkpointing.*:FutureWarning",
    "ignore:.*is_gradient_checkpointing.*:FutureWarning",
    "ignore:.*:DeprecationWarning",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if "training_text" in str(item.path):
            for line in NOISE:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    return one_thread


@pytest.fixture(scope="session")
def qwen(tmp_path_factory):
    return writer(tmp_path_factory.mktemp("models") / "qwen")


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return writer(tmp_path_factory.mktemp("models") / "llama", "Llama")


class Signs:
    """Worth the sum of a reply's signs, modulo 7: it differs between replies of a model that only babbles."""

    bounds = (0.0, 1.0)

    def __init__(self, name: str = "signs") -> None:
        self.name = name

    def score(self, replies, /):
        return [sum(map(ord, reply.text)) % 7 / 6 for reply in replies]


@pytest.fixture(autouse=True)
def signs(monkeypatch):
    monkeypatch.setitem(registry.REWARDS, "signs", Signs)
