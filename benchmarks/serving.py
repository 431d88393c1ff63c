"""What the server adds to a library call, and how much of the library's throughput is left.

    python benchmarks/serving.py [--reranker cross-encoder:minilm-l12] [--against-sentence-transformers] [--quick]

1. Overhead: one client, one request at a time, alternating: the library's call in this process, the same request over
   HTTP (keep-alive, loopback) to a server in another. Same model, same request; the difference of the medians is the
   server's. Also with a model that answers at once: the server alone.
2. Saturation: requests a second with many clients, against the library ranking the same requests in one stream; in
   turn, five times, and the share is the median of the rounds' ratios.
3. With `--against-sentence-transformers`: the same float32 weights behind a plain FastAPI app that calls
   sentence-transformers' CrossEncoder, as people write it; both servers up, asked in turn, five times; the ratio is
   the median of the rounds' own.

Prints a table and writes benchmarks/results/serving.json. The client has a core of its own only where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving_load import Client
from shortlist._version import __version__
from shortlist.rerankers.base import Ranker
from shortlist.types import RerankRequest

RESULTS = Path(__file__).parent / "results" / "serving.json"
INSTANT = "instant"
ROUNDS = 5
WORDS = ["the", "heap", "keeps", "its", "smallest", "item", "at", "root", "and", "pushes", "larger", "ones", "down"]
WORDS += ["step", "by", "step", "while", "lists", "do", "not"]


def texts(number: int, passages: int) -> list[str]:
    """Passages of about sixty words; every request has its own."""
    return [" ".join(WORDS[(i * 7 + j * (number % 5 + 1)) % len(WORDS)] for j in range(60)) for i in range(passages)]


def ranker_of(spec: str) -> Ranker:
    """A reranker by its spec; ``instant`` scores by length at once."""
    from shortlist.backends.scripted import ScriptedPairScorer
    from shortlist.rerankers.base import Reranker
    from shortlist.rerankers.catalog import open_reranker
    from shortlist.rerankers.policies import PairPolicy
    from shortlist.rerankers.strategies import Pointwise

    if spec != INSTANT:
        return open_reranker(spec)
    scorer = ScriptedPairScorer(lambda pair: float(len(pair.passage)))
    return Reranker(policy=PairPolicy(scorer=scorer), strategy=Pointwise(), name=INSTANT)


# ------------------------------------------------------------------------------------------------ servers


def serve(spec: str) -> None:
    """Our server, in a child process."""
    from shortlist.serving.app import create_app
    from shortlist.serving.run import leave, run

    if not run(create_app([ranker_of(spec)]), host="127.0.0.1", port=0, ready=lambda url: print(url, flush=True)):
        leave()


def serve_plainly(folder: str) -> None:
    """sentence-transformers behind FastAPI, as people write it; in a child process."""
    import socket

    import torch
    import uvicorn
    from fastapi import Body, FastAPI
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = CrossEncoder(folder, local_files_only=True)
    app = FastAPI()

    @app.post("/v1/rerank")
    def rerank(body: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008 - FastAPI's way
        found = model.rank(body["query"], body["documents"])
        return {"results": [{"index": r["corpus_id"], "relevance_score": float(r["score"])} for r in found]}

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


@contextmanager
def child(flag: str, value: str) -> Iterator[int]:
    """A server's port."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", **os.environ}
    process = subprocess.Popen(
        [sys.executable, __file__, flag, value], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(60)


# ------------------------------------------------------------------------------------------------ measures


async def ask(client: Client, number: int, passages: int) -> list[int]:
    body = {"query": f"which item of a heap is the smallest {number}", "documents": texts(number, passages)}
    status, _, content = await client.post("/v1/rerank", body)
    assert status == 200, content
    return [result["index"] for result in json.loads(content)["results"]]


def call(ranker: Ranker, number: int, passages: int) -> list[int]:
    query = f"which item of a heap is the smallest {number}"
    (ranking,) = ranker.rerank([RerankRequest.of(query, texts(number, passages))])
    return list(ranking.order)


async def overhead(port: int, ranker: Ranker, count: int, passages: int) -> dict[str, Any]:
    """The two in turn, so that whatever else the machine does befalls both."""
    client, library, served = Client(port), [], []
    for number in range(-3, count):
        start = time.perf_counter()
        ours = call(ranker, number, passages)
        middle = time.perf_counter()
        theirs = await ask(client, number, passages)
        end = time.perf_counter()
        assert ours == theirs, "the server ranks differently"
        if number >= 0:  # the first ones load and warm
            library.append(middle - start)
            served.append(end - middle)
    middle, over = statistics.median(library) * 1000, statistics.median(served) * 1000
    return {
        "passages": passages,
        "requests": count,
        "library_p50_ms": round(middle, 3),
        "server_p50_ms": round(over, 3),
        "overhead_p50_ms": round(over - middle, 3),
    }


async def over_http(port: int, count: int, passages: int, clients: int) -> float:
    """Requests a second of many clients."""
    client, numbers = Client(port), iter(range(count))
    await ask(client, 0, passages)

    async def work() -> None:
        for number in numbers:
            await ask(client, number, passages)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return count / (time.perf_counter() - start)


def in_library(ranker: Ranker, count: int, passages: int) -> float:
    """Requests a second in one stream."""
    call(ranker, 0, passages)
    requests = (RerankRequest.of(f"which item of a heap is the smallest {n}", texts(n, passages)) for n in range(count))
    start = time.perf_counter()
    for _ in ranker.rerank(requests):
        pass
    return count / (time.perf_counter() - start)


def saturation(port: int, ranker: Ranker, count: int, passages: int, clients: int) -> dict[str, Any]:
    """Library and server in turn, ``ROUNDS`` times; the share is the median of the rounds' own ratios."""
    library, served = [], []
    for _ in range(ROUNDS):
        library.append(in_library(ranker, count, passages))
        served.append(asyncio.run(over_http(port, count, passages, clients)))
    return {
        "passages": passages,
        "requests": count * ROUNDS,
        "clients": clients,
        "library_rps": round(statistics.median(library), 2),
        "server_rps": round(statistics.median(served), 2),
        "share": round(statistics.median(s / lib for s, lib in zip(served, library, strict=True)), 3),
        "shares": [round(s / lib, 3) for s, lib in zip(served, library, strict=True)],
    }


def against(count: int, passages: int, clients: int) -> list[dict[str, Any]]:
    """The same float32 weights, ours and sentence-transformers' behind FastAPI."""
    from shortlist.backends.dequantise import dequantise_minilm
    from shortlist.backends.models import resolve

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = dequantise_minilm(resolve("minilm-l12"), Path(scratch) / "minilm")
        servers = {
            "shortlist, transformers": ("--serve", f"cross-encoder:{folder}?engine=transformers"),
            "sentence-transformers behind FastAPI": ("--serve-plainly", str(folder)),
        }
        with ExitStack() as running:
            ports = {name: running.enter_context(child(*told)) for name, told in servers.items()}
            alone: dict[str, list[float]] = {name: [] for name in ports}
            many: dict[str, list[float]] = {name: [] for name in ports}
            for _ in range(ROUNDS):  # the one that is not asked stands idle
                for name, port in ports.items():
                    alone[name].append(asyncio.run(over_http(port, max(3, count // 4), passages, 1)))
                    many[name].append(asyncio.run(over_http(port, count, passages, clients)))
        theirs = many["sentence-transformers behind FastAPI"]
        for name in servers:
            ratios = [round(ours / other, 3) for ours, other in zip(many[name], theirs, strict=True)]
            rows.append(
                {
                    "server": name,
                    "passages": passages,
                    "one_client_rps": round(statistics.median(alone[name]), 2),
                    "rps": round(statistics.median(many[name]), 2),
                    "ratio": statistics.median(ratios),
                    "ratios": ratios,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reranker", default="cross-encoder:minilm-l12")
    parser.add_argument("--passages", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--against-sentence-transformers", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, and no file written")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--serve-plainly", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve or options.serve_plainly:
        serve(options.serve) if options.serve else serve_plainly(options.serve_plainly)
        return
    count = max(4, options.requests // (10 if options.quick else 1))
    told: dict[str, Any] = {"reranker": options.reranker}
    for name, spec, times in (("server_alone", INSTANT, 10), ("model", options.reranker, 1)):
        ranker = ranker_of(spec)
        with child("--serve", spec) as port:
            row = asyncio.run(overhead(port, ranker, count * times, options.passages))
            more = saturation(port, ranker, count * times, options.passages, options.clients)
        told[name] = {"overhead": row, "saturation": more}
        print(f"{name}: {json.dumps(told[name], indent=1)}")
    if options.against_sentence_transformers:
        told["side_by_side"] = against(count, options.passages, options.clients)
        print(json.dumps(told["side_by_side"], indent=1))
    if not options.quick:
        facts = {
            "date": datetime.now(UTC).date().isoformat(),
            "command": " ".join(["python", "benchmarks/serving.py", *sys.argv[1:]]),
            "shortlist": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(facts | told, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten to {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
