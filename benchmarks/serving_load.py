"""Four times what the server can do, for a minute: is anything lost, crossed, late, or kept in memory?

    python benchmarks/serving_load.py [--seconds 60] [--times 4] [--reranker cross-encoder:minilm-l12] [--quick]

A server is started in a process of its own: by default with a scripted model that takes a fixed time a passage (so that
the load generator, not the model, has the other core), or with any reranker. Its capacity is measured with a few
clients; then requests are sent at `--times` that rate, at random (Poisson) moments, whatever comes back. Every request's
passages carry its own tag, and the scripted model's right order is known, so a reply that belongs to another request,
or mixes two, is found out.

Prints what was seen, and writes benchmarks/results/serving_load.json. Fails if anything was lost or crossed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shortlist._version import __version__

RESULTS = Path(__file__).parent / "results" / "serving_load.json"
PASSAGES = 10


# ------------------------------------------------------------------------------------------------ the server


def serve(reranker: str | None, per_passage: float, deadline: float) -> None:
    """What the child process does; it prints its address."""
    from shortlist.backends.scripted import ScriptedPairScorer
    from shortlist.rerankers.base import Reranker
    from shortlist.rerankers.catalog import open_reranker
    from shortlist.rerankers.policies import PairPolicy
    from shortlist.rerankers.strategies import Pointwise
    from shortlist.serving.app import create_app
    from shortlist.serving.config import ServerConfig
    from shortlist.serving.engine import Admission
    from shortlist.serving.run import leave, run

    def score(pair: Any) -> float:
        time.sleep(per_passage)
        return float(pair.passage.split()[1])  # "tag-17 4 …" scores 4

    scripted = Reranker(policy=PairPolicy(scorer=ScriptedPairScorer(score)), strategy=Pointwise(), name="scripted")
    ranker = scripted if reranker is None else open_reranker(reranker)
    config = ServerConfig(deadline=deadline, admission=Admission(open_requests=512), warm=reranker is not None)
    app = create_app([ranker], config=config)
    if not run(app, host="127.0.0.1", port=0, ready=lambda url: print(url, flush=True)):
        leave()


# ------------------------------------------------------------------------------------------------ the client


class Client:
    """The least that HTTP needs: keep-alive connections, one request at a time on each."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return await self.send(head.encode() + content)

    async def send(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        while True:
            fresh = not self.idle
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(raw)
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                if fresh:
                    raise
                continue  # an idle connection that the server had closed
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            content = await reader.readexactly(int(headers.get("content-length", 0)))
            self.idle.append((reader, writer))
            return int(first.split()[1]), headers, content


@dataclass
class Seen:
    """What came back."""

    statuses: Counter[str] = field(default_factory=Counter)
    accepted: list[float] = field(default_factory=list)  # seconds
    refused: list[float] = field(default_factory=list)
    sent: int = 0
    crossed: int = 0
    late_status: Counter[str] = field(default_factory=Counter)
    without_retry_after: int = 0
    memory: list[float] = field(default_factory=list)  # MiB


def request_of(number: int, rng: random.Random) -> tuple[dict[str, Any], list[int]]:
    """A request that is like no other, and its right order."""
    values = rng.sample(range(1000), PASSAGES)
    texts = [f"tag-{number} {value} some words that take up room" for value in values]
    body = {"query": f"tag-{number}", "documents": texts, "return_documents": True}
    return body, sorted(range(PASSAGES), key=lambda i: -values[i])


async def one(client: Client, number: int, seen: Seen, *, ordered: bool) -> None:
    body, order = request_of(number, random.Random(number))
    seen.sent += 1
    start = time.perf_counter()
    try:
        status, headers, content = await asyncio.wait_for(client.post("/v1/rerank", body), 60)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as problem:
        seen.statuses[f"lost: {type(problem).__name__}"] += 1
        return
    seconds = time.perf_counter() - start
    seen.statuses[str(status)] += 1
    if status != 200:
        seen.refused.append(seconds)
        seen.without_retry_after += "retry-after" not in headers
        return
    seen.accepted.append(seconds)
    told = json.loads(content)
    how = told["meta"]["rerank"]["status"]
    seen.late_status[how] += 1
    got = {result["index"]: result["document"]["text"] for result in told["results"]}
    right = [result["index"] for result in told["results"]] == order
    seen.crossed += got != dict(enumerate(body["documents"])) or (ordered and how == "ok" and not right)


async def capacity(client: Client, seconds: float, clients: int = 8) -> float:
    """Requests a second with so many clients, each sending its next when the last is answered."""
    seen, number, end = Seen(), iter(range(10**9, 2 * 10**9)), time.perf_counter() + seconds

    async def ask() -> None:
        while time.perf_counter() < end:
            await one(client, next(number), seen, ordered=False)

    start = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return seen.statuses["200"] / (time.perf_counter() - start)


async def overload(client: Client, rate: float, seconds: float, pid: int, *, ordered: bool) -> Seen:
    """Send at a rate, at random moments, whatever comes back."""
    seen, rng, tasks = Seen(), random.Random(1), set()
    start = time.perf_counter()
    moment, number, next_look = 0.0, 0, 0.0
    while moment < seconds:
        moment += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))
        task = asyncio.create_task(one(client, number, seen, ordered=ordered))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        if moment >= next_look:
            next_look = moment + seconds / 12
            seen.memory.append(resident(pid))
    await asyncio.gather(*tasks)
    return seen


