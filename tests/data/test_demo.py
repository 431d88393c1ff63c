"""The demo collection: its shape, and that the texts of the running Python answer every question."""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from shortlist.data import demo


def jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, demo.DemoCounts]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo.build_demo(folder)


@pytest.fixture(scope="module")
def corpus(built) -> list[dict]:
    return jsonl(built[0] / "corpus.jsonl")


@pytest.fixture(scope="module")
def queries(built) -> list[dict]:
    return jsonl(built[0] / "queries.jsonl")


@pytest.fixture(scope="module")
def qrels(built) -> dict[str, dict[str, int]]:
    header, *rows = (built[0] / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "query-id\tcorpus-id\tscore"
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for query, passage, grade in (row.split("\t") for row in rows):
        assert passage not in grades[query]
        grades[query][passage] = int(grade)
    return grades


def test_counts_are_those_of_the_files_and_no_anchor_is_lost(built, corpus, queries, qrels):
    counts = built[1]
    assert counts.missing == ()
    assert counts.unresolved == 0
    judgements = sum(map(len, qrels.values()))
    assert (counts.passages, counts.queries, counts.judgements) == (len(corpus), len(queries), judgements)


def test_corpus_has_the_shape_of_beir_and_a_useful_size(corpus):
    assert 5000 <= len(corpus) <= 9000
    assert all(set(passage) == {"_id", "title", "text"} and passage["text"].strip() for passage in corpus)
    assert max(len(passage["text"].split()) for passage in corpus) < 150


def test_ids_are_unique_and_without_blanks(corpus, queries):
    for rows in (corpus, queries):
        ids = [row["_id"] for row in rows]
        assert len(set(ids)) == len(ids)
        assert not any(set(id_) & set(" \t\n") for id_ in ids)


def test_no_two_passages_have_the_same_text(corpus):
    assert len({passage["text"] for passage in corpus}) == len(corpus)


def test_passages_name_public_things_only(corpus):
    for passage in corpus:
        module_path = passage["_id"].split("/")[0]
        assert not any(part.startswith("_") for part in module_path.split(".")[1:]), module_path


def test_topics_and_both_kinds_of_docstring_are_there(corpus):
    titles = {passage["title"] for passage in corpus}
    assert {"with", "functools.lru_cache", "str.join", "math.fsum", "datetime.date.today", "os.path.join"} <= titles


def test_queries_and_qrels_agree(corpus, queries, qrels):
    assert all(set(query) == {"_id", "text", "answers"} for query in queries)
    assert {query["_id"] for query in queries} == set(qrels)
    ids = {passage["_id"] for passage in corpus}
    assert all(set(grades) <= ids and set(grades.values()) <= {0, 1, 2, 3} for grades in qrels.values())


def test_every_answer_can_be_read_from_a_passage_of_the_top_grade(corpus, queries, qrels):
    texts = {passage["_id"]: demo.fold(passage["text"]) for passage in corpus}
    for query in queries:
        best = [texts[passage] for passage, grade in qrels[query["_id"]].items() if grade == 3]
        if query["answers"]:
            assert any(demo.fold(answer) in text for answer in query["answers"] for text in best), query["text"]
            assert 1 <= len(query["answers"]) <= 4
            assert all(1 <= len(answer.split()) <= 5 for answer in query["answers"])


def test_some_questions_have_no_answer_and_their_distractor_has_grade_zero(queries, qrels):
    asked = {question["id"]: question for question in jsonl(demo.QUESTIONS)}
    without = [query["_id"] for query in queries if not query["answers"]]
    assert 4 <= len(without) <= 6
    assert without == [id_ for id_, question in asked.items() if not question["answerable"]]
    assert all(set(qrels[id_].values()) == {0} for id_ in without)


def test_questions_are_different(queries):
    texts = [demo.fold(query["text"]) for query in queries]
    assert len(texts) >= 60
    assert len(set(texts)) == len(texts)


def test_building_again_gives_the_same_bytes(built, tmp_path):
    demo.demo_passages.cache_clear()
    demo.build_demo(tmp_path)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        assert (tmp_path / name).read_bytes() == (built[0] / name).read_bytes()


def test_building_imports_no_module_for_its_docstrings(built):
    assert not {"antigravity", "this", "turtledemo", "idlelib"} & set(sys.modules)


def test_the_highest_grade_counts_and_a_lost_anchor_is_named():
    passages = [demo.Passage("a/1", "a", "a", "One  two three"), demo.Passage("a/2", "a", "a", "two")]
    anchors = [
        {"source": "a", "contains": "TWO", "grade": 1},
        {"source": "a", "contains": "one two", "grade": 3},
        {"source": "a", "contains": "four", "grade": 2},
        {"source": "b", "contains": "two", "grade": 2},
    ]
    grades, lost = demo.resolve(anchors, passages)
    assert grades == {"a/1": 3, "a/2": 1}
    assert lost == ["a has no 'four'", "b has no 'two'"]


def test_pieces_keep_every_word_in_order():
    rng = random.Random(0)
    parts = [
        " ".join(f"w{rng.randrange(99)}{rng.choice(['', '', '.'])}" for _ in range(n)) for n in (5, 130, 1, 400, 3)
    ]
    texts = demo.pieces(parts)
    assert " ".join(texts).split() == " ".join(parts).split()
    assert max(len(text.split()) for text in texts) <= demo.PIECE_WORDS[1] + demo.TAIL_WORDS


def test_pieces_of_nothing_are_none():
    assert demo.pieces([]) == []


def test_markup_goes_and_arguments_stay():
    assert demo.plain("Title\n=====\n**PEP 343** and *x* in f(*args, **kwargs) 2**3**4") == (
        "Title\n\nPEP 343 and x in f(*args, **kwargs) 2**3**4"
    )
