"""The retriever: examples from lessons, recall by hand, and a tiny encoder that learns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
sys.path.insert(0, str(Path(__file__).parent))

import tiny
import tiny_encoder

from shortlist.backends.sentence_transformers import SentenceTransformersEmbedder
from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput, ModelUnavailable
from shortlist.synthesis.common import Tally
from shortlist.synthesis.retriever import Example, RetrieverTraining, examples, pairs, pool, recall_at
from shortlist.types import Candidate, Document, Query, Slate


def lesson(qid="q", grades=None, teacher=None, count=4) -> Lesson:
    candidates = tuple(Candidate(Document(id=f"d{i}", text=f"text {i}")) for i in range(count))
    slate = Slate(Query(text="why", id=qid), candidates)
    return Lesson(slate=slate, grades=grades or {}, teacher=teacher or {})


def test_examples_from_grades():
    made = list(examples([lesson(grades={"d1": 2, "d3": 1})], Tally(), negatives=2, rel=2))
    assert made == [Example("why", "text 1", ("text 0", "text 2"))]  # d3 is neither


def test_examples_from_a_teacher():
    teacher = {"d0": 0.1, "d1": 0.9, "d2": 0.5, "d3": 0.2}
    assert list(examples([lesson(teacher=teacher)], Tally(), negatives=2)) == [
        Example("why", "text 1", ("text 3", "text 0"))
    ]


def test_what_gives_no_example_is_counted():
    tally = Tally()
    lists = [lesson(), lesson(grades={"d0": 1}, count=1), lesson("held", grades={"d0": 1}), lesson(grades={"d0": 1})]
    assert len(list(examples(lists, tally, without={"held"}))) == 1
    assert tally == {
        "lessons without a positive": 1,
        "lessons with too few negatives": 1,
        "lessons of held-out queries": 1,
        "examples": 1,
    }


def test_pairs_from_judgements():
    corpus = {"d": Document(id="d", text="body", title="head")}
    qrels = {"q": {"d": 1, "lost": 1, "other": 0}}
    assert list(pairs([Query(text="why", id="q")], qrels, corpus)) == [Example("why", "head body", ())]


class Axes:
    """Embeds "i" as the i-th axis."""

    identity = "axes"

    def embed(self, texts, /, *, role):
        return np.stack([np.eye(4, dtype=np.float32)[int(text.split()[-1])] for text in texts])


def test_recall_by_hand():
    documents = [Document(id=f"d{i}", text=str(i)) for i in range(4)]
    queries = [Query(text="0", id="a"), Query(text="1", id="b"), Query(text="2", id="unjudged")]
    qrels = {"a": {"d0": 1, "d3": 1}, "b": {"d1": 1}, "unjudged": {"d2": 0}}
    found = recall_at(Axes(), lambda: documents, queries, qrels, ks=(1, 4))
    assert found == {"recall@1": 0.75, "recall@4": 1.0}
    with pytest.raises(InvalidInput, match="none of the queries"):
        recall_at(Axes(), lambda: documents, queries, {})


def test_a_pool_holds_all_that_is_judged():
    corpus = {f"d{i}": Document(id=f"d{i}", text="x") for i in range(20)}
    qrels = {"a": {"d19": 1, "d3": 0}}
    ids = pool(corpus, qrels, 6)
    assert {"d3", "d19"} <= set(ids)
    assert len(ids) == 6
    assert ids == pool(corpus, qrels, 6)
    assert pool(corpus, qrels, None) == list(corpus)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return tiny_encoder.encoder(tmp_path_factory.mktemp("encoder"))


COLOURS = ("blue", "red", "green", "cat", "dog", "mat")


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning", "default::UserWarning")
def test_it_learns_which_words_go_together(encoder, tmp_path, capsys):
    """A query is a number, its passage a word: recall of the first hit goes up."""
    numbers = tiny.NUMBERS.split()[: len(COLOURS)]
    items = [
        Example(number, f"{colour} .", (f"{COLOURS[i - 1]} .",))
        for i, (number, colour) in enumerate(zip(numbers, COLOURS, strict=True))
    ]
    documents = [Document(id=colour, text=f"{colour} .") for colour in COLOURS]
    queries = [Query(id=n, text=n) for n in numbers]
    qrels = {number: {colour: 1} for number, colour in zip(numbers, COLOURS, strict=True)}
    losses = []
    recipe = RetrieverTraining(model=str(encoder), batch=6, epochs=40, learning_rate=3e-3, max_length=16)
    steps = recipe.train(items, tmp_path / "trained", lambda step, total, loss: losses.append((step, total, loss)))
    assert steps == 40
    assert capsys.readouterr().out == ""  # standard output is for results
    assert [step for step, _, _ in losses] == list(range(1, 41))
    assert losses[-1][2] < losses[0][2] * 0.7

    def measured(folder):
        embedder = SentenceTransformersEmbedder(str(folder), device="cpu", threads=1)
        return recall_at(embedder, lambda: documents, queries, qrels, ks=(1,))["recall@1"]

    assert measured(tmp_path / "trained") > measured(encoder)
    assert json.loads((tmp_path / "trained" / "modules.json").read_text())
    with pytest.raises(InvalidInput, match="not empty"):
        recipe.train(items, tmp_path / "trained")
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]


def test_too_few_examples_and_models_that_cannot_learn(tmp_path):
    item = Example("q", "p", ())
    with pytest.raises(InvalidInput, match="1 examples for batches of 16"):
        RetrieverTraining().train([item], tmp_path / "out")
    with pytest.raises(InvalidInput, match="equally many"):
        RetrieverTraining(batch=2).train([item, Example("q", "p", ("n",))], tmp_path / "out")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="minilm-l6-embed"):
        RetrieverTraining(model=str(tmp_path / "onnx"), batch=2).train([item, item], tmp_path / "out")
    with pytest.raises(InvalidInput):
        RetrieverTraining(batch=1)
