"""Joining runs with texts."""

import os
import tracemalloc
from pathlib import Path

import pytest

from shortlist.data import (
    CandidatesHash,
    Missing,
    RunFile,
    candidates_hash,
    open_collection,
    requests,
    write_collection,
)
from shortlist.errors import InvalidInput
from shortlist.types import Document, Query, RerankRequest

SHARED = Path(os.environ.get("SHORTLIST_DATA", Path(__file__).parents[3] / "shared/data"))


def make(folder, queries, documents, **more):
    return write_collection(folder, corpus=documents, queries=queries, **more)


@pytest.fixture
def collection(tmp_path):
    documents = [Document(id=f"d{i}", text=f"text {i}") for i in range(6)]
    queries = [Query(id=f"q{i}", text=f"query {i}") for i in range(3)]
    return make(tmp_path, queries, documents, splits={"dev": ["q1"]})


def ids(request):
    return [candidate.id for candidate in request.candidates]


def test_every_query_has_its_best_documents_with_their_scores(collection):
    run = {"q2": {"d0": 1.0, "d5": 9.0, "d3": 4.0}, "q0": {"d1": 1.0}}
    first, second, third = requests(collection, run, depth=2)
    assert (first.query.id, ids(first)) == ("q0", ["d1"])
    assert (second.query.id, ids(second)) == ("q1", [])
    assert (third.query.text, ids(third)) == ("query 2", ["d5", "d3"])
    assert third.candidates[0].score == 9.0
    assert third.candidates[0].document.text == "text 5"


def test_ties_and_splits_and_queries_of_ones_own(collection):
    run = {"q1": {"d1": 1.0, "d2": 1.0}, "q0": {"d0": 1.0}}
    assert [ids(r) for r in requests(collection, run, split="dev")] == [["d2", "d1"]]
    assert [ids(r) for r in requests(collection, run, split="dev", ties="file")] == [["d1", "d2"]]
    own = [Query(id="q0", text="other words")]
    assert [(r.query.text, ids(r)) for r in requests(collection, run, queries=own)] == [("other words", ["d0"])]
    with pytest.raises(InvalidInput, match="none of the 1 queries is in the run, whose queries are 'q1', 'q0'"):
        list(requests(collection, run, queries=[Query(id="x", text="x")]))


def test_a_run_of_another_collection_is_refused_at_once(collection):
    run = {"q0": {}, "x1": {"d1": 1.0}, "x2": {}}
    with pytest.raises(
        InvalidInput, match=r"2 of the run's 3 queries are not in .*: 'x1', 'x2'; is it a run of another"
    ):
        requests(collection, run)
    with pytest.raises(InvalidInput, match="depth is 0"):
        requests(collection, {}, depth=0)


def test_queries_that_share_an_id_are_refused(tmp_path):
    twice = make(tmp_path, [Query(id="q", text="a"), Query(id="p", text="b"), Query(id="q", text="c")], [])
    with pytest.raises(InvalidInput, match="queries 1 and 3 have the same id"):
        requests(twice, {})


def test_documents_without_text_are_an_error_or_are_counted(collection):
    run = {"q0": {"d0": 4.0, "gone": 3.0, "lost": 2.0, "d1": 1.0}, "q1": {"gone": 1.0}}
    with pytest.raises(
        InvalidInput, match="query 'q0': 2 of the run's documents are not in the corpus: 'gone', 'lost'"
    ):
        list(requests(collection, run))
    missing = Missing()
    assert [ids(r) for r in requests(collection, run, depth=3, on_missing=missing)] == [["d0"], [], []]
    assert missing.count == 3
    assert missing.examples == [("q0", "gone"), ("q0", "lost"), ("q1", "gone")]


