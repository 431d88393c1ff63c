"""A million short passages: index them with BM25, load the index, retrieve, and join texts; peak memory of each step.

    python benchmarks/million.py [--passages 1000000]

Passages are 20 to 60 words drawn by Zipf's law from 50,000 invented words, so that postings look like those of text.
Every step runs in a process of its own, whose peak resident size is read at its end. Aim: 4 GiB.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "million.json"


def write_corpus(folder: Path, passages: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(3, 11))) for _ in range(50_000)]
    with (folder / "corpus.jsonl").open("w") as file:
        for start in range(0, passages, 10_000):
            lengths = rng.integers(20, 61, min(10_000, passages - start))
            drawn = np.minimum(rng.zipf(1.15, lengths.sum()) - 1, len(words) - 1)
            at = 0
            for place, length in enumerate(lengths):
                text = " ".join(words[w] for w in drawn[at : at + length])
                at += length
                file.write(json.dumps({"_id": f"p{start + place}", "title": "", "text": text}) + "\n")
    with (folder / "queries.jsonl").open("w") as file:
        for place in range(200):
            text = " ".join(words[w] for w in rng.integers(20, 5_000, 5))
            file.write(json.dumps({"_id": f"q{place}", "text": text}) + "\n")


def step(name: str, data: Path, index: Path) -> dict[str, float | str]:
    start = time.perf_counter()
    told: dict[str, float | str] = {"step": name}
    if name == "index":
        from shortlist.data import open_collection
        from shortlist.retrieval.bm25 import BM25

        built = BM25.build(iter(open_collection(data).corpus.values()))
        index.mkdir(parents=True, exist_ok=True)
        built.save(index)
    else:
        from shortlist.data import open_collection
        from shortlist.retrieval.bm25 import BM25

        loaded, collection = BM25.load(index), open_collection(data)
        corpus = collection.corpus
        told["load_seconds"] = round(time.perf_counter() - start, 2)
        start = time.perf_counter()
        queries = list(collection.queries())
        texts = sum(len(corpus[i].text) for hits in loaded.retrieve(queries, depth=100) for i in hits.ids)
        told["characters_joined"] = texts
        told["queries_per_second"] = round(len(queries) / (time.perf_counter() - start), 1)
    told["seconds"] = round(time.perf_counter() - start, 1)
    told["peak_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        name, data, index = arguments.step
        print(json.dumps(step(name, Path(data), Path(index))))
        return
    with tempfile.TemporaryDirectory() as folder:
        data, index = Path(folder) / "data", Path(folder) / "index"
        write_corpus(data, arguments.passages)
        rows = []
        for name in ("index", "serve"):
            command = [sys.executable, __file__, "--step", name, str(data), str(index)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
            print(rows[-1])
    told = {
        "passages": arguments.passages,
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "steps": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
