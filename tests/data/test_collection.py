"""Collections in every layout, and the corpus under them."""

import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from shortlist.data import BeirCollection, Corpus, excluded_ids, open_collection, write_collection, write_jsonl
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.types import Document, Query

SHARED = Path(os.environ.get("SHORTLIST_DATA", Path(__file__).parents[3] / "shared/data"))


def shared(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"the collection {name} is not in {SHARED} (set SHORTLIST_DATA)")
    return open_collection(SHARED / name)


@pytest.fixture
def small(tmp_path):
    return write_collection(
        tmp_path / "small",
        corpus=[
            Document(id="d1", text="one", title="First"),
            Document(id="d 2", text=""),
            Document(id="d3", text="x\0é" * 400_000, metadata={"url": "u"}),
        ],
        queries=[
            Query(id="q1", text="what", answers=("a", "b"), metadata={"type": "bridge"}),
            Query(id="q2", text="who"),
        ],
        qrels={"test": {"q1": {"d1": 1}}, "dev": {"q2": {"d3": 2}}},
        runs={"run.bm25": {"q1": {"d1": 2.0, "d3": 1.0}}},
        splits={"train": ["q2"]},
    )


def test_what_is_written_in_beirs_layout_is_read_back(small):
    assert [document.id for document in small.corpus.values()] == list(small.corpus) == ["d1", "d 2", "d3"]
    assert small.corpus["d3"] == Document(id="d3", text="x\0é" * 400_000, metadata={"url": "u"})
    assert small.corpus["d1"].full_text == "First one"
    assert len(small.corpus) == 3
    assert "d4" not in small.corpus
    first, second = small.queries()
    assert first == Query(id="q1", text="what", answers=("a", "b"), metadata={"type": "bridge"})
    assert (small.name, small.runs, dict(small.run("run.bm25"))) == (
        "small",
        ("run.bm25",),
        {"q1": {"d1": 2.0, "d3": 1.0}},
    )
    assert second.answers == ()


def test_splits_are_lists_of_queries_or_files_of_judgements(small):
    assert small.splits == ("dev", "test", "train")
    assert small.qrels() == {"q1": {"d1": 1}, "q2": {"d3": 2}}
    assert small.qrels("dev") == small.qrels("train") == {"q2": {"d3": 2}}
    assert [query.id for query in small.queries("train")] == ["q2"]
    assert [query.id for query in small.queries("test")] == ["q1"]
    with pytest.raises(UnknownName, match="Known: dev, test, train"):
        small.queries("tset")
    with pytest.raises(UnknownName, match="bm25"):
        small.run("bm52")


def test_another_file_of_queries(small):
    write_jsonl(small.folder / "expanded.jsonl", [{"_id": "q1", "text": "what and why", "further": 1}])
    (query,) = small.queries(file="expanded.jsonl")
    assert (query.text, query.metadata) == ("what and why", {"further": 1})
    with pytest.raises(InvalidFile, match="no such file"):
        list(small.queries(file="nowhere.jsonl"))


def test_a_repeated_document_id_is_named_with_both_lines(tmp_path):
    path = tmp_path / "corpus.jsonl"
    write_jsonl(path, [{"_id": "a", "text": ""}, {"_id": "b", "text": ""}, {"_id": "a", "text": ""}])
    with pytest.raises(InvalidFile, match=r"corpus.jsonl:3: document id 'a' was there before, in line 1"):
        Corpus(path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"_id": "a"}', "none of the fields text"),
        ('{"text": "a"}', "none of the fields _id"),
        ('{"_id": "a", "text": 3}', "'text' is 3, not a string"),
        ('{"_id": true, "text": ""}', "the id True"),
        ('{"_id": "", "text": ""}', "the id ''"),
    ],
)
def test_lines_that_are_no_documents_are_named(tmp_path, line, says):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"_id": 7, "text": "fine"}\n\n' + line)
    with pytest.raises(InvalidFile, match=says) as caught:
        Corpus(path)
    assert caught.value.line == 3


def test_a_corpus_in_gzip_with_crlf_blank_lines_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(
        gzip.compress(b'\xef\xbb\xbf{"_id": 1, "text": "a"}\r\n\r\n{"id": "2", "contents": "\\"T\\"\\nbody"}')
    )
    corpus = Corpus(path)
    assert dict(corpus) == {"1": Document(id="1", text="a"), "2": Document(id="2", text="body", title="T")}
    (tmp_path / "empty").write_text("")
    assert not Corpus(tmp_path / "empty")


