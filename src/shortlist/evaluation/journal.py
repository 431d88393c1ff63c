"""Outcomes on disk, one JSON line each, written as they come: what makes a killed evaluation go on where it stopped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shortlist.data.files import write_lines
from shortlist.errors import InvalidFile, InvalidInput
from shortlist.evaluation.outcome import Outcome

HEADER: Final = "evaluation.json"
CANDIDATES: Final = "candidates.sha256"


@dataclass(frozen=True)
class Journal:
    """One system's outcomes in a file of JSON lines."""

    path: Path

    @classmethod
    def of(cls, folder: Path, place: int, name: str) -> Journal:
        """The journal of the system ``name``, the ``place``-th of an evaluation."""
        return cls(folder / f"{place:02d}-{re.sub(r'[^A-Za-z0-9.-]+', '-', name)[:60]}.jsonl")

    def outcomes(self) -> Iterator[Outcome]:
        """All whole lines, oldest first; none if there is no file."""
        if not self.path.exists():
            return
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    yield self._outcome(line, number)

    def append(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Pass outcomes on, each written before it is given; a line that a kill tore off is cut away first."""
        self._mend()
        with self.path.open("a", encoding="utf-8") as file:
            for outcome in outcomes:
                file.write(json.dumps(outcome.to_json(), allow_nan=False) + "\n")
                file.flush()
                yield outcome

    def _outcome(self, line: bytes, number: int) -> Outcome:
        try:
            return Outcome.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidFile(self.path, f"not an outcome of this version ({error})", line=number) from error

    def _mend(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            end = sum(len(line) for line in file if line.endswith(b"\n"))
            if end < file.seek(0, os.SEEK_END):
                file.truncate(end)


def open_folder(folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Make the folder ready for an evaluation with these settings, or check that it holds the begun one's.

    Raises :class:`InvalidInput` if it holds results and ``resume`` is false, or if they were made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / HEADER
    if not header.exists():
        write_lines(header, [json.dumps(settings, indent=2)])
        return
    if not resume:
        raise InvalidInput(f"{folder} holds an evaluation; go on with it (resume=True) or give another folder")
    try:
        begun = json.loads(header.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise InvalidFile(header, f"not JSON ({problem}); give another folder") from None
    wanted = json.loads(json.dumps(settings))
    differing = sorted(key for key in begun.keys() | wanted.keys() if begun.get(key) != wanted.get(key))
    if differing:
        told = "; ".join(f"{key} was {begun.get(key)!r}, is {wanted.get(key)!r}" for key in differing)
        raise InvalidInput(f"{folder} was begun with other settings: {told}. Use the same, or another folder")


def begun_with(folder: Path, candidates: str) -> str:
    """The hash of the requests that the folder's evaluation was begun with; if there is none yet, this one is noted."""
    note = folder / CANDIDATES
    if not note.exists():
        write_lines(note, [candidates])
    return note.read_text(encoding="utf-8").strip()
