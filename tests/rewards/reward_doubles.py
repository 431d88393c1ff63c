"""A reader made of a function, and prefixes to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from shortlist.reading.base import Answer, Reading
from shortlist.types import Document, Query, Status, Usage


@dataclass
class ScriptedReader:
    """Answers with ``reply``: a text, ``None``, or an exception's text to fail with as ``Fails(why)``."""

    reply: object
    identity: str = "scripted reader"
    read_so_far: list[Reading] = field(default_factory=list)

    def read(self, readings, /):
        for reading in readings:
            self.read_so_far.append(reading)
            said = self.reply(reading)
            usage = Usage(calls=1, prompt_tokens=10 * len(reading.documents), completion_tokens=1)
            if isinstance(said, Fails):
                yield Answer(text=None, reading=reading, status=Status.FAILED, error=said.why)
            elif said == "":
                yield Answer(text=None, reading=reading, status=Status.FAILED, problems=("empty",), usage=usage)
            else:
                yield Answer(text=said, reading=reading, usage=usage)


@dataclass(frozen=True)
class Fails:
    why: str


def doc(name, text=None):
    return Document(id=name, text=text or f"text of {name}")


def docs(names):
    return tuple(map(doc, names))


def query(name="q", *answers):
    return Query(id=name, text=f"question {name}", answers=answers)


def knows(*wanted, answer="gold"):
    """A reader that answers right when it has all the passages wanted."""

    def reply(reading):
        return answer if set(wanted) <= {document.id for document in reading.documents} else "wrong"

    return ScriptedReader(reply)
