"""Cutting: the passage and the query, each to its own budget, noted, and the caller's objects left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.backends.base import Ask
from shortlist.backends.scripted import ScriptedCompleter
from shortlist.reading.base import Reading
from shortlist.reading.readers import LLMReader
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.policies import TextPolicy
from shortlist.rerankers.strategies import WholeList
from shortlist.text import AnswerShort, Listwise, approximate_cut, cut_slate
from shortlist.types import QUERY_CUT, Candidate, Document, Query, RerankRequest, Slate


def slate(*texts: str, query: str = "what", title: str = "") -> Slate:
    documents = [Candidate(Document(id=str(i), text=text, title=title)) for i, text in enumerate(texts)]
    return Slate(Query(text=query), tuple(documents))


@given(st.text(max_size=200), st.integers(1, 20))
def test_a_cut_text_is_a_beginning_of_the_text_and_loss_is_told(text, tokens):
    cut, lost = approximate_cut(text, tokens)
    assert text.startswith(cut)
    assert lost == (cut != text)


def test_only_what_is_too_long_is_cut_and_noted():
    whole = slate("one two three four five six", "short")
    cut = cut_slate(whole, 3)
    assert cut.truncated == (0,)
    assert [document.text for document in cut.documents] == ["one two three", "short"]
    assert whole.documents[0].text == "one two three four five six"
    assert cut_slate(whole, 100) is whole


def test_the_text_gives_way_before_the_title():
    (document,) = cut_slate(slate("one two three four", title="A title"), 4).documents
    assert (document.title, document.text) == ("A title", "one two")


def test_a_megabyte_is_cut_without_reading_it_all():
    seen = []

    def cut(text: str, tokens: int) -> tuple[str, bool]:
        seen.append(len(text))
        return approximate_cut(text, tokens)

    shown = cut_slate(slate("word " * 200_000, query="why " * 300_000), 64, cut, query_tokens=8)
    assert max(seen) <= 64 * 16
    assert shown.query_truncated
    assert len(shown.query.text.split()) == 8


def test_scripts_without_blanks_are_counted_by_their_signs():
    assert approximate_cut("中文" * 100, 50) == ("中文" * 25, True)
    assert approximate_cut("word 한국어 words", 4) == ("word 한국어", True)


def test_tokenizers_never_see_half_a_surrogate_pair():
    def strict(text: str, tokens: int) -> tuple[str, bool]:
        text.encode()  # as every tokenizer does
        return approximate_cut(text, tokens)

    shown = cut_slate(slate("word \ud800 " * 50, query="why \udfff " * 50), 6, strict, query_tokens=6)
    assert shown.truncated == (0,)
    assert shown.query_truncated
    assert shown.documents[0].text.split()[:2] == ["word", "\ufffd"]


def test_a_cut_query_is_told_in_rankings_and_answers():
    asked: list[Ask] = []

    def reply(ask: Ask) -> str:
        asked.append(ask)
        return "[2] > [1]"

    prompt = Listwise(query_tokens=5)
    reranker = Reranker(policy=TextPolicy(prompt=prompt, completer=ScriptedCompleter(reply)), strategy=WholeList())
    (ranking,) = reranker.rerank([RerankRequest.of("needle " + "hay " * 50 + "tail", ["a", "b"])])
    assert QUERY_CUT in ranking.problems
    assert "needle" in asked[0].messages[-1].content
    assert "tail" not in asked[0].messages[-1].content
    reader = LLMReader(completer=ScriptedCompleter(lambda _: "x"), prompt=AnswerShort(query_tokens=5))
    (answer,) = reader.read([Reading(Query(text="one two three four five six"), (Document(id="a", text="t"),))])
    assert answer.problems == (QUERY_CUT,)


def test_budgets_must_be_positive():
    with pytest.raises(ValueError, match="query_tokens 0"):
        Listwise(query_tokens=0)
