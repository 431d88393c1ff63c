"""Servers on loopback, for clients that know nothing of us."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "serving")]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # litellm would fetch a price list otherwise


@pytest.fixture(autouse=True, scope="module")
def _sweep_after_the_module():
    """As after a test, for the clients that a module keeps."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _sweep(_sweep_after_the_module):
    """Clients that never close their sockets are collected here, where their warnings are let pass, not in other tests."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def url():
    """A server of a pointwise and a listwise model that wants a key."""
    pytest.importorskip("uvicorn")
    from client_loopback import KEY, on_loopback
    from serving_doubles import listwise, pointwise

    from shortlist.serving.config import ServerConfig
    from shortlist.serving.security import Keys

    aliases = {"rerank-v3.5": "fast"}
    with on_loopback(pointwise(), listwise(), aliases=aliases, config=ServerConfig(keys=Keys.of([KEY]))) as address:
        yield address


@pytest.fixture(scope="session")
def open_url():
    """The same without a key, as inference servers of one's own often are."""
    pytest.importorskip("uvicorn")
    from client_loopback import on_loopback
    from serving_doubles import listwise, pointwise

    with on_loopback(pointwise(), listwise()) as address:
        yield address
