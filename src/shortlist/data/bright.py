"""The layouts of two reasoning-heavy benchmarks, BRIGHT and R2MED, each a folder for one of its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from shortlist.data.beir import read_queries
from shortlist.data.collection import need_file
from shortlist.data.corpus import Corpus
from shortlist.data.files import read_jsonl
from shortlist.data.qrels import read_qrels
from shortlist.errors import InvalidFile, UnknownName
from shortlist.types import Query


@dataclass(frozen=True)
class _OneSplit:
    """A folder whose queries are all of one part."""

    folder: Path

    query_file: ClassVar[str] = ""
    corpus_file: ClassVar[str] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def splits(self) -> tuple[str, ...]:
        """There are none."""
        return ()

    @cached_property
    def corpus(self) -> Corpus:
        """The documents; every line is read once, at the first use."""
        return Corpus(need_file(self.folder, self.corpus_file))

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """All queries; there are no splits."""
        self._no_split(split)
        return read_queries(need_file(self.folder, self.query_file))

    def _no_split(self, split: str | None) -> None:
        if split is not None:
            raise UnknownName("split", split, self.splits)


class BrightCollection(_OneSplit):
    """A BRIGHT task as JSONL: ``examples.jsonl`` (id, query, gold_ids, excluded_ids) and ``documents.jsonl``.

    ``excluded_ids`` stay in the query's metadata, where :func:`~shortlist.data.collection.excluded_ids` finds them:
    joining a run drops them. Judgements are the gold ids, each of grade 1.
    """

    files: ClassVar[tuple[str, ...]] = ("examples.jsonl", "documents.jsonl")
    layout: ClassVar[str] = "BRIGHT"
    query_file: ClassVar[str] = "examples.jsonl"
    corpus_file: ClassVar[str] = "documents.jsonl"

    def qrels(self, split: str | None = None) -> dict[str, dict[str, int]]:
        """The gold ids, as judgements."""
        self._no_split(split)
        path = need_file(self.folder, self.query_file)
        return {str(record.get("id")): _gold(record, path, number) for number, record in read_jsonl(path)}


def _gold(record: dict[str, Any], path: Path, number: int) -> dict[str, int]:
    gold = record.get("gold_ids")
    if not isinstance(gold, list):
        raise InvalidFile(path, f"gold_ids is {gold!r}, not a list of document ids", line=number)
    return {str(docid): 1 for docid in gold}


class R2MedCollection(_OneSplit):
    """An R2MED task: ``query.jsonl``, ``corpus.jsonl`` and ``qrels.txt``."""

    files: ClassVar[tuple[str, ...]] = ("query.jsonl", "corpus.jsonl", "qrels.txt")
    layout: ClassVar[str] = "R2MED"
    query_file: ClassVar[str] = "query.jsonl"
    corpus_file: ClassVar[str] = "corpus.jsonl"

    def qrels(self, split: str | None = None) -> dict[str, dict[str, int]]:
        """The judgements of ``qrels.txt``."""
        self._no_split(split)
        return read_qrels(need_file(self.folder, "qrels.txt"))
