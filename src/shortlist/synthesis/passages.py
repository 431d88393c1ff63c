"""A corpus as its owner has it: ``corpus.jsonl``, any JSONL of passages, or a folder of text files cut into passages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from shortlist.data.collection import find_file
from shortlist.data.corpus import Corpus
from shortlist.data.demo import paragraphs, pieces
from shortlist.data.files import PathLike, read_lines
from shortlist.errors import InvalidInput
from shortlist.types import Document

TEXT_FILES = (".txt", ".md", ".rst")
_BLANK = re.compile(r"\s")


def open_passages(source: PathLike) -> Mapping[str, Document]:
    """Document id → document, of a folder with ``corpus.jsonl``, a JSONL file, or a folder of text files.

    Text files (``.txt``, ``.md``, ``.rst``, in subfolders as well) are cut between paragraphs into passages of 60 to 120
    words, named ``path#1``, ``path#2`` … (blanks in a path become ``_``); the title is the file's name without its
    ending.

    Raises:
        InvalidInput: there is nothing to read; says what was looked for.
    """
    path = Path(source)
    if path.is_file():
        return Corpus(path)
    if not path.is_dir():
        raise InvalidInput(f"there is no corpus {str(source)!r}; give a folder or a JSONL file")
    found = find_file(path, "corpus.jsonl")
    if found is not None:
        return Corpus(found)
    passages: dict[str, Document] = {}
    for document in _cut(path):
        if document.id in passages:
            raise InvalidInput(f"two files of {path} give the passage id {document.id!r}; rename one of them")
        passages[document.id] = document
    if not passages:
        raise InvalidInput(f"{path} holds neither corpus.jsonl nor any text in files ending in {', '.join(TEXT_FILES)}")
    return passages


def _cut(folder: Path) -> Iterator[Document]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in TEXT_FILES and path.is_file()):
        name, last, lines = _BLANK.sub("_", path.relative_to(folder).as_posix()), 0, list[str]()
        for number, line in read_lines(path):
            lines += [""] * (number > last + 1) + [line]  # blank lines are passed over, and divide paragraphs
            last = number
        for piece, text in enumerate(pieces(paragraphs("\n".join(lines))), start=1):
            yield Document(id=f"{name}#{piece}", title=path.stem, text=text)
