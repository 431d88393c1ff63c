"""TREC runs and judgements: ``qid Q0 docid rank score tag`` and ``qid 0 docid grade``.

As trec_eval does, the rank column is not read: scores order a query's documents, as 32-bit floats, and equal scores
stand by document id, last id first.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from shortlist.data.files import BOM, PathLike, atomic_writer, decode, line_at, lines_of, map_file
from shortlist.data.index import OffsetIndex
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.types import Ranking, Run

Ties = Literal["docid", "file"]
Scored = list[tuple[str, float]]
_WORD = re.compile(r"[^ \t\r\n\v\f]+")  # other blanks, such as the no-break space, may be part of an id


def ranked(scores: Mapping[str, float], ties: Ties = "docid") -> Scored:
    """A query's documents and scores, best first; equal scores by id, last first (trec_eval), or as in the file."""
    if ties == "file":
        return sorted(scores.items(), key=lambda item: -item[1])
    single = array("f", scores.values())
    order = sorted(zip(single, scores.items(), strict=True), key=lambda item: (item[0], item[1][0]), reverse=True)
    return [item for _, item in order]


# ------------------------------------------------------------------------------------------------ runs


class RunFile(Mapping[str, Mapping[str, float]]):
    """A run on disk as a :data:`~shortlist.types.Run`: a query's lines are read when they are asked for.

    What stays in memory is sixteen bytes for each stretch of lines of one query. A query whose lines are scattered
    over the file is put together. Documents stand as in the file; :func:`ranked` sorts them.

    Raises:
        InvalidFile: a line without six columns, a score that is no number, a document that comes twice for a query.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self._data = map_file(path)
        self._index = OffsetIndex(self._stretches())
        again = [later for earlier, later in self._index.repeated() if self._qid(earlier) == self._qid(later)]
        self._firsts = self._index.offsets[~np.isin(self._index.offsets, again)]

    def _stretches(self) -> Iterator[tuple[str, int]]:
        last = None
        for number, (offset, raw) in enumerate(lines_of(self._data), 1):
            columns = raw.removeprefix(BOM).split(None, 1)
            if columns and columns[0] != last:
                last = columns[0]
                yield _columns(decode(raw, self.path, number))[0], offset

    def _qid(self, offset: int) -> str:
        return self._line(offset)[0]

    def _offsets(self, qid: str) -> list[int]:
        return [offset for offset in self._index.find(qid) if self._qid(offset) == qid]

    def _line(self, offset: int) -> list[str]:
        end = self._data.find(b"\n", offset)
        raw = self._data[offset : end if end >= 0 else len(self._data)]
        return _columns(decode(raw, self.path, 0 if offset else 1))

    def __getitem__(self, qid: str) -> dict[str, float]:
        offsets = self._offsets(qid)
        if not offsets:
            raise KeyError(qid)
        scores: dict[str, float] = {}
        for offset in offsets:
            self._read_stretch(qid, offset, scores)
        return scores

    def _read_stretch(self, qid: str, offset: int, scores: dict[str, float]) -> None:
        size = len(self._data)
        while offset < size:
            end = self._data.find(b"\n", offset) + 1 or size
            columns = self._line(offset)
            if columns and columns[0] != qid:
                return
            if columns:
                self._add(columns, offset, scores)
            offset = end

    def _add(self, columns: list[str], offset: int, scores: dict[str, float]) -> None:
        problem = _wrong(columns, scores)
        if problem:
            raise InvalidFile(self.path, problem, line=line_at(self._data, offset))
        scores[columns[2]] = float(columns[4])

    def __iter__(self) -> Iterator[str]:
        return (self._qid(int(offset)) for offset in self._firsts)

    def __len__(self) -> int:
        return len(self._firsts)


def _columns(line: str) -> list[str]:
    return _WORD.findall(line)


def _wrong(columns: list[str], scores: Mapping[str, float]) -> str:
    """What is wrong with a line of a run; nothing if nothing is."""
    if len(columns) != 6:
        return f"{len(columns)} columns, not the six 'qid Q0 docid rank score tag' (ids have no blanks in them)"
    if columns[2] in scores:
        return f"document {columns[2]!r} comes a second time for query {columns[0]!r}"
    try:
        bad = math.isnan(float(columns[4]))
    except ValueError:
        bad = True
    return f"the score {columns[4]!r} is not a number" if bad else ""


def iter_run(path: PathLike, ties: Ties = "docid") -> Iterator[tuple[str, Scored]]:
    """Queries in the order of the file, each with its documents and scores, best first; one query is held."""
    return ((qid, ranked(scores, ties)) for qid, scores in RunFile(path).items())


def read_run(path: PathLike, ties: Ties = "docid") -> dict[str, dict[str, float]]:
    """The whole run, in memory: query → document → score, best first."""
    return {qid: dict(scored) for qid, scored in iter_run(path, ties)}


def run_block(qid: str, docids: Sequence[str], scores: Sequence[float] | None = None, tag: str = "shortlist") -> str:
    """The lines of one query, documents given best first, with their line ends.

    The scores are written if they fall strictly even as 32-bit floats; if not, or if there are none, n, n-1, … 1 are,
    so that every reader sees this order.

    Raises:
        InvalidInput: an id or the tag is empty or has blanks, which the format has no way to write.
    """
    for what, word in (("query id", qid), ("tag", tag), *(("document id", docid) for docid in docids)):
        if word.split() != [word]:
            raise InvalidInput(
                f"the {what} {word!r} is empty or has blanks, which a TREC file cannot hold; write JSONL"
            )
    if scores is None or not _falls(scores):
        scores = range(len(docids), 0, -1)
    rows = zip(docids, scores, strict=True)
    return "".join(f"{qid} Q0 {docid} {rank} {score} {tag}\n" for rank, (docid, score) in enumerate(rows, 1))


def _falls(scores: Sequence[float]) -> bool:
    try:
        single = array("f", scores)
    except OverflowError:
        return False
    return all(map(math.isfinite, single)) and all(high > low for high, low in pairwise(single))


def ranking_block(ranking: Ranking, tag: str = "shortlist") -> str:
    """The lines of one ranking: all its documents, those after the cutoff too."""
    return run_block(ranking.query.id, ranking.ids, ranking.scores, tag)


def write_run(path: PathLike, run: Run | Iterable[Ranking], tag: str = "shortlist") -> int:
    """Write rankings, or a run, as they come; gives the number of queries. All or nothing is written."""
    if isinstance(run, Mapping):
        entries = ((qid, ranked(scores)) for qid, scores in run.items())
        blocks = (run_block(qid, [d for d, _ in best], [s for _, s in best], tag) for qid, best in entries)
    else:
        blocks = (ranking_block(ranking, tag) for ranking in run)
    return write_blocks(path, blocks)


def write_blocks(path: PathLike, blocks: Iterable[str]) -> int:
    """Write the blocks of :func:`run_block`, all or none; gives how many."""
    count = 0
    with atomic_writer(path) as file:
        for block in blocks:
            file.write(block.encode())
            count += 1
    return count
