"""The Haystack integration, against the real haystack-ai."""

from __future__ import annotations

import asyncio
import copy
import warnings

import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed: pip install 'shortlist[haystack]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from haystack import Document, Pipeline, component

from toy_rankers import BEST_FIRST, MINILM, QUERY, SCORES, TEXTS, choosing, failing, half_deaf, saying, scoring

from shortlist.errors import BackendError, InvalidInput, JudgementFailed, UnknownName
from shortlist.integrations.haystack import ShortlistRanker


def documents():
    return [Document(id=f"d{i}", content=text, meta={"page": i}, score=0.9 - i / 10) for i, text in enumerate(TEXTS)]


def ranked(ranker, query=QUERY, given=None, **settings):
    return ShortlistRanker(ranker, **settings).run(query=query, documents=documents() if given is None else given)[
        "documents"
    ]


def test_it_gives_copies():
    given = documents()
    before = copy.deepcopy(given)
    found = ranked(scoring(), given=given)
    assert given == before
    assert [document.id for document in found] == [f"d{i}" for i in BEST_FIRST]
    assert [document.score for document in found] == list(SCORES)
    assert [document.meta["retrieval_score"] for document in found] == [pytest.approx(0.9 - i / 10) for i in BEST_FIRST]
    assert found[0].meta["page"] == 2
    assert found[0].meta["rerank_status"] == "ok"


@pytest.mark.parametrize(
    ("ranker", "top_k", "count"),
    [(scoring(), 10, 3), (scoring(), 2, 2), (choosing(), "auto", 1), (choosing(), None, 3)],
)
def test_how_many(ranker, top_k, count):
    assert len(ranked(ranker, top_k=top_k)) == count


def test_how_many_of_one_run():
    component_ = ShortlistRanker(scoring(), top_k=3)
    assert len(component_.run(query=QUERY, documents=documents(), top_k=1)["documents"]) == 1
    with pytest.raises(InvalidInput, match="top_n is 0"):
        component_.run(query=QUERY, documents=documents(), top_k=0)
    with pytest.raises(InvalidInput, match="top_n is 'most'"):
        ShortlistRanker(scoring(), top_k="most")


def test_a_threshold():
    assert [document.id for document in ranked(scoring(), score_threshold=1.0)] == ["d2", "d1"]
    assert ranked(scoring(), score_threshold=99.0) == []
    with pytest.raises(InvalidInput, match="needs scores"):
        ranked(saying(), score_threshold=1.0)


def test_one_document_an_id_the_best_found():
    twice = [*documents(), Document(id="d0", content="capital of France", score=2.0)]
    found = ranked(scoring(), given=twice)
    assert sorted(document.id for document in found) == ["d0", "d1", "d2"]
    assert next(document for document in found if document.id == "d0").content == "capital of France"


def test_nothing_to_rank():
    assert ranked(failing(), given=[], raise_on_failure=True) == []
    assert ranked(failing(), query=" ", raise_on_failure=True) == documents()
    assert len(ranked(scoring(), given=[Document(id="image", content=None), *documents()])) == 4


def test_errors():
    found = ranked(failing())
    assert [(d.id, d.score, d.meta["rerank_status"]) for d in found] == [(f"d{i}", None, "failed") for i in range(3)]
    assert {d.id: d.meta["rerank_status"] for d in ranked(half_deaf())}["d1"] == "unjudged"
    with pytest.raises(JudgementFailed, match="on fire"):
        ranked(failing(), raise_on_failure=True)


def test_a_backend_that_is_away():
    def away(_pair):
        raise BackendError("no such key")

    ranker = scoring(away)
    found = ranked(ranker)
    assert [(d.id, d.meta["rerank_status"]) for d in found] == [(f"d{i}", "failed") for i in range(3)]
    with pytest.raises(BackendError, match="no such key"):
        ranked(ranker, raise_on_failure=True)


@component
class Search:
    """Finds the same three documents, whatever is asked."""

    @component.output_types(documents=list[Document])
    def run(self, query: str):
        return {"documents": documents()}


def pipeline(ranker, **settings):
    made = Pipeline()
    made.add_component("search", Search())
    made.add_component("rank", ShortlistRanker(ranker, **settings))
    made.connect("search.documents", "rank.documents")
    return made


def test_in_a_pipeline_sync_and_async():
    made = pipeline(scoring(), top_k=1)
    asked = {"search": {"query": QUERY}, "rank": {"query": QUERY}}
    assert [d.id for d in made.run(asked)["rank"]["documents"]] == ["d2"]
    assert [d.id for d in asyncio.run(made.run_async(asked))["rank"]["documents"]] == ["d2"]


def test_to_yaml_and_back():
    settings = {"top_k": "auto", "score_threshold": 0.5, "raise_on_failure": True, "cache": "c.sqlite"}
    made = ShortlistRanker(MINILM, **settings)
    again = ShortlistRanker.from_dict(made.to_dict())
    assert again.to_dict() == made.to_dict()
    assert (again.reranker, again.top_k, again.cache) == (MINILM, "auto", "c.sqlite")
    with pytest.raises(InvalidInput, match="by its name"):
        ShortlistRanker(scoring()).to_dict()


def test_names_are_checked_when_it_is_warmed_up():
    with pytest.raises(UnknownName):
        ShortlistRanker("nothing:x").warm_up()


@pytest.mark.models
@pytest.mark.usefixtures("model_minilm")
def test_with_a_real_model():
    written = Pipeline()
    written.add_component("rank", ShortlistRanker(MINILM, top_k=2))
    made = Pipeline.loads(written.dumps(), allowed_modules=["shortlist.integrations.haystack"])
    found = made.run({"rank": {"query": QUERY, "documents": documents()}})["rank"]["documents"]
    assert found[0].id == "d2"
