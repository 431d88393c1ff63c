"""`shortlist data queries`, `cloze` and `retriever`: what a bare corpus gives, and a bi-encoder of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from shortlist.api import open_reader
from shortlist.backends.base import Completer
from shortlist.backends.cache import Store, cached
from shortlist.backends.open import open_embedder, open_llm
from shortlist.cli import options
from shortlist.cli.console import note, out, progress, put_json
from shortlist.cli.data.common import Job, Output, Rel, Seed, check_any, settings_of, write_manifest
from shortlist.data import Collection, open_collection, write_collection
from shortlist.data.lessons import read_lessons
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.spec import Options, llm_options, read_options
from shortlist.retrieval.bm25 import BM25
from shortlist.retrieval.open import open_index
from shortlist.synthesis.cloze import Cloze
from shortlist.synthesis.common import Tally
from shortlist.synthesis.passages import open_passages
from shortlist.synthesis.queries import QueryMaker, QueryWriter, Written, split_queries
from shortlist.synthesis.retriever import Example, RetrieverTraining, examples, pairs, pool, recall_at
from shortlist.types import Document, Qrels, Query


def queries(
    corpus: Annotated[
        Path, typer.Argument(help="A folder with corpus.jsonl, a JSONL file, or a folder of .txt, .md and .rst files.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The collection to write: a new folder.")],
    writer: Annotated[
        str,
        typer.Option(
            "--writer", metavar="MODEL", help="The language model that writes them: MODEL[?reuse_prefix=true]."
        ),
    ] = "smollm2-135m",
    judge: Annotated[
        str,
        typer.Option("--judge", metavar="SPEC", help="The reranker that must put the passage first; none: not asked."),
    ] = "cross-encoder:minilm-l12",
    count: Annotated[int, typer.Option("--count", min=1, help="How many queries to stop at.")] = 1000,
    tries: Annotated[Optional[int], typer.Option("--tries", min=1, help="Try so many passages at most.")] = None,
    found_in: Annotated[
        int, typer.Option("--found-in", min=1, help="The first stage must find it in its top so many.")
    ] = 20,
    rank: Annotated[int, typer.Option("--rank", min=1, help="The judge must rank it within so many.")] = 1,
    depth: options.Depth = 100,
    splits: Annotated[str, typer.Option("--splits", help="Splits and their shares.")] = "train=0.8,dev=0.1,test=0.1",
    reader: Annotated[
        Optional[str],
        typer.Option(
            "--reader",
            metavar="MODEL",
            help="Have gold answers, too: only queries it answers in the passage's words stay.",
        ),
    ] = None,
    index: Annotated[
        Optional[Path],
        typer.Option("--index", metavar="INDEX", help="The first stage's BM25 index; built for now without it."),
    ] = None,
    cache: options.Cache = None,
    seed: Seed = 0,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Write queries for a corpus that has none, and keep those that find their way back to their passage.

    The output is a collection in BEIR's layout: corpus, queries, judgements (the passage each was written for), splits,
    and the first stage's run. What models said is kept in --cache, or else in DIR/said.sqlite, so that `--resume` goes on.

    Example: `shortlist data queries my-docs --writer smollm2-135m --count 500 --output my-collection`
    """
    shares = _shares(splits)
    _check_folder(output, resume=resume)
    passages = open_passages(corpus)
    output.mkdir(parents=True, exist_ok=True)
    store = Store(cache or output / "said.sqlite")
    recipe = QueryMaker(
        writer=QueryWriter(cached(_open_writer(writer), store)),
        retriever=BM25.build(passages.values()) if index is None else open_index(index, "bm25"),
        judge=None if judge == "none" else open_reranker(judge, store=store),
        reader=None if reader is None else open_reader(reader, store=store),
        count=count,
        tries=tries,
        found_in=found_in,
        rank=rank,
        depth=depth,
        seed=seed,
    )
    tally = Tally()
    with progress("writing queries", count) as bar:
        made = list(bar.watch(recipe.make(passages, tally)))
    check_any(tally, None)
    sizes = _write(output, passages, made, shares, seed)
    counts = {"passages": len(passages), "queries": len(made), "splits": sizes, "counts": dict(tally)}
    told = {"output": str(output), **counts}
    settings = {**settings_of(recipe), "writer": writer, "judge": judge, "reader": reader, "splits": shares}
    where = write_manifest(output / "queries.jsonl", "queries", settings, {"corpus": str(corpus)}, {}, told)
    put_json({**told, "manifest": str(where)}) if json else _say(told, made, where)


