"""Readers over any completer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from shortlist.backends.base import Ask, Backend, Completer, Completion, Cuts
from shortlist.errors import InvalidInput
from shortlist.reading.base import Answer, Reading
from shortlist.text.answering import AnswerShort
from shortlist.text.truncation import approximate_cut, cut_slate
from shortlist.types import QUERY_CUT, Candidate, Slate, Status


def fit(reading: Reading, prompt: AnswerShort, backend: Backend) -> Slate:
    """The reading as the model is shown it: cut to the prompt's budgets, by the model's tokenizer if it shows that."""
    cut = backend.cut if isinstance(backend, Cuts) else approximate_cut
    slate = Slate(reading.query, tuple(Candidate(document) for document in reading.documents))
    return cut_slate(slate, prompt.passage_tokens, cut, query_tokens=prompt.query_tokens)


@dataclass(frozen=True, kw_only=True)
class LLMReader:
    """Reads with a language model: question and passages in, a short answer or an abstention out.

    With no passages it abstains without a call, unless the prompt is ``closed_book``: then it is asked what it knows.
    ``batch`` readings go to the completer at a time; put a cached completer under it to keep answers between runs.
    ``one_line`` ends a reply at its first line, which is all that is read of it: it saves the tokens of what a talkative
    model adds. (Not for models that think first, or whose reply begins with a line end.)
    """

    completer: Completer
    prompt: AnswerShort = AnswerShort()
    max_tokens: int | None = None
    batch: int = 32
    one_line: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InvalidInput(f"batch is {self.batch}; give 1 or more")

    @property
    def identity(self) -> str:
        """Model, prompt and decoding (greedy)."""
        line = " one-line" if self.one_line else ""
        return f"{self.completer.identity} {self.prompt.fingerprint[:16]} {self.max_tokens}{line}"

    def read(self, readings: Iterable[Reading], /) -> Iterator[Answer]:
        """One answer a reading, in order."""
        source = iter(readings)
        while chunk := list(itertools.islice(source, self.batch)):
            yield from self._read(chunk)

    def _read(self, readings: list[Reading]) -> Iterator[Answer]:
        asked = [i for i, reading in enumerate(readings) if reading.documents or self.prompt.closed_book]
        shown = {i: fit(readings[i], self.prompt, self.completer) for i in asked}
        asks = [self._ask(shown[i]) for i in asked]
        start = time.perf_counter()
        completions = dict(zip(asked, self.completer.complete(asks) if asks else [], strict=True))
        each = (time.perf_counter() - start) / max(1, len(asks))
        for i, reading in enumerate(readings):
            if i in completions:
                yield self._answer(reading, completions[i], shown[i], each)
            else:
                yield Answer(text=None, reading=reading)

    def _ask(self, slate: Slate) -> Ask:
        messages = self.prompt.render(slate.query, slate.documents)
        stop = ("\n",) if self.one_line else ()
        return Ask(messages=messages, max_tokens=self.max_tokens or self.prompt.reply_tokens(), stop=stop)

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
