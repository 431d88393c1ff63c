"""Queries and documents as JSON objects: the one place that knows how the field names their parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shortlist.errors import InvalidFile, InvalidInput, InvalidRequest
from shortlist.types import Document, Query

ID = ("_id", "id", "docid", "doc_id", "qid", "query_id")
DOCUMENT_TEXT = ("text", "contents", "content", "segment", "passage", "body")
QUERY_TEXT = ("text", "query", "question")
ANSWERS = ("answers", "golden_answers", "answer")

T = TypeVar("T")


def document_of(record: Mapping[str, Any]) -> Document:
    """A document from an object of any of the field's shapes; further fields become metadata.

    ``contents`` without a ``title`` is title, line break, text (FlashRAG, Pyserini), the title perhaps in quotes.
    """
    name = _name(record, DOCUMENT_TEXT, "document")
    text, title = _string(record, name), _string(record, "title") if record.get("title") else ""
    if name == "contents" and not title and "\n" in text:
        title, text = text.split("\n", 1)
        title = title.strip().strip('"')
    key = _name(record, ID, "document")
    return Document(id=_id(record[key]), text=text, title=title, metadata=_rest(record, record[key], name, "title"))


def query_of(record: Mapping[str, Any]) -> Query:
    """A query from an object of any of the field's shapes; further fields become metadata."""
    name, key = _name(record, QUERY_TEXT, "query"), _name(record, ID, "query")
    answers = next((answer for answer in ANSWERS if answer in record), "answers")
    return Query(
        id=_id(record[key]),
        text=_string(record, name),
        answers=strings(record.get(answers), answers),
        instruction=_string(record, "instruction") if record.get("instruction") else "",
        metadata=_rest(record, record[key], name, answers, "instruction"),
    )


def document_to_json(document: Document, id_name: str = "_id") -> dict[str, Any]:
    """The object :func:`document_of` reads back."""
    told = {id_name: document.id, "title": document.title, "text": document.text}
    return told | ({"metadata": dict(document.metadata)} if document.metadata else {})


def query_to_json(query: Query, id_name: str = "_id") -> dict[str, Any]:
    """The object :func:`query_of` reads back."""
    told: dict[str, Any] = {id_name: query.id, "text": query.text}
    if query.answers:
        told["answers"] = list(query.answers)
    if query.instruction:
        told["instruction"] = query.instruction
    return told | ({"metadata": dict(query.metadata)} if query.metadata else {})


def read_as(read: Callable[[Mapping[str, Any]], T], record: Mapping[str, Any], path: str | Path, line: int | None) -> T:
    """``read(record)``, where an object that cannot be used is the file's fault and says so."""
    try:
        return read(record)
    except InvalidFile:
        raise
    except (InvalidInput, InvalidRequest) as problem:
        raise InvalidFile(path, str(problem), line=line) from None


def strings(value: object, name: str) -> tuple[str, ...]:
    """Gold answers: a list of strings, one string, or nothing."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(one, str | int | float) for one in value):
        return tuple(map(str, value))
    raise InvalidInput(f"{name!r} is {str(value)[:60]}; make it a list of strings")


def _name(record: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    for name in names:
        if record.get(name) is not None:
            return name
    raise InvalidInput(f"a {what} with none of the fields {', '.join(names)}; it has: {', '.join(record) or 'nothing'}")


def _id(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InvalidInput(f"the id {value!r} is not a string or a whole number")
    return str(value)


def _string(record: Mapping[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise InvalidInput(f"{name!r} is {str(value)[:60]}, not a string")
    return value


def _rest(record: Mapping[str, Any], own_id: object, *used: str) -> dict[str, Any]:
    """The fields not used, and those of ``metadata`` if it is an object. An id said twice is dropped."""
    nested = record.get("metadata")
    rest = {name: value for name, value in record.items() if name not in used and (name not in ID or value != own_id)}
    return rest if not isinstance(nested, dict) else {**nested, **{n: v for n, v in rest.items() if n != "metadata"}}
