"""Reading and writing requests in the forms that other reranking and RAG projects use.

A form is a value: how to know it, read it and write it. A new one is one more entry in :data:`FORMATS`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shortlist.data.files import JsonObject, PathLike, read_json_records, write_jsonl
from shortlist.data.jsonl import number_from_json, ranking_to_json, request_from_json, request_to_json
from shortlist.data.records import ANSWERS, ID, document_of, query_of, read_as, strings
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.types import Candidate, Document, Query, Ranking, RerankRequest

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Format:
    """A form of requests on lines of JSON, or in one JSON array.

    ``read`` is also given an id for a record that has none. A candidate without a score is written with its place
    counted from the end (n, n-1, … 1), where a form demands one.
    """

    name: str
    shape: str
    recognises: Callable[[JsonObject], bool]
    read: Callable[[JsonObject, str], RerankRequest]
    write: Callable[[RerankRequest], JsonObject]


def read_requests(path: PathLike, format: str | None = None) -> Iterator[RerankRequest]:  # noqa: A002
    """The requests of a file, as they are needed; its form is told by its first record unless it is given.

    Raises:
        UnknownName: no such form.
        InvalidFile: a form that is not known, or a record that is not of the form.
    """
    form = None if format is None else find_format(format)
    for place, (line, record) in enumerate(read_json_records(path), 1):
        if form is None:
            form = _recognise(record, path, line)
        yield _read_one(form, record, str(place), path, line)


def _read_one(form: Format, record: JsonObject, own: str, path: PathLike, line: int | None) -> RerankRequest:
    return read_as(lambda value: form.read(dict(value), own), record, path, line)


def write_requests(
    path: PathLike,
    items: Iterable[RerankRequest | Ranking],
    format: str = "shortlist",  # noqa: A002
) -> int:
    """Write requests or rankings on lines of JSON, all or none; gives how many.

    In the forms of others a ranking is its candidates best first, with its own scores, or places counted from the end
    if it has none, and a field ``cutoff`` if it has one.
    """
    form = find_format(format)
    return write_jsonl(path, (to_record(item, form) for item in items))


def to_record(item: RerankRequest | Ranking, form: Format) -> JsonObject:
    """A request or a ranking as an object of a form."""
    if isinstance(item, RerankRequest):
        return form.write(item)
    if form is SHORTLIST:
        return ranking_to_json(item)
    record = form.write(_listed(item))
    return record if item.cutoff is None else {**record, "cutoff": item.cutoff}


def find_format(name: str) -> Format:
    """A form by its name."""
    if name not in FORMATS:
        raise UnknownName("format of requests", name, FORMATS)
    return FORMATS[name]


def _listed(ranking: Ranking) -> RerankRequest:
    """The candidates in the ranking's order under the ranking's scores."""
    scores = ranking.scores or (None,) * len(ranking)
    ranked = zip(ranking.candidates, scores, strict=True)
    return RerankRequest(ranking.query, tuple(Candidate(candidate.document, score) for candidate, score in ranked))


def _recognise(record: JsonObject, path: PathLike, line: int | None) -> Format:
    for form in FORMATS.values():
        if form.recognises(record):
            return form
    shapes = "; ".join(f"{form.name} {form.shape}" for form in FORMATS.values())
    raise InvalidFile(path, f"requests of no known form; fields: {', '.join(record)}. Known: {shapes}", line=line)


# ------------------------------------------------------------------------------------------------ parts


def _scores(request: RerankRequest) -> list[float]:
    n = len(request.candidates)
    return [float(n - place) if c.score is None else c.score for place, c in enumerate(request.candidates)]


def _score(record: JsonObject) -> float | None:
    score = record.pop("score", None)
    return None if score is None else number_from_json(score)


def _objects(value: object, name: str) -> list[JsonObject]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InvalidInput(f"{name!r} is not a list of objects")
    return [dict(one) for one in value]


def _own_id(record: JsonObject, otherwise: str) -> str:
    return next((str(record[name]) for name in (*ID, "q_id") if record.get(name) not in {None, ""}), otherwise)


def _named(document: Document) -> JsonObject:
    return {"title": document.title, "text": document.text} if document.title else {"text": document.text}


# ------------------------------------------------------------------------------------------------ the forms

SHORTLIST = Format(
    "shortlist",
    '{"query": {"id", "text"}, "candidates": [{"id", "text", "score"}]}',
    lambda record: isinstance(record.get("query"), dict) and "candidates" in record and "qid" not in record["query"],
    lambda record, _: request_from_json(record),
    request_to_json,
)


def _read_rank_llm(record: JsonObject, otherwise: str) -> RerankRequest:
    asked = record["query"] if isinstance(record.get("query"), dict) else {"text": record.get("query")}
    query = query_of({**asked, "qid": _own_id(asked, otherwise)})
    return RerankRequest(query, tuple(map(_rank_llm_candidate, _objects(record.get("candidates"), "candidates"))))


def _rank_llm_candidate(record: JsonObject) -> Candidate:
    doc = record.get("doc")
    fields = doc if isinstance(doc, dict) else {"text": doc}
    return Candidate(document_of({**fields, "_id": record.get("docid")}), _score(record))


def _write_rank_llm(request: RerankRequest) -> JsonObject:
    listed = zip(request.candidates, _scores(request), strict=True)
    candidates = [{"docid": c.id, "score": score, "doc": _named(c.document)} for c, score in listed]
    return {"query": {"text": request.query.text, "qid": request.query.id}, "candidates": candidates}


def _read_rankgpt(record: JsonObject, otherwise: str) -> RerankRequest:
    hits = _objects(record.get("hits"), "hits")
    own = _own_id(record, str(hits[0]["qid"]) if hits and "qid" in hits[0] else otherwise)
    query = query_of({"qid": own, "text": record.get("query")})
    return RerankRequest(query, tuple(map(_hit, hits, map(str, range(len(hits))))))


def _hit(hit: JsonObject, place: str) -> Candidate:
    return Candidate(Document(id=str(hit.get("docid", place)), text=str(hit.get("content", ""))), _score(hit))


def _write_rankgpt(request: RerankRequest) -> JsonObject:
    qid, rows = request.query.id, enumerate(zip(request.candidates, _scores(request), strict=True), 1)
    hits = [
        {"content": c.document.full_text, "qid": qid, "docid": c.id, "rank": rank, "score": score}
        for rank, (c, score) in rows
    ]
    return {"query": request.query.text, "hits": hits} | ({} if hits else {"qid": qid})


def _read_dpr(record: JsonObject, otherwise: str) -> RerankRequest:
    ctxs = [(_score(ctx), ctx) for ctx in _objects(record.get("ctxs"), "ctxs")]
    candidates = [Candidate(document_of({"id": str(i), **ctx}), score) for i, (score, ctx) in enumerate(ctxs)]
    return RerankRequest(_question(record, otherwise), tuple(candidates))


def _question(record: JsonObject, otherwise: str) -> Query:
    answers = next((strings(record[name], name) for name in ANSWERS if name in record), ())
    metadata = record.get("metadata")
    return Query(
        id=_own_id(record, otherwise),
        text=str(record.get("question") or ""),
        answers=answers,
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def _write_dpr(request: RerankRequest) -> JsonObject:
    query = request.query
    ctxs = [
        _ctx(c.document, score, query.answers) for c, score in zip(request.candidates, _scores(request), strict=True)
    ]
    return {"id": query.id, "question": query.text, "answers": list(query.answers), "ctxs": ctxs}


def _ctx(document: Document, score: float, answers: Sequence[str]) -> JsonObject:
    told: dict[str, Any] = {"id": document.id, "title": document.title, "text": document.text, "score": score}
    return {**told, "has_answer": has_answer(document.text, answers)}


def has_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether the words of an answer stand in the text in a row, whatever their case (DPR's test)."""
    words = _words(text)
    return any(answer != "  " and answer in words for answer in map(_words, answers))


