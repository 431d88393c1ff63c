"""Pairs a second of one cross-encoder on the CPU, by four ways: ours in int8 ONNX and in torch, and sentence-transformers.

All run in one process on the same pairs, turn by turn, so that whatever else the machine does meets them alike; the best
and the median of the turns are shown. sentence-transformers and our torch backend have the very same float32 weights
(the int8 model turned back into numbers), and both have the same number of threads. sentence-transformers runs with its
own batch size of 32, and with 8, which suits a CPU better.

    python benchmarks/cross_encoder.py --pairs 400 --turns 5
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import pydoc_data.topics
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from shortlist.backends.base import Pair
from shortlist.backends.dequantise import dequantise_minilm
from shortlist.backends.models import resolve
from shortlist.backends.onnx import OnnxCrossEncoder
from shortlist.backends.threads import cores, passive_waiting
from shortlist.backends.transformers import TransformersCrossEncoder

RESULTS = Path(__file__).parent / "results" / "cross_encoder.json"
QUERIES = (
    "how does the with statement call context managers",
    "what does yield from do in a generator",
    "operator precedence",
    "when is a class's __init_subclass__ called and with which arguments",
    "how are keyword only parameters written",
)
PACKAGES = ("onnxruntime", "tokenizers", "torch", "transformers", "sentence-transformers", "numpy")


def real_pairs(count: int) -> list[Pair]:
    """Questions on Python with paragraphs of the language reference, of mixed length."""
    paragraphs = [
        " ".join(part.split())
        for _, topic in sorted(pydoc_data.topics.topics.items())
        for part in re.split(r"\n\s*\n", topic)
        if len(part.split()) >= 8
    ]
    random.Random(0).shuffle(paragraphs)
    return [Pair(QUERIES[i % len(QUERIES)], paragraphs[i % len(paragraphs)]) for i in range(count)]


def contenders(folder: Path, threads: int) -> dict[str, Callable[[list[Pair]], list[float]]]:
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(threads)
    onnx = OnnxCrossEncoder("minilm-l12", threads=threads)
    ours = TransformersCrossEncoder(folder, device="cpu", dtype="float32", threads=threads)
    brain = TransformersCrossEncoder(folder, device="cpu", dtype="bfloat16", threads=threads)
    theirs = CrossEncoder(str(folder), device="cpu", local_files_only=True, max_length=512)

    def predict(pairs: list[Pair], rows: int = 32) -> list[float]:
        told = [tuple(pair) for pair in pairs]
        return [float(score) for score in theirs.predict(told, batch_size=rows, show_progress_bar=False)]

    return {
        "sentence-transformers, torch fp32": predict,
        "sentence-transformers, batch_size=8": lambda pairs: predict(pairs, 8),
        "shortlist, torch fp32, same weights": lambda pairs: [s.score for s in ours.score_pairs(pairs)],
        "shortlist, torch bf16": lambda pairs: [s.score for s in brain.score_pairs(pairs)],
        "shortlist, ONNX int8": lambda pairs: [s.score for s in onnx.score_pairs(pairs)],
    }


def measure(pairs: list[Pair], turns: int, threads: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as scratch:
        ways = contenders(dequantise_minilm("minilm-l12", Path(scratch) / "minilm"), threads)
        scores = {name: score(pairs[:16]) for name, score in ways.items()}  # loads and warms up
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        busy: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(turns):
            for name, score in ways.items():
                start, used = time.perf_counter(), time.process_time()
                scores[name] = score(pairs)
                seconds[name].append(time.perf_counter() - start)
                busy[name].append(time.process_time() - used)
    base = "sentence-transformers, torch fp32"
    return {
        name: {
            "pairs_per_second_best": len(pairs) / min(taken),
            "pairs_per_second_median": len(pairs) / statistics.median(taken),
            "cpu_seconds_best": min(busy[name]),
            "times_sentence_transformers": min(seconds[base]) / min(taken),
            "times_sentence_transformers_in_cpu_time": min(busy[base]) / min(busy[name]),
            "largest_difference_of_logits": max(abs(a - b) for a, b in zip(scores[name], scores[base], strict=True)),
        }
        for name, taken in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    resolve("minilm-l12", progress=print)
    table = measure(real_pairs(args.pairs), args.turns, args.threads)
    print(f"{'':38}{'pairs/s':>9}{'median':>9}{'× ST':>7}{'× ST (CPU time)':>17}{'largest Δ logit':>17}")
    for name, row in table.items():
        print(
            f"{name:38}{row['pairs_per_second_best']:9.1f}{row['pairs_per_second_median']:9.1f}"
            f"{row['times_sentence_transformers']:7.2f}{row['times_sentence_transformers_in_cpu_time']:17.2f}"
            f"{row['largest_difference_of_logits']:17.3g}"
        )
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python benchmarks/cross_encoder.py --pairs {args.pairs} --turns {args.turns}",
        "pairs": args.pairs,
        "turns": args.turns,
        "threads": args.threads,
        "load_average": os.getloadavg()[0],
        "machine": f"{platform.machine()}, {cores()} cores",
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "results": table,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    passive_waiting()
    main()
