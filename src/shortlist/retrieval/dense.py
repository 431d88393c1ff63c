"""Dense retrieval: exact search over unit vectors held in one memory-mapped file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from shortlist.backends.base import Embedder, Vectors
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.retrieval.base import Hits
from shortlist.retrieval.bm25 import read_about, read_ids, top_k, write_ids
from shortlist.types import Document, Query

_ROWS_A_BLOCK = 65_536  # 100 MB of 384 dimensions: the products of a block fit in memory whatever the corpus


@dataclass(frozen=True)
class Dense:
    """An index of passage vectors; scores are inner products of unit vectors (cosines)."""

    ids: Sequence[str]
    vectors: Vectors = field(repr=False)
    embedder: Embedder = field(repr=False)
    name: str = "dense"

    @classmethod
    def build(
        cls, documents: Iterable[Document], embedder: Embedder, folder: Path, *, batch: int = 256, resume: bool = False
    ) -> Self:
        """Embed a stream of documents into ``folder``, row by row on disk.

        With ``resume`` the rows that an earlier, interrupted build wrote are kept; the documents must come in the same
        order (their ids are checked).
        """
        folder.mkdir(parents=True, exist_ok=True)
        done = _finished_rows(folder, embedder) if resume else []
        if not done:
            (folder / "index.json").unlink(missing_ok=True)
        source = iter(documents)
        for row, known in enumerate(done):
            document = next(source, None)
            if document is None or document.id != known:
                found = repr(document.id) if document else "no more documents"
                raise InvalidFile(folder, f"row {row} is document {known!r}; the corpus has {found} there")
        with (
            (folder / "ids.jsonl").open("a" if done else "w", encoding="utf-8") as ids_file,
            (folder / "vectors.f32").open("ab" if done else "wb") as vectors_file,
        ):
            while chunk := list(itertools.islice(source, batch)):
                vectors = embedder.embed([document.full_text for document in chunk], role="passage")
                _note(folder, embedder, vectors.shape[1])
                vectors_file.write(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
                vectors_file.flush()
                ids_file.writelines(json.dumps(d.id, ensure_ascii=False) + "\n" for d in chunk)
                ids_file.flush()
        return cls.load(folder, embedder)

    @classmethod
    def load(cls, folder: Path, embedder: Embedder) -> Self:
        """The index that :meth:`build` wrote, its vectors memory-mapped; the embedder must be the same."""
        about = read_about(folder, "dense")
        if about["embedder"] != embedder.identity:
            made_by = about["embedder"]
            raise InvalidInput(f"{folder} was embedded by {made_by}, not by {embedder.identity}; index again with this")
        ids = read_ids(folder)
        dimensions = int(about["dimensions"])
        rows = (folder / "vectors.f32").stat().st_size // (4 * dimensions)
        if rows != len(ids):
            raise InvalidFile(folder, f"{rows} vectors for {len(ids)} ids: an unfinished index; go on with --resume")
        vectors = np.memmap(folder / "vectors.f32", dtype=np.float32, mode="r", shape=(rows, dimensions))
        return cls(ids, vectors, embedder)

    def retrieve(self, queries: Iterable[Query], /, *, depth: int = 100) -> Iterator[Hits]:
        """The best ``depth`` documents of each query; queries are embedded 64 at a time."""
        if depth < 1:
            raise InvalidInput(f"depth is {depth}; give 1 or more")
        source = iter(queries)
        while chunk := list(itertools.islice(source, 64)):
            yield from self._search(chunk, min(depth, len(self.ids)))

    def _search(self, queries: list[Query], depth: int) -> Iterator[Hits]:
        query_vectors = self.embedder.embed([_asked(query) for query in queries], role="query")
        found: list[list[tuple[float, int]]] = [[] for _ in queries]
        for start in range(0, len(self.ids), _ROWS_A_BLOCK):
            products = query_vectors @ np.asarray(self.vectors[start : start + _ROWS_A_BLOCK]).T
            for best, scores in zip(found, products, strict=True):
                best.extend((float(scores[row]), start + int(row)) for row in top_k(scores, min(depth, len(scores))))
        for query, best in zip(queries, found, strict=True):
            best.sort(key=lambda pair: (-pair[0], pair[1]))
            rows = best[:depth]
            yield Hits(query, tuple(self.ids[row] for _, row in rows), tuple(score for score, _ in rows))


def _asked(query: Query) -> str:
    return f"{query.instruction} {query.text}" if query.instruction else query.text


def _note(folder: Path, embedder: Embedder, dimensions: int) -> None:
    about = folder / "index.json"
    if not about.exists():
        told = {"kind": "dense", "embedder": embedder.identity, "dimensions": dimensions}
        about.write_text(json.dumps(told, indent=1), encoding="utf-8")


def _finished_rows(folder: Path, embedder: Embedder) -> list[str]:
    """The ids of the rows that are whole, after cutting off what an interruption left torn."""
    if not (folder / "index.json").exists():
        return []
    about = read_about(folder, "dense")
    if about["embedder"] != embedder.identity:
        raise InvalidInput(f"{folder} was begun with {about['embedder']}; go on with that model, or start anew")
    width = 4 * int(about["dimensions"])
    lines = (folder / "ids.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    rows = min(len(lines), (folder / "vectors.f32").stat().st_size // width)
    with (folder / "vectors.f32").open("r+b") as file:
        file.truncate(rows * width)
    ids = [json.loads(line) for line in lines[:rows]]
    write_ids(folder, ids)
    return ids
