import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards"))

from reward_doubles import Fails, ScriptedReader, knows

from shortlist.data import write_collection
from shortlist.data.files import write_jsonl
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rewards.answer import ReaderReward
from shortlist.rewards.base import WeightedReward
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.training.data import following, load_training, solvable
from shortlist.types import Document, FollowUp, Query, RerankRequest

DATA = Path(os.environ.get("SHORTLIST_DATA", Path(__file__).parents[2] / "../shared/data"))
CORPUS = [Document(id=f"d{i}", text=f"topic{i} said of word{i % 7}") for i in range(20)]


def queries(names, answers=("gold",)):
    return [Query(id=name, text=f"what topic{i} said of {name}", answers=answers) for i, name in enumerate(names)]


def names(requests):
    return [request.query.id for request in requests]


@pytest.fixture
def folder(tmp_path):
    asked = queries([f"q{i}" for i in range(10)])
    qrels = {query.id: {f"d{i}": 1} for i, query in enumerate(asked)}
    splits = {"train": ["q0", "q1", "q2", "q3", "q4"], "dev": ["q5", "q6"], "test": ["q7", "q8", "q9"]}
    write_collection(tmp_path / "c", corpus=CORPUS, queries=asked, qrels={"test": qrels}, splits=splits)
    return tmp_path / "c"


def rewrite(folder, *, splits=None, asked=None):
    if splits is not None:
        (folder / "splits.json").write_text(json.dumps(splits))
    if asked is not None:
        record = [{"_id": q.id, "text": q.text, "answers": list(q.answers)} for q in asked]
        write_jsonl(folder / "queries.jsonl", record)


def test_the_splits_of_the_collection_and_nothing_of_test(folder):
    data = load_training(folder, depth=3)
    assert names(data.train) == ["q0", "q1", "q2", "q3", "q4"]
    assert names(data.dev) == ["q5", "q6"]
    assert set(data.qrels) == {"q0", "q1", "q2", "q3", "q4", "q5", "q6"}
    assert data.train[3].candidates[0].id == "d3"  # by BM25
    assert all(1 <= len(request.candidates) <= 3 for request in data.train)
    assert data.notes[:2] == ("train: the split train", "dev: 2 queries of its own")
    assert data.notes[2] == "candidates: BM25 over the corpus, top 3"
    assert data.fingerprint == load_training(folder, depth=3).fingerprint != load_training(folder, depth=2).fingerprint


@pytest.mark.parametrize("wrong", [{"train": "test"}, {"dev": "test"}, {"train": "Test-2019"}])
def test_the_test_split_is_not_opened(folder, wrong):
    with pytest.raises(InvalidInput, match="for reporting, once"):
        load_training(folder, **wrong)


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": ["q0", "q1"], "dev": ["q1"], "test": ["q2"]}, "train and dev"),
        ({"train": ["q0", "q2"], "dev": ["q1"], "test": ["q2"]}, "train and test"),
        ({"train": ["q0"], "dev": ["q1", "q2"], "test": ["q2"]}, "dev and test"),
    ],
)
def test_parts_that_overlap(folder, splits, words):
    rewrite(folder, splits=splits)
    with pytest.raises(InvalidInput, match=words):
        load_training(folder)


def test_questions_asked_twice_are_left_out_of_train(folder):
    asked = queries([f"q{i}" for i in range(10)])
    twin = [Query(id="q0", text=" WHAT topic7  said of q7", answers=("gold",)), *asked[1:]]
    rewrite(folder, asked=twin)
    data = load_training(folder)
    assert names(data.train) == ["q1", "q2", "q3", "q4"]
    assert any("word for word: 1 of train" in note for note in data.notes)


def test_without_dev_some_of_train_is_set_apart(folder):
    rewrite(folder, splits={"train": ["q0", "q1", "q2", "q3", "q4"], "test": ["q7", "q8", "q9"]})
    data = load_training(folder, dev_share=0.4)
    assert len(data.dev) == 2
    assert sorted(names(data.train) + names(data.dev)) == ["q0", "q1", "q2", "q3", "q4"]
    assert names(load_training(folder, dev_share=0.4).dev) == names(data.dev)
    assert any(names(load_training(folder, dev_share=0.4, seed=s).dev) != names(data.dev) for s in range(1, 6))


