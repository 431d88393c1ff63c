"""`shortlist retrieve`: candidates for every query, as a TREC run."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from shortlist.backends.base import Completer
from shortlist.cli import options
from shortlist.cli.common import check_output, chosen_queries
from shortlist.cli.console import note, progress, put_json, warn
from shortlist.data import Collection, ResumableWriter, open_collection
from shortlist.data.trec import run_block
from shortlist.errors import InvalidInput
from shortlist.retrieval.base import Retriever
from shortlist.retrieval.dense import Dense
from shortlist.retrieval.expansion import Expanded, Query2doc
from shortlist.retrieval.hybrid import Hybrid
from shortlist.retrieval.open import build_index, needs_embedder, open_index


def retrieve(
    data: options.Data,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The TREC run to write.")],
    index: Annotated[
        Optional[Path],
        typer.Option("--index", metavar="INDEX", help="What `shortlist index` wrote; without it one is built for now."),
    ] = None,
    retriever: options.Retriever = "bm25",
    embedder: options.Embedder = "bge-small",
    expand: Annotated[
        Optional[str],
        typer.Option("--expand", metavar="query2doc:MODEL", help="Let a language model expand the queries first."),
    ] = None,
    depth: options.Depth = 100,
    split: options.Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Find candidates for every query.

    Example: `shortlist retrieve --data my-corpus --index my-index --output run.trec`
    """
    collection = open_collection(data)
    with tempfile.TemporaryDirectory() as scratch:
        found = _retriever(collection, retriever, embedder, index, Path(scratch))
        search = _expanded(found, expand, cache)
        asked = chosen_queries(collection, split=split, file=queries, limit=limit)
        check_output(output)
        if not resume:
            output.unlink(missing_ok=True)
        with ResumableWriter.trec(output) as writer, progress("retrieving") as bar:
            done = frozenset(writer.done)
            left = (query for query in asked if query.id not in done)
            empty = 0
            for hits in bar.watch(search.retrieve(left, depth=depth)):
                writer.write(hits.query.id, run_block(hits.query.id, hits.ids, hits.scores, search.name))
                empty += not hits.ids
            told = {"run": str(output), "queries": len(writer.done), "without_hits": empty, "retriever": search.name}
    if empty:
        warn(f"{empty} queries have no hits: they share no word with any passage")
    if json:
        put_json(told)
    else:
        note(f"{told['queries']} queries in {output} ({search.name}, depth {depth})")


def _retriever(collection: Collection, kind: str, embedder: str, index: Path | None, scratch: Path) -> Retriever:
    from shortlist.backends.open import open_embedder

    model = open_embedder(embedder) if needs_embedder(kind) else None
    if index is not None:
        return open_index(index, kind, embedder=model)
    return build_index(kind, lambda: iter(collection.corpus.values()), scratch, embedder=model)


def _expanded(retriever: Retriever, expand: str | None, cache: Path | None) -> Retriever:
    if expand is None:
        return retriever
    from shortlist.backends.cache import Store, cached
    from shortlist.backends.open import open_llm

    method, _, model = expand.partition(":")
    if method != "query2doc" or not model:
        raise InvalidInput(f"--expand {expand!r}; write query2doc:MODEL, as in query2doc:smollm2-135m")
    llm = open_llm(model)
    if cache is not None:
        llm = cached(llm, Store(cache))
    if isinstance(retriever, Hybrid):  # each part with the form that suits it
        parts = tuple(_with_passages(part, llm) for part in retriever.retrievers)
        return replace(retriever, retrievers=parts, name="hybrid+query2doc")
    return _with_passages(retriever, llm)


def _with_passages(retriever: Retriever, llm: Completer) -> Retriever:
    return Expanded(retriever, Query2doc(llm, form="dense" if isinstance(retriever, Dense) else "sparse"))