def test_a_corpus_holds_sixteen_bytes_a_document_not_its_text(tmp_path):
    path = tmp_path / "corpus.jsonl"
    write_jsonl(path, ({"_id": f"doc-{i}", "text": "words of a passage " * 20} for i in range(20_000)))
    tracemalloc.start()
    corpus = Corpus(path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000 * 40
    assert corpus["doc-19999"].text.startswith("words")
    assert sum(1 for _ in corpus.values()) == 20_000


def test_query_files_name_their_bad_lines(small):
    (small.folder / "queries.jsonl").write_text('{"_id": "q", "text": "fine"}\n{"_id": "p", "text": "  "}\n')
    with pytest.raises(InvalidFile, match=r"queries.jsonl:2: query 'p' has no text"):
        list(small.queries())


def test_bright(tmp_path):
    write_jsonl(tmp_path / "documents.jsonl", [{"id": "a/b.txt", "content": "text"}])
    example = {"query": "why?", "reasoning": "r", "id": "0", "excluded_ids": ["x", "N/A"], "gold_ids": ["a/b.txt"]}
    write_jsonl(tmp_path / "examples.jsonl", [example])
    bright = open_collection(str(tmp_path))
    (query,) = bright.queries()
    assert (query.id, query.text, query.metadata["reasoning"]) == ("0", "why?", "r")
    assert excluded_ids(query) == {"x"}
    assert bright.qrels() == {"0": {"a/b.txt": 1}}
    assert bright.corpus["a/b.txt"].text == "text"
    with pytest.raises(UnknownName, match="test"):
        bright.queries("test")


@pytest.mark.parametrize(
    "judged", ['{"q_id": "0", "p_id": "a", "score": 1}\n', "0 0 a 1\n", "query-id\tcorpus-id\tscore\n0\ta\t1\n"]
)
def test_r2med(tmp_path, judged):
    write_jsonl(tmp_path / "corpus.jsonl", [{"id": "a", "text": "text"}])
    write_jsonl(tmp_path / "query.jsonl", [{"id": "0", "text": "why?"}])
    (tmp_path / "qrels.txt").write_text(judged)
    r2med = open_collection(tmp_path)
    assert [query.id for query in r2med.queries()] == ["0"]
    assert r2med.qrels() == {"0": {"a": 1}}
    assert list(r2med.corpus) == ["a"]


def test_what_is_no_collection_says_what_was_looked_for(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        open_collection(tmp_path / "nowhere")
    (tmp_path / "corpus.tsv").write_text("")
    with pytest.raises(InvalidInput, match=r"corpus.jsonl and queries.jsonl \(BEIR\).*found corpus.tsv"):
        open_collection(tmp_path)
    with pytest.raises(InvalidInput, match="is a file; give the folder"):
        open_collection(tmp_path / "corpus.tsv")
    with pytest.raises(InvalidInput, match=r"has no corpus\.jsonl"):
        _ = BeirCollection(tmp_path).corpus
    (tmp_path / "splits.json").write_text(json.dumps({"train": "q1"}))
    with pytest.raises(InvalidFile, match="lists of query ids"):
        _ = BeirCollection(tmp_path).splits


@pytest.mark.data
def test_trec_dl19_is_as_published():
    dl19 = shared("trec-dl19")
    assert (len(dl19.corpus), sum(1 for _ in dl19.queries()), len(dl19.qrels("test"))) == (16_999, 43, 43)
    assert sum(map(len, dl19.qrels().values())) == 9_260
    assert {len(best) for best in dl19.run("run").values()} == {100}
    assert len(dl19.runs) == 6


@pytest.mark.data
def test_nfcorpus_is_read_from_gzip():
    nfcorpus = shared("nfcorpus")
    assert (len(nfcorpus.corpus), len(nfcorpus.qrels("test")), nfcorpus.splits) == (3_633, 323, ("dev", "test"))
    assert sum(map(len, nfcorpus.qrels("test").values())) == 12_334
    assert sum(1 for _ in nfcorpus.queries("test")) == 323


@pytest.mark.data
def test_hotpotqa_has_answers_and_splits():
    hotpot = shared("hotpotqa-distractor")
    assert [sum(1 for _ in hotpot.queries(split)) for split in ("train", "dev", "test")] == [400, 100, 252]
    assert len(hotpot.qrels("test")) == 252
    assert all(query.answers for query in hotpot.queries())
