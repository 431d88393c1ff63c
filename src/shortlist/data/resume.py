"""Output that a stopped job goes on with: blocks of lines appended query by query, whole ones known at the start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shortlist.data.files import JsonObject, PathLike, json_line, parse_object
from shortlist.data.trec import ranking_block
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.types import Ranking

KeyOf = Callable[[JsonObject], str]


def query_id(record: Mapping[str, Any]) -> str:
    """The query id of a record of Shortlist's own, or of one with a plain field for it."""
    query = record.get("query")
    holder = query if isinstance(query, dict) else record
    for name in ("id", "_id", "qid", "query_id"):
        if holder.get(name) is not None:
            return str(holder[name])
    raise InvalidInput(f"no query id among the fields {', '.join(holder)}")


class ResumableWriter:
    """A file that grows by one query at a time, each written and flushed at once.

    ``done`` are the ids of the queries that the file holds whole (ids are all that is kept of them). What a stop may
    have torn is cut off at the start: of JSONL a last line without its end, or that does not parse; of a TREC run,
    whose lines do not tell where a query ends, the last query, which is to be done again. Use it in a ``with`` block,
    and for one process at a time.

    Raises:
        InvalidFile: the file is torn elsewhere, or not of this kind.
        InvalidInput: a name that ends in ``.gz``; or a query written that is done already.
    """

    def __init__(self, path: PathLike, scan: Callable[[Path], tuple[set[str], int]]) -> None:
        self.path = Path(path)
        if self.path.suffix == ".gz":
            raise InvalidInput(f"{path}: a gzip file cannot be gone on with; write it plain")
        if self.path.is_dir():
            raise InvalidFile(path, "is a folder; give the name of a file to write")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done, whole = scan(self.path) if self.path.exists() else (set(), 0)
        self._file = self.path.open("ab")
        self.dropped = self._file.tell() - whole
        self._file.truncate(whole)

    @classmethod
    def jsonl(cls, path: PathLike, key: KeyOf = query_id) -> Self:
        """For one JSON object a query; ``key`` finds its query id."""
        return cls(path, lambda file: _scan_jsonl(file, key))

    @classmethod
    def trec(cls, path: PathLike) -> Self:
        """For a TREC run."""
        return cls(path, _scan_trec)

    def write(self, qid: str, block: str) -> None:
        """Append the lines of one query, as one write."""
        if qid in self.done:
            raise InvalidInput(f"query {qid!r} is in {self.path} already; leave out the queries that are done")
        self._file.write(block.encode() if block.endswith("\n") or not block else block.encode() + b"\n")
        self._file.flush()
        self.done.add(qid)

    def write_record(self, qid: str, record: Mapping[str, Any]) -> None:
        """Append one JSON object."""
        self.write(qid, json_line(record))

    def write_ranking(self, ranking: Ranking, tag: str = "shortlist") -> None:
        """Append the lines of one ranking to a TREC run."""
        self.write(ranking.query.id, ranking_block(ranking, tag))

    def close(self) -> None:
        """See to it that all is on disk, and close."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes, int, bool]]:
    """Number, line, offset of its end, and whether it is the last, of every line that has its end."""
    with path.open("rb") as file:
        end, held = 0, b""
        for number, raw in enumerate(file):
            if held:
                end += len(held)
                yield number, held, end, False
            held = raw
            if not raw.endswith(b"\n"):
                return
        if held:
            yield number + 1, held, end + len(held), True


def _scan_jsonl(path: Path, key: KeyOf) -> tuple[set[str], int]:
    done: set[str] = set()
    whole = 0
    for number, raw, end, last in _whole_lines(path):
        if raw.isspace():
            whole = end
            continue
        try:
            record = parse_object(raw.decode("utf-8", "replace"), path, number)
        except InvalidFile:
            if last:
                break
            raise
        try:
            done.add(key(record))
        except InvalidInput as problem:
            raise InvalidFile(path, f"{problem}; is it another kind of file?", line=number) from None
        whole = end
    return done, whole


def _scan_trec(path: Path) -> tuple[set[str], int]:
    """Whole are the queries before the last one; the file is cut where the last one begins."""
    done: set[str] = set()
    current, began, before = "", 0, 0
    for number, raw, end, last in _whole_lines(path):
        columns = raw.decode("utf-8", "replace").split()
        if len(columns) != 6 and not last:
            raise InvalidFile(path, f"{len(columns)} columns, not the six of a TREC run", line=number)
        if columns and columns[0] != current:
            done |= {current} - {""}
            current, began = columns[0], before
        before = end
    return done - {current}, began
