"""Building and opening first-stage indexes by kind: ``bm25``, ``dense`` or ``hybrid`` (both, fused)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeAlias

from shortlist.backends.base import Embedder
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.retrieval.base import Retriever
from shortlist.retrieval.bm25 import BM25
from shortlist.retrieval.dense import Dense
from shortlist.retrieval.hybrid import Hybrid
from shortlist.types import Document

Kind: TypeAlias = Literal["bm25", "dense", "hybrid"]
KINDS: tuple[Kind, ...] = ("bm25", "dense", "hybrid")
Documents: TypeAlias = Callable[[], Iterable[Document]]


def build_index(
    kind: str, documents: Documents, folder: Path, *, embedder: Embedder | None = None, resume: bool = False
) -> Retriever:
    """Build the index of a kind into ``folder``: ``folder/bm25``, ``folder/dense``, or both for a hybrid."""
    needs_embedder(kind)
    folder.mkdir(parents=True, exist_ok=True)
    if kind in {"bm25", "hybrid"}:
        (folder / "bm25").mkdir(exist_ok=True)
        BM25.build(documents()).save(folder / "bm25")
    if kind in {"dense", "hybrid"}:
        Dense.build(documents(), _needed(embedder, kind), folder / "dense", resume=resume)
    return open_index(folder, kind, embedder=embedder)


def index_kinds(folder: Path) -> tuple[str, ...]:
    """The kinds of retriever that an index folder can serve."""
    there = [kind for kind in ("bm25", "dense") if (folder / kind / "index.json").is_file()]
    return (*there, "hybrid") if len(there) == 2 else tuple(there)


def open_index(folder: Path, kind: str, *, embedder: Embedder | None = None) -> Retriever:
    """The retriever of a kind over an index folder."""
    needs_embedder(kind)
    served = index_kinds(folder)
    if kind not in served:
        raise InvalidFile(folder, f"this index serves {', '.join(served) or 'nothing'}, not {kind}; build it first")
    if kind == "bm25":
        return BM25.load(folder / "bm25")
    dense = Dense.load(folder / "dense", _needed(embedder, kind))
    return dense if kind == "dense" else Hybrid((BM25.load(folder / "bm25"), dense))


def needs_embedder(kind: str) -> bool:
    """Whether a kind needs an embedding model; a kind that there is not is an error that lists the kinds."""
    if kind not in KINDS:
        raise UnknownName("retriever", kind, KINDS)
    return kind != "bm25"


def _needed(embedder: Embedder | None, kind: str) -> Embedder:
    if embedder is None:
        raise InvalidInput(f"a {kind} index needs an embedding model, as in --embedder bge-small")
    return embedder
