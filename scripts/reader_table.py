"""What a reader makes of the shortlists of many systems, each distinct set of passages read once: RRPO's tables of results.md.

    shortlist rerank --data hotpotqa-distractor --run hotpotqa-distractor/run.trec --reranker runs/ours-0/checkpoints/best \
        --split test --depth 10 --output ours-0.trec
    python scripts/reader_table.py --data hotpotqa-distractor --reader MODEL.gguf?one_line=true --cache reads.sqlite \
        --k 1,2,3 base=base.trec ours@0=ours-0.trec ours@1=ours-1.trec --output table.json

Systems are TREC runs; NAME@SEED are the seeds of one system, whose queries are averaged before they are compared with those
of the first system, averaged likewise. Of systems named NAME+ each query keeps as many as its reranker said, k at most. The
reader is shown a shortlist best first; with ``--key set`` in the order of ids, so that what was read for one system is oftener
known for the next. Beside each mean: the paired bootstrap's and the t-test's p against the first system.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from shortlist.api import open_reader
from shortlist.backends.store import Store
from shortlist.cli.notes import read_cutoffs
from shortlist.data import open_collection
from shortlist.data.requests import requests
from shortlist.data.trec import read_run
from shortlist.evaluation.significance import paired_bootstrap, paired_t_test
from shortlist.metrics.ranking import ndcg
from shortlist.rewards.answer import ReaderReward
from shortlist.rewards.base import WeightedReward
from shortlist.rewards.environment import ReaderEnvironment


def main() -> None:
    told = arguments()
    collection = open_collection(told.data)
    environment = open_environment(told)
    systems = dict(system.split("=", 1) for system in told.systems)
    ranked = {
        name: list(requests(collection, read_run(Path(path)), depth=told.depth, split=told.split))[: told.limit]
        for name, path in systems.items()
    }
    read_all(environment, ranked, told.k)
    print(f"{environment.counters.made} shortlists read, {environment.counters.saved} known already, {told.split}")
    tables, per_query = [], {}
    for k in told.k:
        rows = {name: measured(collection, environment, ranked[name], name, Path(systems[name]), k) for name in systems}
        systems_of = grouped(rows)
        first = next(iter(systems_of.values()))
        tables += [{"k": k, **compared(name, seeds, first, rows)} for name, seeds in systems_of.items()]
        per_query[k] = rows
    for row in tables:
        print(json.dumps(row))
    if told.output:
        told.output.write_text(
            json.dumps({"arguments": vars(told), "table": tables, "per_query": per_query}, default=str)
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="+", metavar="NAME[@SEED]=RUN")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--reader", required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--k", type=lambda words: [int(k) for k in words.split(",")], default=[3], help="1,2,3")
    parser.add_argument("--key", choices=("ordered", "set"), default="ordered")
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def open_environment(told: argparse.Namespace) -> ReaderEnvironment:
    reader = open_reader(told.reader)
    parts = tuple((ReaderReward(reader, measure), 1.0) for measure in ("f1", "em"))
    store = Store(told.cache) if told.cache else None
    return ReaderEnvironment(WeightedReward(parts), store, key=told.key, batch=16)


def read_all(environment: ReaderEnvironment, ranked: dict[str, list], ks: list[int]) -> None:
    """Every shortlist of every system with a fixed k, so that those of one query are read side by side."""
    asked = [request for name, every in ranked.items() if not keeps_own(name) for request in every]
    lists = [(request.query, tuple(c.document for c in request.candidates[: max(ks)])) for request in asked]
    environment.evaluate(lists, ks)


def keeps_own(name: str) -> bool:
    """Whether a system keeps as many as its reranker said."""
    return name.partition("@")[0].endswith("+")


def measured(collection, environment: ReaderEnvironment, asked: list, name: str, path: Path, k: int) -> dict[str, dict]:
    """F1, EM, nDCG@10, recall at k and passages kept, of each query of one run."""
    cutoffs = read_cutoffs(path) if keeps_own(name) else {}
    most = {r.query.id: min(k, cutoffs.get(r.query.id, k), len(r.candidates)) for r in asked}
    read = answers(environment, asked, most)
    qrels = collection.qrels()
    told_of = {}
    for request in asked:
        judged = qrels.get(request.query.id, {})
        kept = [c.id for c in request.candidates[: most[request.query.id]]]
        positive = [d for d, grade in judged.items() if grade > 0]
        told_of[request.query.id] = {
            **read[request.query.id],
            "ndcg@10": ndcg([judged.get(c.id) for c in request.candidates], list(judged.values()), k=10),
            "recall": sum(d in kept for d in positive) / max(1, len(positive)),
            "all": float(all(d in kept for d in positive)),
            "kept": float(len(kept)),
        }
    return told_of


def answers(environment: ReaderEnvironment, asked: list, most: dict[str, int]) -> dict[str, dict[str, float]]:
    """F1 and EM of each query, from its first ``most`` passages."""
    told = {}
    for length in sorted(set(most.values())):
        some = [request for request in asked if most[request.query.id] == length]
        lists = [(r.query, tuple(c.document for c in r.candidates[:length])) for r in some]
        parts = environment.evaluate(lists, (length,)).parts
        for i, request in enumerate(some):
            told[request.query.id] = {name: float(parts[name][i, 0]) for name in ("f1", "em")}
    return told


def grouped(rows: dict[str, dict]) -> dict[str, list[str]]:
    seeds = defaultdict(list)
    for name in rows:
        seeds[name.split("@")[0]].append(name)
    return dict(seeds)


def compared(name: str, seeds: list[str], first: list[str], rows: dict[str, dict]) -> dict:
    """A system's means over queries and seeds, and what sets it apart from the first system, whose seeds are ``first``."""
    queries = list(rows[first[0]])
    row = {"system": name, "seeds": len(seeds), "queries": len(queries)}
    for measure in ("f1", "em", "ndcg@10", "recall", "all", "kept"):
        each, base = (np.array([[rows[seed][q][measure] for q in queries] for seed in some]) for some in (seeds, first))
        gain = each.mean(0) - base.mean(0)
        row[measure] = round(float(each.mean()), 4)
        if len(seeds) > 1:
            row[f"{measure} by seed"] = [round(float(x), 4) for x in each.mean(1)]
        if np.ptp(gain) > 1e-9:
            p, interval = paired_bootstrap(each.mean(0), base.mean(0))
            row[f"{measure} gain"] = [round(float(x), 4) for x in (gain.mean(), interval.low, interval.high)]
            row[f"{measure} p"] = [round(p, 4), round(paired_t_test(each.mean(0), base.mean(0))[1], 4)]
    return row


if __name__ == "__main__":
    main()
