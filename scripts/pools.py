"""Put several collections together into one to train text policies on: train, dev and test queries, each source sampled.

    python scripts/pools.py DATA --output pools nq-open-oracle=1500 fiqa-goldpool=600 antique-judged=200
    shortlist index --data pools --output pools-index
    shortlist retrieve --data pools --index pools-index --split train --output pools/train.trec

DATA holds the collections by name. Ids get the source's name in front; a passage of one source may so become a candidate
of another's query. Of each source one query in ten is for dev and one in five for test; the seed decides which.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from shortlist.data.beir import BeirCollection, write_collection
from shortlist.types import Document, Query


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("data", type=Path)
    told.add_argument("sources", nargs="+", metavar="NAME=QUERIES")
    told.add_argument("--output", type=Path, required=True)
    told.add_argument("--seed", type=int, default=0)
    asked = told.parse_args()
    counts = {name: int(count) for name, _, count in (source.partition("=") for source in asked.sources)}
    queries: list[Query] = []
    qrels: dict[str, dict[str, dict[str, int]]] = {"train": {}, "dev": {}, "test": {}}
    for name, count in counts.items():
        source = BeirCollection(asked.data / name)
        judged = source.qrels()
        known = [q for q in source.queries() if any(grade > 0 for grade in judged.get(q.id, {}).values())]
        order = np.random.default_rng(asked.seed).permutation(len(known))[:count]
        for place, query in enumerate(known[i] for i in order):
            mine = dataclasses.replace(query, id=f"{name}/{query.id}", metadata={})
            queries.append(mine)
            split = "dev" if place % 10 == 0 else "test" if place % 5 == 1 else "train"
            qrels[split][mine.id] = {f"{name}/{docid}": grade for docid, grade in judged[query.id].items()}
    write_collection(asked.output, corpus=_documents(asked.data, counts), queries=queries, qrels=qrels)
    print({split: len(judged) for split, judged in qrels.items()})


def _documents(data: Path, names: dict[str, int]) -> Iterator[Document]:
    for name in names:
        corpus = BeirCollection(data / name).corpus
        for docid in corpus:
            yield dataclasses.replace(corpus[docid], id=f"{name}/{docid}", metadata={})


if __name__ == "__main__":
    main()
