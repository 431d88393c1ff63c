"""Short shuffled lists of a split's queries as a run, to evaluate on what a small model can be shown at once.

    python scripts/short_lists.py pools --run test.trec --split test --limit 320 --output test5.trec
    shortlist evaluate --data pools --run test5.trec --queries test5.queries.jsonl --depth 5 …

One list a query: some of its first --depth candidates, drawn as `shortlist data draw` draws them, with something relevant
among them and something that is not. Beside the run stand its queries (OUTPUT with .queries.jsonl for its ending), in an order
drawn by the seed, so that the first N of them are a sample.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from shortlist.data import open_collection
from shortlist.data.requests import requests
from shortlist.data.trec import read_run
from shortlist.synthesis.draws import Draws


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("data")
    told.add_argument("--run", type=Path, required=True)
    told.add_argument("--split", default="test")
    told.add_argument("--size", type=int, default=5)
    told.add_argument("--depth", type=int, default=10)
    told.add_argument("--limit", type=int, help="a sample of so many queries")
    told.add_argument("--seed", type=int, default=0)
    told.add_argument("--output", type=Path, required=True)
    asked = told.parse_args()
    collection = open_collection(asked.data)
    found = requests(collection, read_run(asked.run), depth=asked.depth, split=asked.split)
    draws = Draws(size=asked.size, depth=asked.depth, per_query=8, floor=0.0, shares={"shuffled": 1.0}, seed=asked.seed)
    slates = {}
    for lesson in draws.lessons(found, collection.qrels(asked.split), Counter()):
        slates.setdefault(lesson.slate.query.id, lesson.slate)
    order = np.random.default_rng(asked.seed).permutation(sorted(slates))[: asked.limit]
    with asked.output.open("w") as run, asked.output.with_suffix(".queries.jsonl").open("w") as queries:
        for slate in (slates[str(qid)] for qid in order):
            queries.write(json.dumps({"_id": slate.query.id, "text": slate.query.text}) + "\n")
            for rank, candidate in enumerate(slate.candidates, start=1):
                run.write(f"{slate.query.id} Q0 {candidate.id} {rank} {-rank} as-shown\n")
    print(f"{len(order)} lists of {len(slates)}")


if __name__ == "__main__":
    main()
