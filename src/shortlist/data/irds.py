"""Collections of ``ir_datasets`` by their id, such as ``beir/scifact/test``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shortlist.data.corpus import InOrder
from shortlist.errors import InvalidInput, MissingExtra, UnknownName
from shortlist.types import Document, Query

_KNOWN = frozenset({"doc_id", "query_id", "text", "title", "default_text"})


@dataclass(frozen=True)
class IrdsCollection:
    """A dataset of ``ir_datasets``; a split is the last part of a longer id (``beir/scifact`` and ``test``).

    Raises:
        MissingExtra: the package is not installed.
        UnknownName, InvalidInput: no such dataset, or one without what was asked of it.
    """

    id: str

    def __post_init__(self) -> None:
        self._dataset(None)

    @property
    def name(self) -> str:
        """The id."""
        return self.id

    @property
    def splits(self) -> tuple[str, ...]:
        """None that could be listed: each is a dataset of its own."""
        return ()

    @cached_property
    def corpus(self) -> Mapping[str, Document]:
        """The documents, from the package's own store; asking for it may download and unpack them."""
        return _Docs(self._part(None, "docs"))

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """The queries, in the dataset's order."""
        return map(_query, self._part(split, "queries").queries_iter())

    def qrels(self, split: str | None = None) -> dict[str, dict[str, int]]:
        """The judgements."""
        found: dict[str, dict[str, int]] = {}
        for judgement in self._part(split, "qrels").qrels_iter():
            found.setdefault(judgement.query_id, {})[judgement.doc_id] = int(judgement.relevance)
        return found

    def run(self, split: str | None = None) -> dict[str, dict[str, float]]:
        """The first-stage run that the dataset brings (its ``scoreddocs``), in memory."""
        found: dict[str, dict[str, float]] = {}
        for scored in self._part(split, "scoreddocs").scoreddocs_iter():
            found.setdefault(scored.query_id, {})[scored.doc_id] = float(scored.score)
        return found

    def _part(self, split: str | None, part: str) -> Any:
        dataset = self._dataset(split)
        if not getattr(dataset, f"has_{part}")():
            longer = "" if split else "; a longer id, or a split, may have them"
            raise InvalidInput(f"ir_datasets {self._full(split)!r} has no {part}{longer}")
        return dataset

    def _dataset(self, split: str | None) -> Any:
        try:
            import ir_datasets
        except ImportError:
            raise MissingExtra("ir_datasets", "datasets") from None
        try:
            return ir_datasets.load(self._full(split))
        except KeyError:
            base = self.id.split("/")[0]
            raise UnknownName("dataset of ir_datasets", self._full(split), _related(ir_datasets, base)) from None

    def _full(self, split: str | None) -> str:
        return f"{self.id}/{split}" if split else self.id


def _related(package: Any, base: str) -> list[str]:
    """Ids that begin alike, if the package can list its ids."""
    try:
        return [known for known in package.registry if str(known).startswith(base)]
    except (AttributeError, TypeError):
        return []


class _Docs(Mapping[str, Document]):
    """A dataset's documents as a mapping."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    @cached_property
    def _store(self) -> Any:
        return self._dataset.docs_store()

    def __getitem__(self, docid: str) -> Document:
        return _document(self._store.get(docid))

    def __iter__(self) -> Iterator[str]:
        return (doc.doc_id for doc in self._dataset.docs_iter())

    def __len__(self) -> int:
        return int(self._dataset.docs_count())

    def values(self) -> ValuesView[Document]:
        """The documents in the dataset's order, without a look-up by each id."""
        return InOrder(self, self._in_order)

    def _in_order(self) -> Iterator[Document]:
        return map(_document, self._dataset.docs_iter())


def _text(record: Any) -> str:
    return str(record.text if hasattr(record, "text") else record.default_text())


def _rest(record: Any) -> dict[str, Any]:
    fields = record._asdict() if hasattr(record, "_asdict") else {}
    nested = fields.pop("metadata", None)
    rest = {name: value for name, value in fields.items() if name not in _KNOWN}
    return {**(nested if isinstance(nested, dict) else {}), **rest}


def _document(record: Any) -> Document:
    title = str(getattr(record, "title", "") or "")
    if not hasattr(record, "text"):
        title = ""  # the default text holds the title
    return Document(id=record.doc_id, text=_text(record), title=title, metadata=_rest(record))


def _query(record: Any) -> Query:
    return Query(id=record.query_id, text=_text(record), metadata=_rest(record))
