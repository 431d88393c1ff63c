"""Judgements: TREC's four columns, BEIR's table with a header, and JSON lines."""

from __future__ import annotations

from collections.abc import Iterator

from shortlist.data.files import PathLike, parse_object, read_lines, write_lines
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.types import Qrels

_JSON_NAMES = (
    ("q_id", "query-id", "query_id", "qid"),
    ("p_id", "corpus-id", "doc_id", "docid"),
    ("score", "relevance"),
)
_HEADERS = ("query-id", "query_id", "qid", "q_id", "topic")
Row = tuple[str, str, str]


def read_qrels(path: PathLike) -> dict[str, dict[str, int]]:
    """Query → document → grade, from any of the three forms, told apart by their lines.

    Raises:
        InvalidFile: a line of another form, a grade that is no whole number, or two grades for one pair.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, (qid, docid, grade) in _rows(path):
        graded = qrels.setdefault(qid, {})
        value = _grade(grade, path, number)
        if graded.setdefault(docid, value) != value:
            problem = f"query {qid!r} and document {docid!r} were graded {graded[docid]} before, now {value}"
            raise InvalidFile(path, problem, line=number)
    return qrels


def _rows(path: PathLike) -> Iterator[tuple[int, Row]]:
    for number, line in read_lines(path):
        if line.lstrip().startswith("{") and line.rstrip().endswith("}"):
            yield number, _json_row(line, path, number)
            continue
        columns = line.split("\t") if line.count("\t") in {2, 3} else line.split()
        if columns[0].strip().lower() in _HEADERS and not _is_number(columns[-1]):
            continue
        if len(columns) not in {3, 4}:
            raise InvalidFile(path, f"{len(columns)} columns, not 'qid 0 docid grade' nor BEIR's three", line=number)
        yield number, (columns[0].strip(), columns[-2].strip(), columns[-1].strip())


def _json_row(line: str, path: PathLike, number: int) -> Row:
    record = parse_object(line, path, number)
    found = [next((str(record[name]) for name in names if name in record), None) for names in _JSON_NAMES]
    if found[0] is None or found[1] is None or found[2] is None:
        raise InvalidFile(path, f"no judgement; fields {', '.join(record)}, wanted q_id, p_id, score", line=number)
    return found[0], found[1], found[2]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _grade(text: str, path: PathLike, number: int) -> int:
    """A whole number, also if written ``1.0``."""
    if not _is_number(text) or not float(text).is_integer():
        raise InvalidFile(path, f"the grade {text!r} is not a whole number", line=number)
    return int(float(text))


def write_qrels(path: PathLike, qrels: Qrels) -> int:
    """Write judgements, BEIR's table if the name ends in ``.tsv``, else TREC's columns; gives how many.

    Raises:
        InvalidInput: an id with blanks, for TREC's columns; with a tab or a line break, for BEIR's.
    """
    table = str(path).removesuffix(".gz").endswith(".tsv")

    def lines() -> Iterator[str]:
        if table:
            yield "query-id\tcorpus-id\tscore"
        for qid, graded in qrels.items():
            for docid, grade in graded.items():
                _check_ids(qid, docid, table=table)
                yield f"{qid}\t{docid}\t{grade}" if table else f"{qid} 0 {docid} {grade}"

    return write_lines(path, lines()) - table


def _check_ids(*ids: str, table: bool) -> None:
    for name in ids:
        if (name.strip() != name or not name or any(c in name for c in "\t\r\n")) if table else name.split() != [name]:
            raise InvalidInput(f"the id {name!r} is empty or has {'tabs, line ends or outer ' if table else ''}blanks")
