"""Indexes by kind: what a folder serves, and what it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.retrieval.bm25 import BM25
from shortlist.retrieval.dense import Dense
from shortlist.retrieval.hybrid import Hybrid
from shortlist.retrieval.open import KINDS, build_index, index_kinds, needs_embedder, open_index
from shortlist.types import Document, Query

TEXTS = ["the river is wide", "a cat sleeps on the mat", "stars shine at night"]


def documents():
    return [Document(id=f"d{i}", text=text) for i, text in enumerate(TEXTS)]


class Letters:
    """Embeds by counting letters."""

    identity = "letters"

    def embed(self, texts, /, *, role):
        rows = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("kind", "made"), [("bm25", BM25), ("dense", Dense), ("hybrid", Hybrid)])
def test_an_index_built_is_an_index_opened(tmp_path, kind, made):
    built = build_index(kind, documents, tmp_path / "index", embedder=Letters())
    opened = open_index(tmp_path / "index", kind, embedder=Letters())
    asked = [Query(id="q", text="stars at night"), Query(id="r", text="sleeps on a mat")]
    assert isinstance(built, made)
    assert [hits.ids[0] for hits in opened.retrieve(asked, depth=2)] == ["d2", "d1"]
    assert [hits.ids for hits in opened.retrieve(asked, depth=2)] == [h.ids for h in built.retrieve(asked, depth=2)]


def test_what_a_folder_serves(tmp_path):
    assert index_kinds(tmp_path) == ()
    build_index("bm25", documents, tmp_path)
    assert index_kinds(tmp_path) == ("bm25",)
    build_index("dense", documents, tmp_path, embedder=Letters())
    assert index_kinds(tmp_path) == ("bm25", "dense", "hybrid")


def test_a_kind_that_the_folder_does_not_serve(tmp_path):
    with pytest.raises(InvalidFile, match="serves nothing, not bm25"):
        open_index(tmp_path, "bm25")
    build_index("bm25", documents, tmp_path)
    with pytest.raises(InvalidFile, match="serves bm25, not hybrid; build it first"):
        open_index(tmp_path, "hybrid", embedder=Letters())


def test_dense_needs_a_model(tmp_path):
    with pytest.raises(InvalidInput, match="--embedder"):
        build_index("dense", documents, tmp_path)
    build_index("dense", documents, tmp_path, embedder=Letters())
    with pytest.raises(InvalidInput, match="--embedder"):
        open_index(tmp_path, "dense")


def test_unknown_kinds_list_the_known_ones(tmp_path):
    for attempt in (needs_embedder, lambda kind: build_index(kind, documents, tmp_path / "x")):
        with pytest.raises(UnknownName, match="bm25, dense, hybrid"):
            attempt("splade")
    assert not (tmp_path / "x").exists()
    assert [needs_embedder(kind) for kind in KINDS] == [False, True, True]
