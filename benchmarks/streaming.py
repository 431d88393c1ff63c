"""Do `rerank`, `answer` and `evaluate` stream? Peak memory of each command at 10,000 and at 100,000 queries.

    python benchmarks/streaming.py [--queries 10000 100000]

Every command runs as a user runs it (`shortlist.cli.run`), in a process of its own whose peak resident size is read at
its end; models are scripted, ten candidates a query. The collection has as many passages at both sizes, so that what
grows is what the queries cost. What may grow: ids of queries done (`--resume`), the judgements, and results query by
query (eight bytes a measure, system and query). Texts, candidates, rankings and answers must not. A run is mapped from
disk, and as many of its pages as were read count as resident too (the system takes them back when it needs them):
``run_file_mb`` says how much that is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "streaming.json"
PASSAGES, CANDIDATES, WORDS = 2_000, 10, 60
COMMANDS = ("rerank", "rerank to JSONL", "rerank --requests", "answer", "evaluate", "evaluate with a reader")


def write_collection(folder: Path, queries: int) -> None:
    """Queries, passages that all of them share, judgements and a run; and the same as requests with their texts."""
    (folder / "qrels").mkdir(parents=True)
    texts = [" ".join(f"word{(p * 7 + w * w) % 5_000}" for w in range(WORDS)) for p in range(PASSAGES)]
    with (folder / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": f"p{p}", "title": "", "text": text}) + "\n" for p, text in enumerate(texts))
    with (
        (folder / "queries.jsonl").open("w") as asked,
        (folder / "qrels" / "test.tsv").open("w") as judged,
        (folder / "run.trec").open("w") as run,
        (folder / "requests.jsonl").open("w") as whole,
    ):
        judged.write("query-id\tcorpus-id\tscore\n")
        for q in range(queries):
            found = [(q * 13 + place * 17) % PASSAGES for place in range(CANDIDATES)]
            query = {"text": f"what is word{q % 5_000} about", "answers": [f"word{q % 5_000}"]}
            asked.write(json.dumps({"_id": f"query-{q}", **query}) + "\n")
            judged.write(f"query-{q}\tp{found[q % CANDIDATES]}\t1\n")
            run.writelines(f"query-{q} Q0 p{p} {r + 1} {CANDIDATES - r}.0 first\n" for r, p in enumerate(found))
            candidates = [{"id": f"p{p}", "text": texts[p]} for p in found]
            whole.write(json.dumps({"query": {"id": f"query-{q}", **query}, "candidates": candidates}) + "\n")


def arguments(command: str, data: Path) -> list[str]:
    """The command line."""
    joined = ["--data", str(data), "--run", str(data / "run.trec")]
    by_name = {
        "rerank": ["rerank", *joined, "--output", str(data / "out.trec")],
        "rerank to JSONL": ["rerank", *joined, "--output", str(data / "out.jsonl")],
        "rerank --requests": ["rerank", "--requests", str(data / "requests.jsonl"), "--output", str(data / "re.trec")],
        "answer": ["answer", *joined, "--reader", "scripted", "--k", "auto", "--output", str(data / "answers.jsonl")],
        "evaluate": ["evaluate", *joined, "--json", str(data / "results.json")],
        "evaluate with a reader": ["evaluate", *joined, "--reader", "scripted", "--k", "1,auto"],
    }
    chosen = by_name[command]
    if command == "answer":
        chosen[chosen.index("--run") + 1] = str(data / "out.trec")
    reranker = [] if command == "answer" else ["--reranker", "scripted:any?keep=top:3"]
    return [*chosen, *reranker]


def peak_mb() -> float:
    """Peak resident size of this process so far, in MB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def script_models() -> None:
    """A kind of reranker and a reader that need no model."""
    from shortlist.backends.scripted import ScriptedCompleter, ScriptedPairScorer
    from shortlist.cli import answer, evaluate
    from shortlist.reading.readers import LLMReader
    from shortlist.rerankers.kinds import Made, Order, kind
    from shortlist.rerankers.policies import PairPolicy
    from shortlist.rerankers.strategies import Pointwise

    @kind("scripted")
    def scripted(_order: Order) -> Made:
        """Scores by length."""
        scorer = ScriptedPairScorer(lambda pair: float(len(pair.passage) % 101))
        return Made.of(PairPolicy(scorer=scorer), Pointwise(), scorer)

    class Silent(list[Any]):
        """The double's record of every ask would be what grows."""

        def append(self, item: Any, /) -> None:
            """Forget it."""

    def reader(*_: Any, **__: Any) -> LLMReader:
        return LLMReader(completer=ScriptedCompleter(lambda _: "word7", asked=Silent()))

    answer.open_reader = evaluate.open_reader = reader  # type: ignore[attr-defined]


def child(command: str, data: Path) -> None:
    """Run one command and print what it took."""
    script_models()
    from shortlist.cli import run

    begun, before = time.perf_counter(), peak_mb()
    keep = os.dup(1)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        code = run(arguments(command, data))
        sys.stdout.flush()
    os.dup2(keep, 1)
    if code:
        raise SystemExit(f"{command}: exit code {code}")
    told = {"peak_mb": round(peak_mb(), 1), "start_mb": round(before, 1)}
    print(json.dumps({**told, "seconds": round(time.perf_counter() - begun, 1)}))


def measure(queries: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Every command at one size."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_collection(data, queries)
        for command in COMMANDS:
            argv = [sys.executable, __file__, "--child", command, "--data", str(data)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            told = json.loads(done.stdout)
            print(f"{command:24} {queries:>9,} queries {told['peak_mb']:8.1f} MB {told['seconds']:7.1f} s", flush=True)
            yield command, {**told, "run_file_mb": round((data / "run.trec").stat().st_size / 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--child", choices=COMMANDS)
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, chosen.data)
        return
    sizes = {queries: dict(measure(queries)) for queries in chosen.queries}
    small, large = sizes[min(sizes)], sizes[max(sizes)]
    growth = {command: round(large[command]["peak_mb"] - small[command]["peak_mb"], 1) for command in COMMANDS}
    told = {
        "what": f"peak resident MB, {CANDIDATES} candidates a query, scripted models",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("shortlist", "numpy")}},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "queries": {str(queries): commands for queries, commands in sizes.items()},
        "growth_mb": growth,
    }
    for command, mb in growth.items():
        print(f"{command:24} grows by {mb:.1f} MB")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
