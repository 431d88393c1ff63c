"""BEIR's layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv``, and maybe ``splits.json`` and runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from shortlist.data.collection import need_file
from shortlist.data.corpus import Corpus
from shortlist.data.files import PathLike, atomic_writer, json_line, read_jsonl, write_jsonl
from shortlist.data.qrels import read_qrels, write_qrels
from shortlist.data.records import document_to_json, query_of, query_to_json, read_as
from shortlist.data.trec import RunFile, write_run
from shortlist.errors import InvalidFile, UnknownName
from shortlist.types import Document, Qrels, Query, Run


@dataclass(frozen=True)
class BeirCollection:
    """A folder in BEIR's layout, any file of it also as ``.gz``. Files are read when they are asked for.

    A split is what ``splits.json`` (``{split: [query ids]}``) says it is; if that does not name it, the queries judged
    in ``qrels/SPLIT.tsv``. Answers become :attr:`~shortlist.types.Query.answers`, further fields metadata.
    """

    folder: Path

    files: ClassVar[tuple[str, ...]] = ("corpus.jsonl", "queries.jsonl")
    layout: ClassVar[str] = "BEIR"

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of ``splits.json`` and those that have judgements of their own."""
        return tuple(sorted({*self._listed, *self._judged}))

    @cached_property
    def corpus(self) -> Corpus:
        """The documents; every line is read once, at the first use."""
        return Corpus(need_file(self.folder, "corpus.jsonl"))

    def queries(self, split: str | None = None, file: PathLike | None = None) -> Iterator[Query]:
        """The queries of a split, or all; from another ``file`` (in the folder, or a path of its own) if given."""
        wanted = None if split is None else self._members(split)
        path = need_file(self.folder, "queries.jsonl") if file is None else self._beside(file)
        return (query for query in read_queries(path) if wanted is None or query.id in wanted)

    def qrels(self, split: str | None = None) -> dict[str, dict[str, int]]:
        """The judgements of a split, or all."""
        if split is None or split in self._listed:
            merged: dict[str, dict[str, int]] = {}
            for path in self._judged.values():
                for qid, graded in read_qrels(path).items():
                    merged.setdefault(qid, {}).update(graded)
            return merged if split is None else {qid: merged[qid] for qid in self._listed[split] if qid in merged}
        if split not in self._judged:
            raise UnknownName("split", split, self.splits)
        return read_qrels(self._judged[split])

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of the runs that came with the collection: ``run`` and ``run.SYSTEM``."""
        return tuple(sorted(path.name.removesuffix(".gz").removesuffix(".trec") for path in self._run_files()))

    def run(self, name: str = "run") -> RunFile:
        """A run that came with the collection."""
        if name not in self.runs:
            raise UnknownName(f"run of {self.name}", name, self.runs)
        return RunFile(need_file(self.folder, f"{name}.trec"))

    def _run_files(self) -> Iterator[Path]:
        return (path for pattern in ("run*.trec", "run*.trec.gz") for path in self.folder.glob(pattern))

    def _beside(self, file: PathLike) -> Path:
        inside = self.folder / file
        return inside if inside.exists() else Path(file)

    def _members(self, split: str) -> set[str]:
        return set(self._listed[split]) if split in self._listed else set(self.qrels(split))

    @cached_property
    def _judged(self) -> dict[str, Path]:
        paths = [path for pattern in ("*.tsv", "*.tsv.gz") for path in (self.folder / "qrels").glob(pattern)]
        return {path.name.removesuffix(".gz").removesuffix(".tsv"): path for path in sorted(paths)}

    @cached_property
    def _listed(self) -> dict[str, list[str]]:
        path = self.folder / "splits.json"
        if not path.is_file():
            return {}
        try:
            value = json.loads(path.read_bytes())
        except ValueError as problem:
            raise InvalidFile(path, f"not JSON ({problem})") from None
        if not isinstance(value, dict) or not all(isinstance(ids, list) for ids in value.values()):
            raise InvalidFile(path, "not an object of lists of query ids, {split: [id, …]}")
        return {str(split): [str(qid) for qid in ids] for split, ids in value.items()}


def read_queries(path: PathLike) -> Iterator[Query]:
    """The queries of a JSONL file of any of the field's shapes, as they are needed."""
    return (read_as(query_of, record, path, number) for number, record in read_jsonl(path))


def write_collection(
    folder: PathLike,
    *,
    corpus: Iterable[Document],
    queries: Iterable[Query],
    qrels: Mapping[str, Qrels] | None = None,
    runs: Mapping[str, Run] | None = None,
    splits: Mapping[str, Iterable[str]] | None = None,
) -> BeirCollection:
    """Write a collection in BEIR's layout: ``qrels`` by split, ``runs`` by name (``run``, ``run.bm25``)."""
    folder = Path(folder)
    write_jsonl(folder / "corpus.jsonl", map(document_to_json, corpus))
    write_jsonl(folder / "queries.jsonl", map(query_to_json, queries))
    for split, judged in (qrels or {}).items():
        write_qrels(folder / "qrels" / f"{split}.tsv", judged)
    for name, run in (runs or {}).items():
        write_run(folder / f"{name}.trec", run, tag=name.removeprefix("run.") or "run")
    if splits:
        with atomic_writer(folder / "splits.json") as file:
            file.write(json_line({split: list(ids) for split, ids in splits.items()}).encode() + b"\n")
    return BeirCollection(folder)
