"""Readers over a completer: batches, abstention, truncation, failures, and the cache under it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.base import Ask, Completion
from shortlist.backends.cache import Store, cached
from shortlist.backends.scripted import ScriptedCompleter
from shortlist.errors import InvalidInput
from shortlist.reading.base import Reading
from shortlist.reading.readers import LLMReader
from shortlist.text.answering import AnswerShort
from shortlist.types import Document, Query, Status


def reading(text="where is it?", *passages):
    return Reading(Query(text=text), tuple(Document(id=str(i), text=p) for i, p in enumerate(passages)))


def echo(ask: Ask):
    """The last word of the first passage."""
    lines = [line for line in ask.messages[-1].content.splitlines() if line.startswith("[1]")]
    return lines[0].split()[-1] if lines else "nothing was shown"


class Counting:
    """A completer that notes how many asks came at a time."""

    identity = "counting"

    def __init__(self):
        self.sizes = []

    def complete(self, asks, /):
        self.sizes.append(len(asks))
        return [Completion(text=echo(ask)) for ask in asks]


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 5))
def test_one_answer_a_reading_in_order_whatever_the_batches(shown, batch):
    readings = [reading("?", f"p {i}") if there else reading("?") for i, there in enumerate(shown)]
    answers = list(LLMReader(completer=Counting(), batch=batch).read(readings))
    assert [answer.reading for answer in answers] == readings
    assert [answer.text for answer in answers] == [str(i) if there else None for i, there in enumerate(shown)]


def test_readings_go_to_the_model_in_batches_and_are_taken_as_needed():
    model, taken = Counting(), []

    def readings():
        for i in range(7):
            taken.append(i)
            yield reading("?", f"p {i}")

    answers = LLMReader(completer=model, batch=3).read(readings())
    next(answers)
    assert taken == [0, 1, 2]
    list(answers)
    assert model.sizes == [3, 3, 1]


def test_without_passages_it_abstains_without_a_call():
    model = Counting()
    (answer,) = LLMReader(completer=model).read([reading()])
    assert (answer.text, answer.status, answer.usage.calls, model.sizes) == (None, Status.OK, 0, [])


def test_closed_book_asks_what_the_model_knows():
    (answer,) = LLMReader(completer=Counting(), prompt=AnswerShort(closed_book=True)).read([reading()])
    assert answer.text == "nothing was shown"


def test_abstention_is_an_answer_of_none():
    (answer,) = LLMReader(completer=ScriptedCompleter(lambda _: "No answer.")).read([reading("?", "x")])
    assert (answer.text, answer.status) == (None, Status.OK)
    never = AnswerShort(allow_abstain=False)
    (answer,) = LLMReader(completer=ScriptedCompleter(lambda _: "no answer"), prompt=never).read([reading("?", "x")])
    assert answer.text == "no answer"


def test_passages_that_were_cut_are_counted_and_the_readings_stay_whole():
    model = ScriptedCompleter(lambda _: "x")
    long, short = "word " * 500, "few words"
    asked = reading("?", long, short, long)
    (answer,) = LLMReader(completer=model, prompt=AnswerShort(passage_tokens=20)).read([asked])
    assert answer.truncated == 2
    assert answer.reading is asked
    assert answer.reading.documents[0].text == long
    assert len(model.asked[0].messages[-1].content) < 1000


def test_one_error_spoils_no_other():
    def reply(ask):
        return Completion(error="timed out") if "bad" in ask.messages[-1].content else echo(ask)

    readings = [reading("?", "p good1"), reading("?", "p bad"), reading("?", "p good2"), reading("?", "p good3")]
    answers = list(LLMReader(completer=ScriptedCompleter(reply)).read(readings))
    assert [answer.text for answer in answers] == ["good1", None, "good2", "good3"]
    assert [answer.status for answer in answers] == [Status.OK, Status.FAILED, Status.OK, Status.OK]
    assert answers[1].error == "timed out"


@pytest.mark.parametrize("text", ["", "   ", "<think>so the passage"])
def test_replies_that_hold_no_answer_fail_visibly(text):
    (answer,) = LLMReader(completer=ScriptedCompleter(lambda _: text)).read([reading("?", "x")])
    assert (answer.text, answer.status) == (None, Status.FAILED)
    assert answer.problems


def test_answers_are_kept_in_a_cache(tmp_path):
    model = ScriptedCompleter(echo)
    with_cache = LLMReader(completer=cached(model, Store(tmp_path / "c.sqlite")))
    readings = [reading("?", "p one"), reading("?", "p two")]
    first, again = list(with_cache.read(readings)), list(with_cache.read(readings))
    assert [a.text for a in first] == [a.text for a in again] == ["one", "two"]
    assert len(model.asked) == 2
    assert [a.usage.cached_calls for a in again] == [1, 1]


def test_what_decides_an_answer_is_in_the_identity():
    model = ScriptedCompleter(echo)
    readers = [
        LLMReader(completer=model),
        LLMReader(completer=model, max_tokens=5),
        LLMReader(completer=model, prompt=AnswerShort(closed_book=True)),
        LLMReader(completer=model, prompt=AnswerShort(passage_tokens=9)),
        LLMReader(completer=ScriptedCompleter(echo, identity="other")),
    ]
    assert len({reader.identity for reader in readers}) == len(readers)
    assert LLMReader(completer=model, batch=3).identity == readers[0].identity


def test_decoding_is_greedy_and_as_long_as_told():
    model = ScriptedCompleter(echo)
    list(LLMReader(completer=model, max_tokens=5).read([reading("?", "x")]))
    list(LLMReader(completer=model).read([reading("?", "x")]))
    assert [(ask.max_tokens, ask.temperature) for ask in model.asked] == [(5, 0.0), (AnswerShort().reply_tokens(), 0.0)]


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="batch is 0"):
        LLMReader(completer=Counting(), batch=0)


def test_one_line_stops_the_reply_there():
    completer = ScriptedCompleter(lambda ask: "Paris")
    plain, short = LLMReader(completer=completer), LLMReader(completer=completer, one_line=True)
    for reader in (plain, short):
        list(reader.read([reading("where?", "a passage")]))
    assert [ask.stop for ask in completer.asked] == [(), ("\n",)]
    assert plain.identity != short.identity