def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(unicodedata.normalize('NFD', text).lower()))} "


def _read_flashrag(record: JsonObject, otherwise: str) -> RerankRequest:
    output = record.get("output")
    found = _objects((output if isinstance(output, dict) else {}).get("retrieval_result", []), "retrieval_result")
    candidates = [(_score(one), document_of(one)) for one in found]
    return RerankRequest(_question(record, otherwise), tuple(Candidate(doc, score) for score, doc in candidates))


def _write_flashrag(request: RerankRequest) -> JsonObject:
    query, rows = request.query, zip(request.candidates, _scores(request), strict=True)
    found = [{"id": c.id, **_named(c.document), "contents": _contents(c.document), "score": score} for c, score in rows]
    asked = {"id": query.id, "question": query.text, "golden_answers": list(query.answers)}
    return {**asked, "metadata": dict(query.metadata), "output": {"retrieval_result": found}}


def _contents(document: Document) -> str:
    return f"{document.title}\n{document.text}" if document.title else document.text


RANK_LLM = Format(
    "rank_llm",
    '{"query": {"qid", "text"}, "candidates": [{"docid", "score", "doc"}]}',
    lambda record: "query" in record and "candidates" in record,
    _read_rank_llm,
    _write_rank_llm,
)
RANKGPT = Format(
    "rankgpt",
    '{"query", "hits": [{"docid", "content", "qid", "rank", "score"}]}',
    lambda record: "query" in record and "hits" in record,
    _read_rankgpt,
    _write_rankgpt,
)
DPR = Format(
    "dpr",
    '{"question", "answers", "ctxs": [{"id", "title", "text", "score", "has_answer"}]}',
    lambda record: "question" in record and "ctxs" in record,
    _read_dpr,
    _write_dpr,
)
FLASHRAG = Format(
    "flashrag",
    '{"id", "question", "golden_answers", "output": {"retrieval_result": [{"id", "contents"}]}}',
    lambda record: "question" in record and "golden_answers" in record,
    _read_flashrag,
    _write_flashrag,
)

FORMATS: dict[str, Format] = {form.name: form for form in (SHORTLIST, RANK_LLM, RANKGPT, DPR, FLASHRAG)}
"""The forms by name, in the order in which they are tried."""