def _check_folder(output: Path, *, resume: bool) -> None:
    if output.exists() and not resume and any(output.iterdir()):
        raise InvalidInput(f"--output {output} is not empty; give a new folder, or --resume")


def _open_writer(name: str) -> Completer:
    """``MODEL[?reuse_prefix=true&engine=…]``, with the options of language models."""
    model, _, query = name.rpartition("?") if "?" in name else (name, "", "")
    told = Options(name, read_options(query, name))
    running = llm_options(told)
    told.done()
    return open_llm(model, running)


def _write(
    output: Path, passages: Mapping[str, Document], made: Sequence[Written], shares: Mapping[str, float], seed: int
) -> dict[str, int]:
    """The collection; gives the queries of each split."""
    by_id = {written.query.id: written for written in made}
    divided = split_queries(list(by_id), shares, seed)
    write_collection(
        output,
        corpus=passages.values(),
        queries=[written.query for written in made],
        qrels={name: {qid: {by_id[qid].passage.id: 1} for qid in ids} for name, ids in divided.items() if ids},
        runs={"run": {w.query.id: dict(zip(w.hits.ids, w.hits.scores, strict=True)) for w in made}},
        splits=divided,
    )
    return {name: len(ids) for name, ids in divided.items()}


def _shares(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise InvalidInput(f"--splits {text}: write train=0.8,dev=0.1,test=0.1") from None
    return shares


def _say(told: Mapping[str, Any], made: Sequence[Written], manifest: Path) -> None:
    for written in made[:5]:
        out.print(f"{written.query.text}  ← {written.passage.id}")
    note(f"{told['queries']} queries over {told['passages']:,} passages in {told['output']}: {told['splits']}")
    for name, count in told["counts"].items():
        if count:
            note(f"  {name}: {count}")
    note(f"manifest: {manifest}")


# ------------------------------------------------------------------------------------------------ lists of snippets


def cloze(
    corpus: Annotated[
        Path, typer.Argument(help="A folder with corpus.jsonl, a JSONL file, or a folder of .txt, .md and .rst files.")
    ],
    output: Output,
    count: Annotated[int, typer.Option("--count", min=1, help="How many lists.")] = 2000,
    size: Annotated[int, typer.Option("--size", min=2, help="Snippets a list.")] = 5,
    words: Annotated[int, typer.Option("--words", min=1, help="Words of a snippet.")] = 6,
    query_words: Annotated[int, typer.Option("--query-words", min=1, help="Words of a query.")] = 3,
    reasoning: Annotated[
        bool,
        typer.Option("--reasoning", help="Targets also reason, for prompts that do: each snippet's score in turn."),
    ] = False,
    seed: Seed = 0,
    json: options.Json = False,
) -> None:
    """Make lists of short snippets, with a few words of one of them for a query: to learn the form of a task from.

    A small model that is to say something of each of several passages first has to learn where to look. It does so in
    minutes on these; then give it real lists.

    Example: `shortlist data cloze my-docs --count 2000 --output cloze.jsonl`
    """
    recipe = Cloze(count=count, size=size, words=words, query=query_words, reasoning=reasoning, seed=seed)
    passages = list(open_passages(corpus).values())
    job = Job("cloze", output, settings_of(recipe), {"corpus": str(corpus), "passages": len(passages)}, {}, json)
    job.write(recipe.lessons(passages, job.tally), count)


# ------------------------------------------------------------------------------------------------ the retriever


def retriever(
    data: options.Data,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The model to write: a new folder.")],
    lessons: Annotated[
        Optional[Path],
        typer.Option("--lessons", metavar="FILE", help="Lists with hard negatives, as of `shortlist data bands`."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="What to begin with: a catalog name, a hub id or a folder.")
    ] = "minilm-l6-embed",
    negatives: Annotated[int, typer.Option("--negatives", min=0, help="Hard negatives an example.")] = 1,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the examples.")] = 1,
    steps: Annotated[Optional[int], typer.Option("--steps", min=1, help="Stop after so many steps.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Examples a step.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="The peak of the learning rate.")] = 2e-5,
    max_length: Annotated[int, typer.Option("--max-length", min=8, help="Tokens of a text, in training.")] = 128,
    measure_on: Annotated[str, typer.Option("--measure-on", help="The split whose recall is told.")] = "dev",
    passages: Annotated[
        Optional[int],
        typer.Option(
            "--passages", min=1, help="Measure over so many passages (the judged ones, and others at random)."
        ),
    ] = None,
    rel: Rel = 1,
    seed: Seed = 0,
    json: options.Json = False,
) -> None:
    """Train a bi-encoder, and tell its recall before and after.

    Without lessons it learns from the judgements of the split train, with the passages of the batch as negatives. Use the
    result with `shortlist index --retriever dense --embedder DIR`.

    Example: `shortlist data retriever --data my-collection --lessons mined.jsonl --output my-retriever`
    """
    recipe = RetrieverTraining(
        model=model,
        epochs=epochs,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        max_length=max_length,
        seed=seed,
    )
    collection, tally = open_collection(data), Tally()
    trial = _Trial.of(collection, measure_on, passages, rel=rel, seed=seed)
    items = list(_examples(collection, lessons, tally, negatives=negatives, rel=rel, seed=seed))
    with progress("measuring") as bar:
        before = trial.recalls(model)
        note(f"before: {_figures(before)}")
        taken = recipe.train(
            items, output, lambda step, total, loss: bar.show(f"training · loss {loss:.3f}", step, total)
        )
        bar.show("measuring", 0, None)
        after = trial.recalls(str(output))
    counts = {"examples": len(items), **{name: n for name, n in tally.items() if name != "examples" and n}}
    told = {"output": str(output), "steps": taken, "counts": counts, "before": before, "after": after}
    inputs = {} if lessons is None else {"lessons": lessons}
    settings = {**settings_of(recipe), "negatives": negatives}
    where = write_manifest(output, "retriever", settings, trial.about, inputs, told)
    if json:
        put_json({**told, "manifest": str(where)})
        return
    _compare(before, after, f"{len(trial.queries)} queries of {measure_on}, {len(trial.ids):,} passages")
    note(f"{taken} steps on {len(items)} examples; manifest: {where}")
    note(f"use it: shortlist index --data {data} --retriever dense --embedder {output} --output my-index")


@dataclass(frozen=True)
class _Trial:
    """What recall is measured on: the queries of a split, over some passages."""

    collection: Collection
    split: str
    queries: Sequence[Query]
    qrels: Qrels
    ids: Sequence[str]
    rel: int

    @classmethod
    def of(cls, collection: Collection, split: str, passages: int | None, *, rel: int, seed: int) -> _Trial:
        """Read the split, and choose the passages."""
        asked, qrels = list(collection.queries(split)), collection.qrels(split)
        return cls(collection, split, asked, qrels, pool(collection.corpus, qrels, passages, seed), rel)

    @property
    def about(self) -> dict[str, Any]:
        """What a manifest says of it."""
        counts = {"queries": len(self.queries), "passages": len(self.ids)}
        return {"collection": self.collection.name, "measured_on": self.split, **counts}

    def recalls(self, model: str) -> dict[str, float]:
        """Of an embedding model."""
        return recall_at(open_embedder(model), self._documents, self.queries, self.qrels, rel=self.rel)

    def _documents(self) -> Iterator[Document]:
        return (self.collection.corpus[docid] for docid in self.ids)


def _examples(
    collection: Collection, lessons: Path | None, tally: Tally, *, negatives: int, rel: int, seed: int
) -> Iterator[Example]:
    """Of lessons, but for those of held-out queries; or of the judgements of the split train."""
    if lessons is None:
        return pairs(collection.queries("train"), collection.qrels("train"), collection.corpus, rel=rel)
    held_out = {query.id for name in collection.splits if name != "train" for query in collection.queries(name)}
    return examples(read_lessons(lessons), tally, negatives=negatives, rel=rel, seed=seed, without=held_out)


def _figures(recalls: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in recalls.items())


def _compare(before: Mapping[str, float], after: Mapping[str, float], where: str) -> None:
    out.print(f"{where}:")
    for name, value in after.items():
        out.print(f"  {name:12} {before[name]:.4f} → {value:.4f}")
