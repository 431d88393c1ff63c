"""A whole run on a toy: a tiny random cross-encoder, a collection in its words, a reader that is a function."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))

import tiny

from shortlist.backends.store import Store
from shortlist.data import write_collection
from shortlist.reading.base import Answer, Reading
from shortlist.training.assembly import Opened, assemble, load_data, open_policy
from shortlist.training.fields import override
from shortlist.training.parallel import Processes
from shortlist.training.recipe import Recipe
from shortlist.training.rrpo import Trainer
from shortlist.types import Document, Query, Status, Usage

COLOURS = ("blue", "red", "green")
FILLER = ["a", "cat", "dog", "sat", "on", "mat", "is", "the", "one", "two", "three", "four", "five", "six"]


def collection(folder: Path, *, queries: int = 16, candidates: int = 6, seed: int = 0) -> Path:
    """Questions after a colour; two of six candidates name it."""
    draw = random.Random(seed)
    corpus, asked, run = [], [], {}
    for q in range(queries):
        colour = COLOURS[q % 3]
        asked.append(Query(id=f"q{q}", text=f"what is {' '.join(draw.choices(FILLER, k=3))} {q}", answers=(colour,)))
        right = set(draw.sample(range(candidates), 2))
        for d in range(candidates):
            words = [*draw.choices(FILLER, k=5), colour if d in right else draw.choice(FILLER)]
            draw.shuffle(words)
            corpus.append(Document(id=f"d{q}-{d}", text=" ".join(words)))
            run.setdefault(f"q{q}", {})[f"d{q}-{d}"] = float(candidates - d)
    ids = [query.id for query in asked]
    cut = queries * 3 // 4
    qrels = {
        q.id: {f"d{i}-{d}": 1 for d in range(candidates) if q.answers[0] in corpus[i * candidates + d].text}
        for i, q in enumerate(asked)
    }
    write_collection(
        folder,
        corpus=corpus,
        queries=asked,
        qrels={"all": qrels},
        runs={"run.first": run},
        splits={"train": ids[:cut], "dev": ids[cut:]},
    )
    return folder


@dataclass
class Colourist:
    """Answers with the colour asked after if the first passages name it; ``dies_after`` calls it fails for good."""

    seconds: float = 0.0
    dies_after: int | None = None
    identity: str = "colourist"
    calls: int = 0

    def read(self, readings, /):
        for reading in readings:
            yield self._answer(reading)

    def _answer(self, reading: Reading) -> Answer:
        self.calls += 1
        time.sleep(self.seconds)
        if self.dies_after is not None and self.calls > self.dies_after:
            return Answer(text=None, reading=reading, status=Status.FAILED, error="connection refused")
        words = " ".join(document.text for document in reading.documents).split()
        found = [word for word in words if word in COLOURS]
        return Answer(
            text=found[0] if found else "mat", reading=reading, usage=Usage(calls=1, prompt_tokens=len(words))
        )


BASE = (
    "sampling.k=2",
    "sampling.samples=4",
    "optimiser.steps=12",
    "optimiser.queries=4",
    "optimiser.lr=1e-3",
    "optimiser.warmup=2",
    "dev.every=3",
    "dev.patience=null",
    "save_every=2",
    "data.run=run.first.trec",
    "data.depth=6",
    "policy.max_length=48",
    "guards.entropy=null",
    "guards.zero_variance=null",
    "guards.kl=null",
)


def recipe(model: Path, *overrides: str) -> Recipe:
    words = dict(map(override, (*BASE, *overrides)))
    return Recipe.of({"model": str(model), "reader": "scripted", **words})


def bert(folder: Path) -> Path:
    return folder if folder.exists() else tiny.bert(folder)


def opened(run: Path, told: Recipe, data: Path, reader=None, processes: Processes = Processes()) -> Opened:
    policy, store = open_policy(told), Store(run.parent / f"{run.name}.sqlite")
    found = load_data(told, data)
    return Opened(
        recipe=told, run=run, data=found, policy=policy, reader=reader or Colourist(), store=store, processes=processes
    )


def train(run: Path, told: Recipe, data: Path, *, resume=False, reader=None, processes=Processes(), on_step=None):
    task = assemble(opened(run, told, data, reader, processes), resume=resume)
    return Trainer(task, on_step).run(resume=resume)
