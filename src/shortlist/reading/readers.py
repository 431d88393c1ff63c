"""Readers over any completer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from shortlist.backends.base import Ask, Completer, Completion, Cuts
from shortlist.errors import InvalidInput
from shortlist.reading.base import Answer, Reading
from shortlist.text.answering import AnswerShort
from shortlist.text.truncation import approximate_cut, cut_slate
from shortlist.types import QUERY_CUT, Candidate, Slate, Status


@dataclass(frozen=True, kw_only=True)
class LLMReader:
    """Reads with a language model: question and passages in, a short answer or an abstention out.

    With no passages it abstains without a call, unless the prompt is ``closed_book``: then it is asked what it knows.
    ``batch`` readings go to the completer at a time; put a cached completer under it to keep answers between runs.
    """

    completer: Completer
    prompt: AnswerShort = AnswerShort()
    max_tokens: int | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InvalidInput(f"batch is {self.batch}; give 1 or more")

    @property
    def identity(self) -> str:
        """Model, prompt and decoding (greedy)."""
        return f"{self.completer.identity} {self.prompt.fingerprint[:16]} {self.max_tokens}"

    def read(self, readings: Iterable[Reading], /) -> Iterator[Answer]:
        """One answer a reading, in order."""
        source = iter(readings)
        while chunk := list(itertools.islice(source, self.batch)):
            yield from self._read(chunk)

    def _read(self, readings: list[Reading]) -> Iterator[Answer]:
        asked = [i for i, reading in enumerate(readings) if reading.documents or self.prompt.closed_book]
        shown = {i: self._cut(readings[i]) for i in asked}
        asks = [self._ask(shown[i]) for i in asked]
        start = time.perf_counter()
        completions = dict(zip(asked, self.completer.complete(asks) if asks else [], strict=True))
        each = (time.perf_counter() - start) / max(1, len(asks))
        for i, reading in enumerate(readings):
            if i in completions:
                yield self._answer(reading, completions[i], shown[i], each)
            else:
                yield Answer(text=None, reading=reading)

    def _cut(self, reading: Reading) -> Slate:
        cut = self.completer.cut if isinstance(self.completer, Cuts) else approximate_cut
        slate = Slate(reading.query, tuple(Candidate(document) for document in reading.documents))
        return cut_slate(slate, self.prompt.passage_tokens, cut, query_tokens=self.prompt.query_tokens)

    def _ask(self, slate: Slate) -> Ask:
        messages = self.prompt.render(slate.query, slate.documents)
        return Ask(messages=messages, max_tokens=self.max_tokens or self.prompt.reply_tokens())

    def _answer(self, reading: Reading, completion: Completion, shown: Slate, seconds: float) -> Answer:
        usage = completion.usage if completion.usage.seconds else replace(completion.usage, seconds=seconds)
        if completion.error is not None:
            told: dict[str, Any] = {"text": None, "status": Status.FAILED, "error": completion.error}
        else:
            text, status, problems = self.prompt.parse(completion.text)
            told = {"text": text, "status": status, "problems": tuple(problems)}
        if shown.query_truncated:
            told["problems"] = (*told.get("problems", ()), QUERY_CUT)
        return Answer(reading=reading, usage=usage, truncated=len(shown.truncated), **told)
