"""Does grading a passage more often help, and who should meet whom? nDCG@10 of groupwise reranking against calls.

    python benchmarks/test_time.py [--quick]
    python benchmarks/test_time.py --reranker 'groupwise:smollm2-135m?constrain=true' --data DIR --run FILE [--limit 20]

Four ways to spend the same number of calls, for 1, 2, 3, 5 and 8 repeats: random groups and balanced groups graded anew,
each merged by the plain mean; balanced groups aligned by the passages that they share; and anchored groups, which hold
two passages in common and so fewer others (their number of repeats is the largest that costs no more calls).

By default the grader is simulated: a passage's grade is its true relevance, off by the group's own offset and scale
(models grade within a group), by noise of the call, and rounded to 0–10. Lists of 50 in groups of 10; the first stage
is right more often than not. Means over 3 × 100 lists, with the standard error over lists. With ``--reranker``
a real model grades candidates of a run; what it is asked twice is kept in ``--cache``.

Prints a table and writes benchmarks/results/test_time.json (test_time_model.json for a real model).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shortlist._version import __version__
from shortlist.backends.cache import Store
from shortlist.data import open_collection, read_run
from shortlist.data.requests import Missing, requests
from shortlist.metrics.ranking import ndcg
from shortlist.rerankers.base import Policy, Reranker
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.designs import balanced, random_repeated
from shortlist.rerankers.mergers import anchored, mean
from shortlist.rerankers.strategies import Groups
from shortlist.types import Candidate, Document, Query, RerankRequest, ScoredJudgement, Slate, Turn

RESULTS = Path(__file__).parent / "results"
REPEATS = (1, 2, 3, 5, 8)
SIZE, DEPTH, K, ANCHORS = 10, 50, 10, 2
Grades = dict[str, float]


@dataclass(frozen=True)
class Task:
    """Requests with the relevance of their documents."""

    requests: Sequence[RerankRequest]
    grades: Sequence[Grades]


def ways(repeats: int, n: int, seed: int) -> dict[str, Groups | None]:
    """The strategies that spend the calls of ``repeats`` plain repeats; ``None`` where there is none."""
    calls = repeats * -(-n // SIZE)
    times = calls // -(-(n - ANCHORS) // (SIZE - ANCHORS))
    anchors = {"size": SIZE, "anchors": ANCHORS, "merger": anchored, "seed": seed}
    return {
        "random": Groups(size=SIZE, repeats=repeats, design=random_repeated, merger=mean, seed=seed),
        "balanced": Groups(size=SIZE, repeats=repeats, design=balanced, merger=mean, seed=seed),
        "balanced, aligned": None
        if repeats == 1
        else Groups(size=SIZE, repeats=repeats, design=balanced, merger=anchored, seed=seed),
        "anchored": Groups(repeats=times, design=balanced, **anchors) if times else None,
    }


# ------------------------------------------------------------------------------------------------ a simulated grader


@dataclass(frozen=True)
class Grader:
    """Grades a group as a model might: right on the whole, on a scale of the group's own, with noise."""

    seed: int
    offset: float = 1.5
    scale: float = 0.3
    noise: float = 1.5
    identity: str = "simulated"

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[ScoredJudgement]]:
        """One turn a slate."""
        return [Turn(slate, self._graded(slate)) for slate in slates]

    def _graded(self, slate: Slate) -> ScoredJudgement:
        ids = [candidate.id for candidate in slate.candidates]
        rng = random.Random(f"{self.seed}/{slate.query.id}/{ids}")
        up, stretch = rng.gauss(0, self.offset), math.exp(rng.gauss(0, self.scale))
        truth = [float(candidate.document.metadata["worth"]) for candidate in slate.candidates]
        raw = [5 + up + stretch * (2 * worth - 2) + rng.gauss(0, self.noise) for worth in truth]
        return ScoredJudgement.of([float(min(max(round(grade), 0), 10)) for grade in raw])


def simulated(lists: int, seed: int) -> Task:
    """Lists of 50: a few very relevant passages, some partly, most not; a first stage that half knows."""
    rng, made, grades = random.Random(seed), [], []
    for q in range(lists):
        worths = [rng.choices((0, 1, 2, 3), (0.74, 0.14, 0.08, 0.04))[0] for _ in range(DEPTH)]
        documents = [Document(id=f"d{i}", text="-", metadata={"worth": worth}) for i, worth in enumerate(worths)]
        found = sorted(((worth + rng.gauss(0, 1.5), d) for worth, d in zip(worths, documents, strict=True)), key=_first)
        made.append(RerankRequest(Query(id=f"{seed}-{q}", text="-"), tuple(Candidate(d, s) for s, d in found)))
        grades.append({d.id: float(worth) for d, worth in zip(documents, worths, strict=True)})
    return Task(made, grades)


def _first(pair: tuple[float, Document]) -> float:
    return -pair[0]


# ------------------------------------------------------------------------------------------------ a real one


