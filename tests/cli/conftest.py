"""A small collection, and rerankers that need no model: kinds registered for a test and taken away after it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))

from shortlist.backends.base import Completion
from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
from shortlist.data import write_collection
from shortlist.rerankers.kinds import KINDS, Made, kind
from shortlist.rerankers.policies import PairPolicy, TextPolicy
from shortlist.rerankers.strategies import Pointwise, SlidingWindow
from shortlist.text.listwise import Listwise
from shortlist.types import Document, Query

QUERIES = 6
CANDIDATES = 5


@pytest.fixture
def collection(tmp_path):
    """Six questions, a capital each; the passage that answers stands last in the run."""
    names = ["France", "Peru", "Chad", "Laos", "Cuba", "Oman"]
    capitals = ["Paris", "Lima", "N'Djamena", "Vientiane", "Havana", "Muscat"]
    corpus, run = [], {}
    for q, (name, capital) in enumerate(zip(names, capitals, strict=True)):
        for d in range(CANDIDATES):
            right = d == CANDIDATES - 1
            text = f"The capital of {name} is {capital}." if right else f"{name} has {d + 2} big rivers."
            corpus.append(Document(id=f"d{q}-{d}", text=text, title=name if right else ""))
            run.setdefault(f"q{q}", {})[f"d{q}-{d}"] = float(CANDIDATES - d)
    queries = [
        Query(id=f"q{q}", text=f"capital of {name}?", answers=(capital,))
        for q, (name, capital) in enumerate(zip(names, capitals, strict=True))
    ]
    qrels = {f"q{q}": {f"d{q}-{CANDIDATES - 1}": 1} for q in range(QUERIES)}
    write_collection(
        tmp_path / "capitals",
        corpus=corpus,
        queries=queries,
        qrels={"test": qrels},
        runs={"run.first": run},
        splits={"dev": ["q0", "q1"]},
    )
    return tmp_path / "capitals"


@pytest.fixture
def first_run(collection):
    return collection / "run.first.trec"


class Bomb:
    """Counts what is asked, and stops the job after so many, as a kill would."""

    def __init__(self):
        self.left = None
        self.asked = []

    def tick(self, what):
        if self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        self.asked.append(what)


@pytest.fixture
def bomb():
    return Bomb()


@pytest.fixture
def kinds(bomb):
    """``scripted-pairs:any`` prefers passages that speak of a capital; ``scripted-list:REPLY`` always says REPLY."""

    @kind("scripted-pairs")
    def pairs(order):
        """Scores by the word capital."""

        def score(pair):
            bomb.tick(pair.query)
            return 2.0 if "capital" in pair.passage else 0.1 * ("2" in pair.passage)

        scorer = ScriptedPairScorer(score, identity=order.model)
        return Made.of(PairPolicy(scorer=scorer), Pointwise(), scorer)

    @kind("scripted-list")
    def listed(order):
        """Says what its model is called."""

        def reply(ask):
            bomb.tick(ask.messages[-1].content)
            return Completion(error="the server is on fire") if order.model == "error" else order.model

        completer = ScriptedCompleter(reply)
        policy = TextPolicy(prompt=order.fitted(Listwise()), completer=completer)
        return Made.of(policy, SlidingWindow(), completer)

    yield
    del KINDS["scripted-pairs"], KINDS["scripted-list"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """Tables and messages in one piece, whatever the terminal is."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SHORTLIST_CACHE", raising=False)