def resident(pid: int) -> float:
    """MiB of a process; NaN where the system does not tell."""
    path = Path(f"/proc/{pid}/status")
    if not path.exists():
        return math.nan
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("VmRSS")]
    return round(int(line.split()[1]) / 1024, 1)


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000, 1) if values else math.nan


async def measure(port: int, pid: int, options: argparse.Namespace) -> dict[str, Any]:
    client = Client(port)
    able = await capacity(client, min(8.0, options.seconds / 3))
    seen = await overload(client, able * options.times, options.seconds, pid, ordered=options.reranker is None)
    settled = seen.memory[len(seen.memory) // 3 :]
    return {
        "passages_a_request": PASSAGES,
        "deadline_s": options.deadline,
        "seconds": options.seconds,
        "capacity_rps": round(able, 1),
        "offered_rps": round(seen.sent / options.seconds, 1),
        "sent": seen.sent,
        "statuses": dict(seen.statuses),
        "rankings": dict(seen.late_status),
        "lost": seen.sent - sum(n for status, n in seen.statuses.items() if status.isdecimal()),
        "crossed": seen.crossed,
        "refused_without_retry_after": seen.without_retry_after,
        "accepted_rps": round(len(seen.accepted) / options.seconds, 1),
        "accepted_p50_ms": percentile(seen.accepted, 0.5),
        "accepted_p99_ms": percentile(seen.accepted, 0.99),
        "refused_p50_ms": percentile(seen.refused, 0.5),
        "refused_p99_ms": percentile(seen.refused, 0.99),
        "memory_mib": seen.memory,
        "memory_growth_mib": round(statistics.mean(settled[-2:]) - statistics.mean(settled[:2]), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--times", type=float, default=4, help="how many times its capacity")
    parser.add_argument("--deadline", type=float, default=1.0, help="seconds, the server's")
    parser.add_argument("--per-passage", type=float, default=0.002, help="seconds, the scripted model's")
    parser.add_argument("--reranker", help="a real one, in place of the scripted model")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, and no file written")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        serve(options.reranker, options.per_passage, options.deadline)
        return
    options.seconds = options.seconds / 10 if options.quick else options.seconds
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", *sys.argv[1:]],
        stdout=subprocess.PIPE,
        text=True,
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
    )
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline().rpartition(":")[2])
        told = asyncio.run(measure(port, child.pid, options))
        child.terminate()
        told["exit_code_on_sigterm"] = child.wait(60)
    finally:
        child.kill()
    for name, value in told.items():
        print(f"{name:28} {value}")
    if not options.quick:
        facts = {
            "date": datetime.now(UTC).date().isoformat(),
            "command": "python benchmarks/serving_load.py",
            "model": options.reranker or f"scripted, {options.per_passage * 1000:g} ms a passage",
            "shortlist": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(facts | told, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten to {RESULTS.relative_to(Path(__file__).parents[1])}")
    if told["lost"] or told["crossed"] or told["refused_without_retry_after"]:
        raise SystemExit("something was lost, crossed, or refused without a Retry-After")


if __name__ == "__main__":
    main()