def test_without_train_what_is_not_test_is_divided(folder):
    rewrite(folder, splits={"test": ["q7", "q8", "q9"], "dev": ["q5"]})
    data = load_training(folder)
    assert names(data.train) == ["q0", "q1", "q2", "q3", "q4", "q6"]
    assert names(data.dev) == ["q5"]


def test_a_lone_test_split_is_divided_and_this_is_told(folder):
    (folder / "splits.json").unlink()
    data = load_training(folder, dev_share=0.3)
    assert (len(data.train), len(data.dev)) == (7, 3)
    assert "report on another collection" in data.notes[0]


def test_a_lone_test_split_stays_shut_where_there_are_other_questions(folder):
    rewrite(folder, splits={"test": ["q0", "q1", "q2"]})
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\nq2\td2\t1\n")
    data = load_training(folder)
    assert sorted([*names(data.train), *names(data.dev)]) == ["q3", "q4", "q5", "q6", "q7", "q8", "q9"]
    assert "7 queries that are not test" in data.notes[0]


def test_files_of_queries(folder, tmp_path):
    for name, ids in (("mine", ["q0", "q1", "q2"]), ("chosen", ["q6"]), ("leak", ["q0", "q8"])):
        some = [query for query in queries([f"q{i}" for i in range(10)]) if query.id in ids]
        write_jsonl(tmp_path / f"{name}.jsonl", [{"_id": q.id, "text": q.text, "answers": ["gold"]} for q in some])
    data = load_training(folder, train=tmp_path / "mine.jsonl", dev=tmp_path / "chosen.jsonl")
    assert (names(data.train), names(data.dev)) == (["q0", "q1", "q2"], ["q6"])
    with pytest.raises(InvalidInput, match="train and test"):
        load_training(folder, train=tmp_path / "leak.jsonl")


def test_candidates_from_a_run_and_queries_without_any(folder, tmp_path):
    run = tmp_path / "run.trec"
    run.write_text("".join(f"q{i} Q0 d{j} {j} {9 - j} r\n" for i in (0, 1, 5, 6) for j in range(4)))
    data = load_training(folder, run=run, depth=2)
    assert [candidate.id for candidate in data.train[0].candidates] == ["d0", "d1"]
    assert (names(data.train), names(data.dev)) == (["q0", "q1"], ["q5", "q6"])
    assert "3 training queries have no candidates and were left out" in data.notes


def test_what_the_reward_needs(folder):
    asked = queries([f"q{i}" for i in range(10)], answers=())
    rewrite(folder, asked=asked)
    with pytest.raises(InvalidInput, match="gold answers"):
        load_training(folder)
    assert len(load_training(folder, needs="judgements").train) == 5
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t0\nq5\td5\t2\n")
    data = load_training(folder, needs="judgements")
    assert (names(data.train), names(data.dev)) == (["q0"], ["q5"])
    assert "5 queries with nothing judged relevant were left out" in data.notes
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\n")
    with pytest.raises(InvalidInput, match="0 to choose by"):
        load_training(folder, needs="judgements")


def test_limits_and_wrong_values(folder):
    data = load_training(folder, limit=2, dev_limit=1)
    assert (names(data.train), names(data.dev)) == (["q0", "q1"], ["q5"])
    for wrong in ({"depth": 0}, {"dev_share": 1.0}):
        with pytest.raises(InvalidInput):
            load_training(folder, **wrong)
    for wrong in ({"needs": "luck"}, {"train": "trian"}, {"dev": "deve"}):
        with pytest.raises(UnknownName):
            load_training(folder, **wrong)


# ------------------------------------------------------------------------------------------------ solvability


def request(name, n=8):
    query = Query(id=name, text=f"question {name}", answers=("gold",))
    return RerankRequest.of(query, [Document(id=f"{name}{i}", text=f"{name} passage {i}") for i in range(n)])


def environment(reader):
    return ReaderEnvironment(WeightedReward(((ReaderReward(reader), 1.0),)), batch=4, patience=10_000)


