"""`shortlist index`: build a first-stage index over a corpus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli import options
from shortlist.cli.console import note, progress, put_json
from shortlist.data import open_collection
from shortlist.retrieval.open import build_index, index_kinds, needs_embedder
from shortlist.types import Document


def index(
    data: options.Data,
    output: Annotated[Path, typer.Option("--output", metavar="INDEX", help="The folder to write.")],
    retriever: options.Retriever = "bm25",
    embedder: options.Embedder = "bge-small",
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Build a first-stage index over a corpus.

    Memory holds terms, not texts: a million short passages take about 1.5 GB for BM25. A dense index is written row by
    row and goes on with `--resume`.

    Example: `shortlist index --data my-corpus --output my-index`
    """
    from shortlist.backends.open import open_embedder

    corpus = open_collection(data).corpus
    start = time.perf_counter()
    model = open_embedder(embedder) if needs_embedder(retriever) else None
    with progress(f"indexing {len(corpus):,} passages", len(corpus) * (2 if retriever == "hybrid" else 1)) as bar:

        def documents() -> Iterator[Document]:
            return bar.watch(corpus.values())  # type: ignore[no-any-return]

        build_index(retriever, documents, output, embedder=model, resume=resume)
    told = {
        "index": str(output),
        "passages": len(corpus),
        "serves": index_kinds(output),
        "seconds": round(time.perf_counter() - start, 2),
    }
    if json:
        put_json(told)
    else:
        note(f"{told['passages']:,} passages in {output} ({', '.join(index_kinds(output))}), {told['seconds']} s")
