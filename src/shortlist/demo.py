"""The demo, as a library call: build the collection, index, retrieve, rerank, keep, read, measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shortlist.api import open_reader
from shortlist.backends.cache import Store
from shortlist.backends.models import resolve
from shortlist.data import RunFile, open_collection, requests, write_run
from shortlist.data.demo import build_demo
from shortlist.evaluation import Experiment, Progress, evaluate
from shortlist.rerankers.catalog import open_reranker
from shortlist.retrieval.bm25 import BM25

RERANKED = "cross-encoder:minilm-l12"
DYNAMIC = f"{RERANKED}?keep=gap:3"
DEPTH = 30


def run_demo(
    folder: Path,
    *,
    reader: str = "smollm2-135m",
    limit: int | None = None,
    cache: Path | None = None,
    on_progress: Callable[[str, int, int | None], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> Experiment:
    """Everything the demo shows, in ``folder``: ``collection/``, ``index/``, ``run.trec``, and the experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("minilm-l12", reader):
        resolve(name, progress=say)
    counts = build_demo(folder / "collection")
    say(f"{counts.passages:,} passages, {counts.queries} questions, {counts.judgements} judgements")
    for anchor in counts.missing:
        say(f"this Python's documentation lacks {anchor}")
    collection = open_collection(folder / "collection")
    index = BM25.build(collection.corpus.values())
    (folder / "index" / "bm25").mkdir(parents=True, exist_ok=True)
    index.save(folder / "index" / "bm25")
    asked = list(collection.queries())[:limit]
    hits = index.retrieve(asked, depth=100)
    write_run(folder / "run.trec", {h.query.id: dict(zip(h.ids, h.scores, strict=True)) for h in hits}, tag="bm25")
    store = Store(cache or folder / "cache.sqlite")  # of answers alone, so that the costs of rerankers show
    run = RunFile(folder / "run.trec")

    def show(told: Progress) -> None:
        on_progress(told.system, told.done, len(asked))

    return evaluate(
        [open_reranker(RERANKED), open_reranker(DYNAMIC)],
        lambda: requests(collection, run, depth=DEPTH, queries=asked),
        collection.qrels(),
        ["nDCG@10", "RR@10"],
        first_stage="bm25",
        reader=open_reader(f"{reader}?passage_tokens=96&max_tokens=16", store=store),
        read_at=(3, "auto"),
        answer_measures=("EM", "F1"),
        query_ids=[query.id for query in asked],
        about={"data": "demo", "depth": DEPTH},
        on_progress=show,
    )