def real(data: str, run: str, limit: int, depth: int) -> Task:
    """The first queries of a run that have judgements."""
    collection, missing = open_collection(data), Missing()
    qrels = collection.qrels()
    joined = requests(collection, read_run(run), depth=depth, on_missing=missing)
    chosen = []
    for request in joined:
        if len(chosen) < limit and any(grade > 0 for grade in qrels.get(request.query.id, {}).values()):
            chosen.append(request)
    return Task(chosen, [{i: float(g) for i, g in qrels[r.query.id].items()} for r in chosen])


def policy_of(spec: str, cache: str | None) -> Policy[ScoredJudgement]:
    """The policy of a groupwise reranker; its own groups are not used."""
    reranker = open_reranker(spec, store=Store(Path(cache)) if cache else None)
    if not isinstance(reranker, Reranker) or not isinstance(reranker.strategy, Groups):
        raise SystemExit(f"{spec} is no groupwise reranker without further parts (fuse, keep, depth)")
    return reranker.policy


# ------------------------------------------------------------------------------------------------ measuring


def measured(task: Task, policy: Policy[ScoredJudgement], strategy: Groups) -> tuple[list[float], float, float]:
    """nDCG@10 list by list, calls a list, and the share of passages that no group graded."""
    values, calls, lost, total = [], 0, 0, 0
    rankings = Reranker(policy=policy, strategy=strategy).rerank(task.requests)
    for ranking, grades in zip(rankings, task.grades, strict=True):
        values.append(value(ranking.ids, grades))
        calls += len(strategy.groups(len(ranking), ranking.query.id))
        lost, total = lost + len(ranking.unjudged), total + len(ranking)
    return values, calls / len(values), lost / total


def value(ids: Sequence[str], grades: Grades) -> float:
    """nDCG@10; passages without a judgement count as not relevant."""
    return float(ndcg([grades.get(i, 0.0) for i in ids], list(grades.values()), k=K))


def curve(tasks: Sequence[Task], policies: Callable[[int], Policy[ScoredJudgement]]) -> list[dict[str, Any]]:
    """A row for every number of repeats and every way."""
    rows = []
    n = max(len(request) for request in tasks[0].requests)
    for repeats in REPEATS:
        for name in ways(repeats, n, 0):
            every: list[list[float]] = []
            calls = lost = 0.0
            for seed, task in enumerate(tasks):
                strategy = ways(repeats, n, seed)[name]
                if strategy is not None:
                    values, calls, lost = measured(task, policies(seed), strategy)
                    every.append(values)
            if every:
                rows.append(row(name, repeats, [v for values in every for v in values], calls, lost))
                print(
                    f"{repeats:>7} {name:<18} {rows[-1]['calls']:>6.1f} {rows[-1]['ndcg']:.4f} ± {rows[-1]['error']:.4f}"
                )
    return rows


def row(name: str, repeats: int, values: Sequence[float], calls: float, lost: float) -> dict[str, Any]:
    """What is kept of a setting; the error is the standard error over lists."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {
        "repeats": repeats,
        "groups": name,
        "calls": calls,
        "ndcg": statistics.fmean(values),
        "error": error,
        "lists": len(values),
        "ungraded": lost,
    }


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 lists and one seed")
    parser.add_argument("--reranker", help="a groupwise reranker, graded for real")
    parser.add_argument("--data", help="with --reranker: the collection")
    parser.add_argument("--run", help="with --reranker: its candidates")
    parser.add_argument("--limit", type=int, default=20, help="with --reranker: how many queries")
    parser.add_argument("--depth", type=int, default=DEPTH, help="with --reranker: candidates a query")
    parser.add_argument("--cache", help="with --reranker: a file that keeps its replies")
    parser.add_argument("--output", type=Path)
    told = parser.parse_args()
    start = time.time()
    if told.reranker:
        if not (told.data and told.run):
            parser.error("--reranker goes with --data and --run")
        policy = policy_of(told.reranker, told.cache)
        tasks = [real(told.data, told.run, told.limit, told.depth)]
        rows, name = curve(tasks, lambda _: policy), "test_time_model.json"
    else:
        tasks = [simulated(40 if told.quick else 100, seed) for seed in range(1 if told.quick else 3)]
        rows, name = curve(tasks, Grader), "test_time.json"
    first = [value([c.id for c in r.candidates], g) for t in tasks for r, g in zip(t.requests, t.grades, strict=True)]
    print(f"first stage {statistics.fmean(first):.4f}")
    settings = {"size": SIZE, "anchors": ANCHORS, "reranker": told.reranker or "simulated", "quick": told.quick}
    about = {"shortlist": __version__, "python": platform.python_version(), "date": datetime.now(UTC).isoformat()}
    report = {**about, **settings, "first_stage": statistics.fmean(first), "seconds": time.time() - start, "rows": rows}
    output = told.output or RESULTS / name
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
