"""A small retrieval collection made on the spot from text that comes with every Python.

The passages are CPython's own language-reference topics and the standard library's docstrings; the questions, answers
and graded judgements were written for this project (``demo_questions.jsonl``). Nothing is downloaded, and no module is
run for its docstrings: sources are parsed, and only C modules, which have no source, are imported. As texts differ a
little from one Python to the next, a judgement is an anchor, a source and a phrase in it, resolved at build time.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).with_name("demo_questions.jsonl")
MIN_WORDS = 6  # a docstring of fewer words says no more than its name
PIECE_WORDS = (60, 120)  # a passage is closed at the first number of words, and before it would pass the second
TAIL_WORDS = 25  # a last piece shorter than this joins the one before it
HEADING = r"\n(?=[^\n]+\n([*=\-~^\"])\1{2,}\n)"  # a line with a rule of punctuation under it

SKIPPED = """
__main__ __pycache__ dist-packages distutils encodings ensurepip genericpath idlelib lib2to3 lib-dynload msilib ntpath
nturl2path pydoc_data site-packages test tests turtledemo
"""
"""File and folder names whose docstrings are tests, applications, generated tables or another system's twin."""

PUBLIC_NAMES = {
    "_collections_abc": "collections.abc",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "concurrent.futures._base": "concurrent.futures",
    "pathlib._local": "pathlib",
    "posixpath": "os.path",
}
"""Private modules whose classes and functions are public under another module's name."""

C_MODULES = """
builtins array binascii cmath _codecs:codecs _collections:collections _contextvars:contextvars _csv:csv
_datetime:datetime errno faulthandler _functools:functools gc _hashlib:hashlib _heapq:heapq _io:io itertools marshal
math mmap _operator:operator posix:os _queue:queue _random:random re select _socket:socket _sqlite3:sqlite3
_struct:struct sys _thread time _tracemalloc:tracemalloc unicodedata _weakref:weakref zlib
"""
"""Modules safe to import, as ``name`` or ``private:public``; one that this Python lacks is passed over."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of the collection; ``source`` is its id without the number of the piece."""

    id: str
    source: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCounts:
    """What was written, and every anchor that no passage of this Python's texts satisfied."""

    passages: int
    queries: int
    judgements: int
    missing: tuple[str, ...]

    @property
    def unresolved(self) -> int:
        """How many anchors found no passage."""
        return len(self.missing)


def build_demo(folder: Path) -> DemoCounts:
    """Write the collection to ``folder`` in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/test.tsv."""
    passages = demo_passages()
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    rows: list[str] = []
    missing: list[str] = []
    for question in questions:
        grades, lost = resolve(question["judgements"], passages)
        rows.extend(f"{question['id']}\t{passage}\t{grade}" for passage, grade in grades.items())
        missing.extend(f"{question['id']}: {anchor}" for anchor in lost)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _write_jsonl(folder / "corpus.jsonl", ({"_id": p.id, "title": p.title, "text": p.text} for p in passages))
    queries = ({"_id": q["id"], "text": q["text"], "answers": q["answers"]} for q in questions)
    _write_jsonl(folder / "queries.jsonl", queries)
    lines = "\n".join(["query-id\tcorpus-id\tscore", *rows, ""])
    (folder / "qrels" / "test.tsv").write_text(lines, encoding="utf-8")
    return DemoCounts(passages=len(passages), queries=len(questions), judgements=len(rows), missing=tuple(missing))


def resolve(anchors: Iterable[Mapping[str, Any]], passages: Sequence[Passage]) -> tuple[dict[str, int], list[str]]:
    """The grade of every passage that an anchor points at (the highest, if several do), and the anchors without any."""
    grades: dict[str, int] = {}
    lost = []
    for anchor in anchors:
        phrase = fold(anchor["contains"])
        found = [p.id for p in passages if p.source == anchor["source"] and phrase in fold(p.text)]
        grades.update({id_: max(anchor["grade"], grades.get(id_, 0)) for id_ in found})
        if not found:
            lost.append(f"{anchor['source']} has no {anchor['contains']!r}")
    return grades, lost


def fold(text: str) -> str:
    """The text in one case and with single blanks."""
    return " ".join(text.casefold().split())


@cache
def demo_passages() -> tuple[Passage, ...]:
    """Topics, then pure-Python docstrings, then those of C modules; of two with the same name or text the first."""
    by_id: dict[str, Passage] = {}
    texts: set[str] = set()
    docstrings: dict[str, str] = {}
    for name, docstring in chain(_source_docstrings(), _c_docstrings()):
        docstrings.setdefault(name, docstring)
    for passage in chain(_topic_passages(), _docstring_passages(docstrings)):
        if passage.text not in texts:
            by_id.setdefault(passage.id, passage)
            texts.add(passage.text)
    return tuple(by_id.values())


def _docstring_passages(docstrings: Mapping[str, str]) -> Iterator[Passage]:
    """One passage a docstring under its qualified name, or ``name/1``, ``name/2`` … if it is long."""
    for name, docstring in docstrings.items():
        texts = pieces(paragraphs(docstring))
        for number, text in enumerate(texts, start=1):
            yield Passage(name if len(texts) == 1 else f"{name}/{number}", name, name, text)


