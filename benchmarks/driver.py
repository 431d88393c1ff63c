"""What the driver itself costs, and how well it keeps a slow model busy.

    python benchmarks/driver.py [--quick]

1. Cost a slate: 1,000 requests × 100 candidates under a policy that answers at once; the policy's own time (and that
   of making its verdicts) is taken off, so what is left is strategy, driver and accounting.
2. Uneven latency: calls that take log-normal times; ideal is the total latency divided by the calls under way.
3. Memory: peak resident size while 100,000 requests stream through, in a process of its own.

Prints a table and writes benchmarks/results/driver.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shortlist._version import __version__
from shortlist.rerankers.base import Reranker
from shortlist.rerankers.drivers import Driver, Freely, Rounds
from shortlist.rerankers.strategies import Groups, Pointwise, SlidingWindow
from shortlist.types import Candidate, Document, Judgement, Query, RerankRequest, ScoredJudgement, Slate, Turn, Usage

RESULTS = Path(__file__).parent / "results" / "driver.json"
DOCUMENTS = [Document(id=str(i), text=f"passage {i}") for i in range(100)]
CANDIDATES = tuple(Candidate(document, float(100 - i)) for i, document in enumerate(DOCUMENTS))
ONE = Usage(calls=1)


def requests(count: int, depth: int = 100) -> Iterator[RerankRequest]:
    for i in range(count):
        yield RerankRequest(Query(id=str(i), text="a query"), CANDIDATES[:depth])


class Instant:
    """Answers at once, and keeps count of its own time and calls."""

    identity = "instant"

    def __init__(self, *, scored: bool) -> None:
        self.scored, self.slates, self.seconds = scored, 0, 0.0

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[Any]]:
        start = time.perf_counter()
        make = self._scores if self.scored else self._order
        turns = [Turn(slate, make(slate), usage=ONE) for slate in slates]
        self.slates += len(slates)
        self.seconds += time.perf_counter() - start
        return turns

    def _scores(self, slate: Slate) -> ScoredJudgement:
        return ScoredJudgement.of([candidate.score for candidate in slate.candidates])

    def _order(self, slate: Slate) -> Judgement:
        return Judgement(order=tuple(range(len(slate)))[::-1])


class Uneven:
    """Takes a log-normal time (median ``median`` seconds) a call, drawn from the slate's own passages."""

    identity = "uneven"

    def __init__(self, median: float, sigma: float) -> None:
        self.median, self.sigma, self.total = median, sigma, 0.0

    def latency(self, slate: Slate) -> float:
        rng = random.Random(f"{slate.query.id}/{[candidate.id for candidate in slate.candidates]}")
        return self.median * rng.lognormvariate(0.0, self.sigma)

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[Any]]:
        (slate,) = slates
        seconds = self.latency(slate)
        self.total += seconds
        time.sleep(seconds)
        return [Turn(slate, Judgement(order=tuple(range(len(slate)))), usage=ONE)]


class InRounds(Uneven):
    """The same calls, where a batch is made with so many calls at a time, and is over when the last one is."""

    def __init__(self, median: float, sigma: float, concurrency: int) -> None:
        super().__init__(median, sigma)
        self.concurrency = concurrency
        self.elapsed = 0.0

    def judge(self, slates: Sequence[Slate], /) -> list[Turn[Any]]:
        free = [0.0] * self.concurrency
        for slate in slates:
            soonest = min(range(self.concurrency), key=free.__getitem__)
            seconds = self.latency(slate)
            free[soonest] += seconds
            self.total += seconds
        self.elapsed += max(free)
        return [Turn(slate, Judgement(order=tuple(range(len(slate)))), usage=ONE) for slate in slates]


def cost(name: str, strategy: Any, driver: Driver, count: int, *, scored: bool) -> dict[str, Any]:
    best: dict[str, Any] = {}
    for _ in range(3):
        policy = Instant(scored=scored)
        start = time.perf_counter()
        for ranking in Reranker(policy=policy, strategy=strategy, driver=driver).rerank(requests(count)):
            assert len(ranking) == 100
        seconds = time.perf_counter() - start - (policy.seconds if isinstance(driver, Rounds) else 0.0)
        row = {
            "strategy": name,
            "driver": type(driver).__name__,
            "requests": count,
            "slates": policy.slates,
            "us_per_slate": round(seconds / policy.slates * 1e6, 2),
            "us_per_request": round(seconds / count * 1e6, 1),
        }
        best = row if not best or row["us_per_slate"] < best["us_per_slate"] else best
    return best


def evenness(count: int, concurrency: int, median: float, sigma: float) -> list[dict[str, Any]]:
    strategy = SlidingWindow()
    free = Uneven(median, sigma)
    start = time.perf_counter()
    for _ in Reranker(policy=free, strategy=strategy, driver=Freely(concurrency)).rerank(requests(count)):
        pass
    seconds = time.perf_counter() - start
    rounds = InRounds(median, sigma, concurrency)
    for _ in Reranker(policy=rounds, strategy=strategy, driver=Rounds(2 * concurrency)).rerank(requests(count)):
        pass
    told = [("Freely", free.total, seconds), ("Rounds (simulated clock)", rounds.total, rounds.elapsed)]
    return [
        {
            "driver": name,
            "requests": count,
            "concurrency": concurrency,
            "sigma": sigma,
            "ideal_s": round(total / concurrency, 3),
            "seconds": round(taken, 3),
            "efficiency": round(total / concurrency / taken, 3),
        }
        for name, total, taken in told
    ]


def resident(count: int) -> dict[str, Any]:
    """Peak resident size in MiB of a fresh process that reranks so many requests."""
    command = [sys.executable, __file__, "--stream", str(count)]
    return {"requests": count, "peak_mib": float(subprocess.check_output(command, text=True))}


def stream(count: int) -> None:
    policy = Instant(scored=True)
    for _ in Reranker(policy=policy, strategy=Pointwise()).rerank(requests(count, depth=10)):
        pass
    print(round(peak_mib(), 1))


def peak_mib() -> float:
    """Linux tells this process's own peak; elsewhere getrusage's, which a child inherits from its parent, must do."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def table(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, and no file written")
    parser.add_argument("--stream", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream:
        stream(options.stream)
        return
    share = 10 if options.quick else 1
    count = 1000 // share
    costs = [
        cost("pointwise", Pointwise(), Rounds(), count, scored=True),
        cost("sliding window 20/10", SlidingWindow(), Rounds(), count, scored=False),
        cost("groups of 10", Groups(), Rounds(), count, scored=True),
        cost("sliding window 20/10", SlidingWindow(), Freely(16), count, scored=False),
        cost("groups of 10", Groups(), Freely(16), count, scored=True),
    ]
    table("Cost of strategy, driver and accounting (Freely: with the policy's)", costs)
    latencies = [row for sigma in (0.5, 1.0) for row in evenness(400 // share, 16, 0.02, sigma)]
    table("Log-normal latency, median 20 ms, sliding window", latencies)
    memory = [resident(n // share) for n in (1_000, 100_000)]
    table("Peak resident size, pointwise over 10 candidates", memory)
    if not options.quick:
        told = {
            "date": datetime.now(UTC).date().isoformat(),
            "command": "python benchmarks/driver.py",
            "shortlist": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "cost": costs,
            "latency": latencies,
            "memory": memory,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten to {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