def test_the_query_itself_is_dropped_but_not_a_document_that_only_shares_its_number(tmp_path):
    queries = [Query(id="1", text="an argument  at length"), Query(id="2", text="a question")]
    documents = [Document(id="1", text="an argument at length", title="T"), Document(id="2", text="an answer")]
    collection = make(tmp_path, queries, documents)
    run = {"1": {"1": 9.0, "2": 1.0}, "2": {"2": 9.0, "1": 1.0}}
    assert [ids(r) for r in requests(collection, run, depth=1)] == [["2"], ["2"]]
    assert [ids(r) for r in requests(collection, run, depth=1, drop_self=False)] == [["1"], ["2"]]


def test_excluded_documents_are_dropped_before_the_depth_is_counted(tmp_path):
    queries = [Query(id="q", text="why", metadata={"excluded_ids": ["a", "N/A"]})]
    collection = make(tmp_path, queries, [Document(id=name, text=name) for name in "abc"])
    (request,) = requests(collection, {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, depth=2)
    assert ids(request) == ["b", "c"]


def test_twenty_thousand_requests_take_no_more_memory_than_a_few(tmp_path):
    n = 20_000
    documents = (Document(id=f"d{i}", text="words of a passage " * 10) for i in range(200))
    collection = make(tmp_path, (Query(id=f"q{i}", text=f"query {i}") for i in range(n)), documents)
    with (tmp_path / "run.trec").open("w") as out:
        for i in range(n):
            out.writelines(f"q{i} Q0 d{(i + j) % 200} {j + 1} {9 - j} t\n" for j in range(3))
    tracemalloc.start()
    fingerprint, count = CandidatesHash(), 0
    for request in fingerprint.watch(requests(collection, RunFile(tmp_path / "run.trec"))):
        count += len(request)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, fingerprint.count) == (3 * n, n)
    assert peak < 4_000_000  # the texts alone are 12 MB; the indexes are 16 bytes a query and the room to sort them


def test_the_fingerprint_tells_sets_of_candidates_apart():
    def request(qid="q", *passages, text="what"):
        return RerankRequest.of(Query(id=qid, text=text), passages)

    base = [request("q1", "a", "b"), request("q2", "c")]
    others = [
        [request("q1", "b", "a"), request("q2", "c")],
        [request("q1", "a"), request("q2", "b", "c")],
        [request("q1", "a", "b"), request("q2", "c", text="who")],
        [request("q1", "a", "b")],
        [*base, base[0]],
        [],
    ]
    digests = {candidates_hash(each) for each in [base, *others]}
    assert len(digests) == len(others) + 1
    assert candidates_hash(reversed(base)) == candidates_hash(base)
    stepwise = CandidatesHash()
    for each in base:
        stepwise.update(each)
    assert stepwise.hexdigest() == candidates_hash(base)
    assert len(stepwise.hexdigest()) == 64


@pytest.mark.data
def test_trec_dl19_has_a_hundred_candidates_a_query():
    if not (SHARED / "trec-dl19").is_dir():
        pytest.skip(f"trec-dl19 is not in {SHARED} (set SHORTLIST_DATA)")
    dl19 = open_collection(SHARED / "trec-dl19")
    found = list(requests(dl19, RunFile(SHARED / "trec-dl19" / "run.trec")))
    assert len(found) == 43
    assert all(len(request) == 100 and all(c.document.text for c in request.candidates) for request in found)
    assert all(a.score >= b.score for r in found for a, b in zip(r.candidates, r.candidates[1:], strict=False))


@pytest.mark.data
def test_only_arguana_asks_with_its_own_documents():
    if not (SHARED / "arguana").is_dir() or not (SHARED / "pubmedqa").is_dir():
        pytest.skip(f"arguana and pubmedqa are not in {SHARED} (set SHORTLIST_DATA)")
    for name, kept in (("arguana", 0), ("pubmedqa", 1000)):
        collection = open_collection(SHARED / name)
        run = {q.id: {q.id: 1.0} for q in collection.queries() if q.id in collection.corpus}
        assert sum(map(len, requests(collection, run))) == kept
