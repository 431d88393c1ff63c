"""A corpus on disk as a mapping: any document by its id, all of them in file order, none of them held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, ValuesView

from shortlist.data.files import PathLike, decode, line_at, lines_of, map_file, parse_object
from shortlist.data.index import OffsetIndex
from shortlist.data.records import document_of, read_as
from shortlist.errors import InvalidFile
from shortlist.types import Document


class Corpus(Mapping[str, Document]):
    """Document id → document, over JSONL of any of the field's shapes (:mod:`shortlist.data.records`).

    Every line is checked at the beginning; what stays in memory is sixteen bytes a document. A gzip file is unpacked
    to an unnamed temporary file. ``values()`` gives the documents in file order.

    Raises:
        InvalidFile: a line that is no document, or an id that comes twice; with the line.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self._data = map_file(path)
        self._index = OffsetIndex(self._entries())
        self._forbid_repeats()

    def _entries(self) -> Iterator[tuple[str, int]]:
        for number, (offset, raw) in enumerate(lines_of(self._data), 1):
            if not raw.isspace():
                yield self._read(raw, number).id, offset

    def _read(self, raw: bytes, number: int) -> Document:
        record = parse_object(decode(raw, self.path, number), self.path, number)
        return read_as(document_of, record, self.path, number)

    def _at(self, offset: int) -> Document:
        end = self._data.find(b"\n", offset)
        raw = self._data[offset : end if end >= 0 else len(self._data)]
        return self._read(raw, 0 if offset else 1)

    def _forbid_repeats(self) -> None:
        for earlier, later in self._index.repeated():
            docid = self._at(later).id
            if self._at(earlier).id == docid:
                problem = (
                    f"document id {docid!r} was there before, in line {line_at(self._data, earlier)}; make ids unique"
                )
                raise InvalidFile(self.path, problem, line=line_at(self._data, later))

    def __getitem__(self, docid: str) -> Document:
        for offset in self._index.find(docid):
            if (document := self._at(offset)).id == docid:
                return document
        raise KeyError(docid)

    def __iter__(self) -> Iterator[str]:
        return (document.id for document in self.values())

    def __len__(self) -> int:
        return len(self._index)

    def values(self) -> ValuesView[Document]:
        """The documents in file order."""
        return InOrder(self, self._in_order)

    def _in_order(self) -> Iterator[Document]:
        return (self._at(int(offset)) for offset in self._index.offsets)


class InOrder(ValuesView[Document]):
    """A mapping's values by one walk over the source, instead of a look-up by each id."""

    def __init__(self, documents: Mapping[str, Document], walk: Callable[[], Iterator[Document]]) -> None:
        super().__init__(documents)
        self._walk = walk

    def __iter__(self) -> Iterator[Document]:
        return self._walk()