def _topic_passages() -> Iterator[Passage]:
    """The language reference in pieces named ``topic/with/3``: short topics first, as long ones repeat them."""
    from pydoc_data.topics import topics

    seen: set[str] = set()
    for name, topic in sorted(topics.items(), key=lambda item: (len(item[1]), item[0])):
        sections = [paragraphs(plain(section)) for section in re.split(HEADING, topic)[::2]]
        parts = [paragraph for section in sections if not _repeats(section, seen) for paragraph in section]
        seen.update(paragraph for section in sections for paragraph in section)
        for number, text in enumerate(pieces(parts), start=1):
            yield Passage(f"topic/{name}/{number}", f"topic/{name}", name, text)


def _repeats(section: Iterable[str], seen: set[str]) -> bool:
    """Whether most words of a section are in paragraphs seen before."""
    return sum(len(part.split()) * (1 if part in seen else -1) for part in section) > 0


def plain(text: str) -> str:
    """Text without the markup that says nothing to a reader: rules, frames of tables, bold, emphasis."""
    text = re.sub(r"^([*=\-~^\"])\1{2,}$|^ *[+|][-=+|]+[+|]$", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<![\w*])(\*\*?)(?=[A-Za-z_])([^*]*?)(?<=[\w.:)])\1(?![\w*])", r"\2", text)


def paragraphs(text: str) -> list[str]:
    """The text cut at blank lines, each paragraph on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def pieces(parts: Iterable[str]) -> list[str]:
    """Paragraphs joined to passages of ``PIECE_WORDS`` words; longer paragraphs are cut between sentences."""
    low, high = PIECE_WORDS
    rows: list[list[str]] = [[]]
    for words in (sentence.split() for part in parts for sentence in _within(part, high)):
        if len(rows[-1]) >= low or len(rows[-1]) + len(words) > high:
            rows.append([])
        rows[-1].extend(words)
    if len(rows) > 1 and len(rows[-1]) < TAIL_WORDS:
        rows[-2:] = [rows[-2] + rows[-1]]
    return [" ".join(words) for words in rows if words]


def _within(paragraph: str, limit: int) -> list[str]:
    """The paragraph whole if it keeps to the limit of words, else its sentences, a longer one cut at the limit."""
    if len(paragraph.split()) <= limit:
        return [paragraph]
    sentences = [sentence.split() for sentence in re.split(r"(?<=[.!?:;]) ", paragraph)]
    return [" ".join(words[i : i + limit]) for words in sentences for i in range(0, len(words), limit)]


def _source_docstrings() -> Iterator[tuple[str, str]]:
    """Qualified name and docstring of what the standard library's Python files define, read without importing them."""
    library = Path(sysconfig.get_path("stdlib"))
    for folder, folders, files in os.walk(library):
        folders[:] = sorted(set(folders).difference(SKIPPED.split()))
        for path in sorted(Path(folder, file) for file in files if file.endswith(".py")):
            if module := _module_name(path.relative_to(library).with_suffix("").parts):
                yield from _defined(ast.parse(path.read_bytes()), module)


def _module_name(parts: Sequence[str]) -> str:
    """The public name of a module; empty for a private one, and for a file that is no module."""
    parts = [part for part in parts if part != "__init__"]
    hidden = any(part.startswith("_") or part in SKIPPED.split() or not part.isidentifier() for part in parts)
    return PUBLIC_NAMES.get(".".join(parts), "" if hidden else ".".join(parts))


def _defined(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    """Documented public functions and classes below a node, in the order of the file, also under ``if`` and ``try``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}"
            if _worth(child.name, docstring := ast.get_docstring(child)):
                yield name, docstring or ""
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield from _defined(child, name)
        elif isinstance(child, ast.If | ast.Try | ast.ExceptHandler):
            yield from _defined(child, prefix)


def _c_docstrings() -> Iterator[tuple[str, str]]:
    """Qualified name and docstring of what the C modules define."""
    for entry in C_MODULES.split():
        module, _, public = entry.partition(":")
        with suppress(ImportError):
            members = vars(importlib.import_module(module))
            yield from _members(members, "" if module == "builtins" else f"{public or module}.")


def _members(members: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    """Documented public routines, classes and properties of a namespace, classes followed by their members."""
    for name, value in sorted(members.items()):
        is_class = inspect.isclass(value) and value.__name__ == name
        if _worth(name, value.__doc__) and (is_class or inspect.isroutine(value) or inspect.isdatadescriptor(value)):
            yield prefix + name, inspect.cleandoc(value.__doc__ or "")
        if is_class and not name.startswith("_"):
            yield from _members(vars(value), f"{prefix}{name}.")


def _worth(name: str, docstring: object) -> bool:
    """Whether a public name has a docstring that says more than the name."""
    return not name.startswith("_") and isinstance(docstring, str) and len(docstring.split()) >= MIN_WORDS


def _write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