def by_query(reading):
    """Query a: right whatever is shown; n: never; h: half right; s: only with passage 2; x: no reply."""
    name = reading.query.id
    has = any(document.id.endswith("2") for document in reading.documents)
    return {"a": "gold", "n": "no", "h": "gold bar", "s": "gold" if has else "no", "x": Fails("dead")}[name]


def test_only_what_varies_is_kept_and_the_rest_is_told_apart():
    seen = []
    found = solvable(
        [request(name) for name in "anhsx"],
        environment(ScriptedReader(by_query)),
        samples=8,
        k=2,
        on_progress=lambda *told: seen.append(told),
    )
    assert names(found.kept) == ["s"]
    assert (found.always, found.never, found.even, found.unscored) == (("a",), ("n",), ("h",), ("x",))
    assert found.summary == ("1 queries kept; dropped: 1 always right, 1 never right, 1 no difference, 1 not scored")
    assert seen == [(5, 5)]


def test_draws_belong_to_the_query_and_the_seed():
    def drawn(requests, **told):
        reader = ScriptedReader(lambda _: "gold")
        solvable(requests, environment(reader), k=3, **told)
        return {tuple(d.id for d in reading.documents) for reading in reader.read_so_far if reading.query.id == "a"}

    alone = drawn([request("a")])
    assert ("a0", "a1", "a2") in alone  # the first stage's own
    assert drawn([request("n"), request("a")]) == alone
    assert drawn([request("a")], seed=1) != alone
    cold = drawn([request("a")], temperature=1e-6, utilities=lambda r: range(len(r)))
    assert cold == {("a7", "a6", "a5")}


def test_short_lists_are_read_whole():
    reader = ScriptedReader(lambda reading: "gold" if reading.documents[:1] == request("a", 2).candidates[:1] else "no")
    found = solvable([request("a", 2), request("b", 1), request("c", 0)], environment(reader), k=3)
    assert {len(reading.documents) for reading in reader.read_so_far} == {0, 1, 2}
    assert len(found.kept) + len(found.never) == 3


def test_wrong_filters():
    for wrong in ({"samples": 1}, {"k": 0}, {"temperature": 0.0}):
        with pytest.raises(InvalidInput):
            solvable([request("a")], environment(knows("x")), **wrong)
    with pytest.raises(InvalidInput, match="1 utilities for the 8"):
        solvable([request("a")], environment(knows("x")), utilities=lambda _: [1.0])


# ------------------------------------------------------------------------------------------------ real collections


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "needs", "told"),
    [("hotpotqa-distractor", "answers", "train: the split train"), ("trec-dl21", "judgements", "report on another")],
)
def test_real_collections(name, needs, told):
    if not (DATA / name).is_dir():
        pytest.skip(f"no collection {name} under {DATA}; set SHORTLIST_DATA")
    data = load_training(DATA / name, run=DATA / name / "run.trec", depth=10, needs=needs)
    assert told in data.notes[0]
    assert len(data.train) > len(data.dev) > 10 - (name == "trec-dl21")
    assert not set(names(data.train)) & set(names(data.dev))
    if needs == "answers":
        splits = json.loads((DATA / name / "splits.json").read_text())
        assert set(names(data.train)) == set(splits["train"])
        assert not set(splits["test"]) & set(data.qrels)


# ------------------------------------------------------------------------------------------------ hops


def test_what_is_found_joins_the_question_and_the_rest_is_left_to_rank(folder):
    data = load_training(folder, depth=3)
    on = following(data, 1, words=2)
    before, after = data.train[3], on.train[3]
    assert isinstance(after.query, FollowUp)
    assert after.query.text == "what topic3 said of q3 topic3 said"
    assert (after.query.asked, after.query.found) == (before.query, (before.candidates[0].document,))
    assert (after.query.id, after.query.answers) == (before.query.id, before.query.answers)
    assert after.candidates == before.candidates[1:]
    assert [len(request.candidates) for request in on.dev] == [len(request.candidates) - 1 for request in data.dev]
    assert following(data, 2, words=0).train[0].query.found == tuple(c.document for c in data.train[0].candidates[:2])


def test_something_must_be_left_to_rank(folder):
    with pytest.raises(InvalidInput, match=r"data\.found is 3, and no training query has more"):
        following(load_training(folder, depth=3), 3, words=0)
