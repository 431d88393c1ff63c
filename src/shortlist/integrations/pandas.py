"""Frames in and out: rerank the rows of a DataFrame, or go between frames and the library's own values.

Needs ``pandas`` 2 or later (``pip install 'shortlist[pandas]'``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from shortlist.errors import InvalidInput
from shortlist.integrations.base import (
    FIRST,
    SCORE,
    STATUS,
    Bridge,
    OnError,
    Passage,
    TopN,
    check_top_n,
    falling,
    framework,
    number,
    places,
)
from shortlist.rerankers.base import Ranker
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest

with framework("pandas", "pandas"):
    import pandas as pd

KEPT = "kept"
"""The column that says whether a row is above the cutoff."""
_RANK = "rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a frame's columns are called. Without a ``qid`` column, rows of the same query text belong together.

    ``score`` and ``rank`` are the first stage's if they are there (an order by rank is preferred to one by score, and
    that to the order of the rows), and the reranker's in what comes back.
    """

    qid: str = "qid"
    query: str = "query"
    docno: str = "docno"
    text: str = "text"
    title: str = "title"
    score: str = "score"


def rerank(
    frame: pd.DataFrame,
    reranker: str | Ranker | Bridge,
    *,
    columns: Columns = Columns(),
    top_n: TopN = None,
    on_error: OnError = "report",
    cache: str | os.PathLike[str] | None = None,
    first_rank: int = 1,
) -> pd.DataFrame:
    """A new frame with the same rows, reranked: queries in their order, best passages first, other columns untouched.

    ``score`` falls strictly within a query: the reranker's own, or n, … 2, 1 where it has none or there are ties.
    ``relevance_score`` holds its own in any case (NaN: none), ``retrieval_score`` the first stage's, ``rank`` the place
    from ``first_rank``, ``kept`` whether it is above the reranker's cutoff, ``rerank_status`` how it came about.
    """
    check_top_n(top_n)
    bridge = reranker if isinstance(reranker, Bridge) else Bridge(reranker, on_error=on_error, cache=cache)
    groups = _groups(frame, columns)
    rankings = bridge.rank_many((query, [passage for _, passage in rows]) for query, rows in groups)
    order: list[int] = []
    told: list[dict[str, Any]] = []
    for (_, rows), ranking in zip(groups, rankings, strict=True):
        scores = falling(ranking)
        for place in places(ranking, top_n):
            order.append(rows[place.index][0])
            row = _told(place.score, place.first, place.status, kept=place.kept)
            told.append(row | {columns.score: scores[place.rank - 1], _RANK: place.rank - 1 + first_rank})
    return _joined(frame.iloc[order], told, columns)


def requests(frame: pd.DataFrame, columns: Columns = Columns()) -> Iterator[RerankRequest]:
    """One request a query, for :meth:`shortlist.Shortlist.rank_many` and the like; needs a ``docno`` column."""
    _need(frame, columns.docno)
    docnos = frame[columns.docno].astype(str).tolist()
    for query, rows in _groups(frame, columns):
        found = (
            Candidate(Document(id=docnos[at], text=passage.text, title=passage.title), passage.score)
            for at, passage in rows
        )
        yield RerankRequest(query, tuple(found))


def to_frame(rankings: Iterable[Ranking], columns: Columns = Columns(), *, top_n: TopN = None) -> pd.DataFrame:
    """One row a passage, of as many rankings as there are, with the columns that :func:`rerank` adds."""
    check_top_n(top_n)
    rows: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    for ranking in rankings:
        scores = falling(ranking)
        for place in places(ranking, top_n):
            document = ranking.request.candidates[place.index].document
            row = {columns.qid: ranking.query.id, columns.query: ranking.query.text, columns.docno: document.id}
            rows.append(row | {columns.text: document.text, columns.title: document.title})
            new = _told(place.score, place.first, place.status, kept=place.kept)
            told.append(new | {columns.score: scores[place.rank - 1], _RANK: place.rank})
    names = [columns.qid, columns.query, columns.docno, columns.text, columns.title]
    return _joined(pd.DataFrame(rows, columns=names), told, columns)


def _told(score: float | None, first: float | None, status: str, *, kept: bool) -> dict[str, Any]:
    return {SCORE: score, FIRST: first, STATUS: status, KEPT: kept}


def _joined(rows: pd.DataFrame, told: list[dict[str, Any]], columns: Columns) -> pd.DataFrame:
    """The rows with what is told of them; an earlier first-stage score stands."""
    types = {columns.score: "float64", _RANK: "int64", SCORE: "float64", FIRST: "float64", STATUS: "object", KEPT: bool}
    new = pd.DataFrame(told, columns=list(types)).astype(types)
    whole = rows.reset_index(drop=True)
    if FIRST in whole.columns:
        new[FIRST] = whole[FIRST].astype("float64").fillna(new[FIRST])
    return whole.assign(**{name: new[name] for name in types})


def _groups(frame: pd.DataFrame, columns: Columns) -> list[tuple[Query, list[tuple[int, Passage]]]]:
    """Every query with its rows, as (position in the frame, passage), in the first stage's order."""
    _need(frame, columns.query, columns.text)
    texts, asked = frame[columns.text].tolist(), frame[columns.query].tolist()
    titles = frame[columns.title].tolist() if columns.title in frame.columns else [""] * len(frame)
    scores = frame[columns.score].tolist() if columns.score in frame.columns else [None] * len(frame)
    qids = frame[columns.qid].tolist() if columns.qid in frame.columns else asked
    members: dict[Any, list[int]] = {}
    for at in _first_stage_order(frame, columns):
        members.setdefault(qids[at], []).append(at)
    groups = []
    for qid in dict.fromkeys(qids):  # in the order of the frame
        rows = members[qid]
        texts_asked = {str(asked[at]) for at in rows}
        if len(texts_asked) > 1:
            raise InvalidInput(
                f"{columns.qid} {qid!r} has several texts, as {sorted(texts_asked)[:2]}; give each an id"
            )
        query = Query(text=str(asked[rows[0]]), id=str(qid))
        passages = (Passage(_text(texts[at], at), number(scores[at]), _title(titles[at])) for at in rows)
        groups.append((query, list(zip(rows, passages, strict=True))))
    return groups


def _first_stage_order(frame: pd.DataFrame, columns: Columns) -> list[int]:
    """Positions of the rows; those of one query stand in the first stage's order."""
    for name, falls in ((_RANK, False), (columns.score, True)):
        if name in frame.columns and frame[name].notna().all():
            keys = frame[name].to_numpy(dtype=float)
            return [int(at) for at in (-keys if falls else keys).argsort(kind="stable")]
    return list(range(len(frame)))


def _need(frame: pd.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InvalidInput(f"no column {missing[0]!r} among {list(frame.columns)}; name it, as Columns(text='body')")


def _text(value: object, at: int) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"row {at}: the text is {value!r}; give a string")
    return value


def _title(value: object) -> str:
    return value if isinstance(value, str) else ""
