"""What a test collection is: queries, judgements and a corpus; and opening one, whatever layout it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from shortlist.errors import InvalidInput
from shortlist.types import Document, Query


class Collection(Protocol):
    """A test collection. ``split`` ``None`` is everything there is, never a favourite part."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names that ``split`` may have."""

    @property
    def corpus(self) -> Mapping[str, Document]:
        """Document id → document; ``values()`` in the order of the source."""

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """The queries in the order of the source, read as they are needed."""

    def qrels(self, split: str | None = None) -> Mapping[str, Mapping[str, int]]:
        """The judgements: query id → document id → grade."""


def excluded_ids(query: Query) -> frozenset[str]:
    """The documents that do not count for a query and may not be among its candidates (BRIGHT's ``excluded_ids``)."""
    listed = query.metadata.get("excluded_ids") or ()
    return frozenset(str(docid) for docid in listed if docid != "N/A")


def open_collection(spec: str | Path) -> Collection:
    """A collection by its folder (BEIR, BRIGHT or R2MED layout) or as ``irds:ID`` (``ir_datasets``).

    Raises:
        InvalidInput: there is no such folder, or it has none of the layouts; says what was looked for.
        MissingExtra: ``irds:`` without the extra ``datasets``.
    """
    from shortlist.data.beir import BeirCollection
    from shortlist.data.bright import BrightCollection, R2MedCollection
    from shortlist.data.irds import IrdsCollection

    if isinstance(spec, str) and spec.startswith("irds:"):
        return IrdsCollection(spec.removeprefix("irds:"))
    folder = Path(spec)
    if not folder.is_dir():
        what = "is a file; give the folder it is in" if folder.is_file() else "does not exist"
        raise InvalidInput(f"the collection folder {str(spec)!r} {what}, or irds:ID for one of ir_datasets")
    layouts = (BeirCollection, BrightCollection, R2MedCollection)
    for layout in layouts:
        if all(find_file(folder, name) for name in layout.files):
            return layout(folder)
    wanted = "; ".join(f"{' and '.join(layout.files)} ({layout.layout})" for layout in layouts)
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise InvalidInput(f"{folder} holds no collection: looked for {wanted}, each also as .gz; found {there}")


def find_file(folder: Path, name: str) -> Path | None:
    """A file of a folder, plain or else with ``.gz``."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def need_file(folder: Path, name: str) -> Path:
    """As :func:`find_file`; what is missing is an error."""
    found = find_file(folder, name)
    if found is None:
        raise InvalidInput(f"{folder} has no {name} (nor {name}.gz)")
    return found
