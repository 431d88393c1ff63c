"""ir_datasets behind the same face, with a small dataset of our own in place of a download."""

import sys
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from shortlist.data import open_collection, requests
from shortlist.errors import InvalidInput, MissingExtra, UnknownName


class BeirDoc(NamedTuple):
    doc_id: str
    text: str
    title: str
    metadata: dict[str, Any]


class TrecTopic(NamedTuple):
    query_id: str
    title: str
    description: str

    def default_text(self):
        return self.title


class Qrel(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int


class Scored(NamedTuple):
    query_id: str
    doc_id: str
    score: float


DOCS = [BeirDoc("a", "one", "First", {"url": "u"}), BeirDoc("b", "two", "", {})]


class Dataset:
    def __init__(self, *parts):
        self.parts = parts

    def __getattr__(self, name):
        if name.startswith("has_"):
            return lambda: name.removeprefix("has_") in self.parts
        raise AttributeError(name)

    def docs_iter(self):
        return iter(DOCS)

    def docs_count(self):
        return len(DOCS)

    def docs_store(self):
        by_id = {doc.doc_id: doc for doc in DOCS}
        return SimpleNamespace(get=by_id.__getitem__)

    def queries_iter(self):
        return iter([TrecTopic("1", "what", "what is it")])

    def qrels_iter(self):
        return iter([Qrel("1", "a", 2), Qrel("1", "b", 0)])

    def scoreddocs_iter(self):
        return iter([Scored("1", "b", 1.0), Scored("1", "a", 2.0)])


@pytest.fixture
def package(monkeypatch):
    registry = {"tiny": Dataset("docs"), "tiny/test": Dataset("docs", "queries", "qrels", "scoreddocs")}
    monkeypatch.setitem(sys.modules, "ir_datasets", SimpleNamespace(load=registry.__getitem__, registry=registry))


@pytest.mark.usefixtures("package")
def test_a_dataset_serves_what_a_folder_does():
    tiny = open_collection("irds:tiny/test")
    (query,) = tiny.queries()
    assert (tiny.name, query.id, query.text, query.metadata) == (
        "tiny/test",
        "1",
        "what",
        {"description": "what is it"},
    )
    assert tiny.qrels() == {"1": {"a": 2, "b": 0}}
    assert (tiny.corpus["a"].full_text, tiny.corpus["a"].metadata) == ("First one", {"url": "u"})
    assert [document.id for document in tiny.corpus.values()] == list(tiny.corpus) == ["a", "b"]
    assert (len(tiny.corpus), tiny.corpus.get("c")) == (2, None)
    (request,) = requests(tiny, tiny.run())
    assert [candidate.id for candidate in request.candidates] == ["a", "b"]


@pytest.mark.usefixtures("package")
def test_a_split_is_the_rest_of_the_id():
    tiny = open_collection("irds:tiny")
    assert tiny.qrels("test") == {"1": {"a": 2, "b": 0}}
    with pytest.raises(InvalidInput, match="'tiny' has no queries; a longer id"):
        tiny.queries()
    with pytest.raises(UnknownName, match=r"tiny/tset.*Did you mean 'tiny/test'"):
        tiny.queries("tset")
    with pytest.raises(UnknownName, match="nothing"):
        open_collection("irds:nothing")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtra, match=r"shortlist\[datasets\]"):
        open_collection("irds:vaswani")


def test_the_real_package_knows_its_ids():
    pytest.importorskip("ir_datasets")
    assert open_collection("irds:vaswani").name == "vaswani"
    with pytest.raises(UnknownName, match="vaswanii"):
        open_collection("irds:vaswanii")
