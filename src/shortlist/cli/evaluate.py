"""`shortlist evaluate`: first stage, rerankers and reader on a collection: a table, JSON, an HTML report."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from shortlist.api import open_reader
from shortlist.cli import options
from shortlist.cli.common import chosen_queries, joined, open_store
from shortlist.cli.console import note, progress, warn
from shortlist.data import Collection, Missing, open_collection
from shortlist.errors import InvalidInput
from shortlist.evaluation import Experiment, Progress, compare
from shortlist.evaluation import evaluate as run_evaluation
from shortlist.metrics import parse_measure
from shortlist.rerankers.catalog import open_reranker
from shortlist.types import RerankRequest

Reader = Annotated[
    Optional[str],
    typer.Option("--reader", metavar="MODEL", help="Also read answers: smollm2-135m, a path, openai:MODEL@URL, …"),
]


def evaluate(
    data: options.Data,
    run: options.RunOption,
    reranker: Annotated[
        Optional[list[str]],
        typer.Option("--reranker", metavar="SPEC", help="A system to compare; give it as often as you like."),
    ] = None,
    depth: options.Depth = 100,
    measures: Annotated[
        str, typer.Option("--measures", help='In ir_measures\' notation, as "nDCG@10 RR@10 R(rel=2)@100".')
    ] = "nDCG@10 RR@10 R@20",
    reader: Reader = None,
    k: Annotated[str, typer.Option("--k", help="Read the first so many passages; auto: what is kept.")] = "1,3,5,auto",
    split: options.Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    json: Annotated[Optional[Path], typer.Option("--json", metavar="FILE", help="Write all results here.")] = None,
    html: Annotated[Optional[Path], typer.Option("--html", metavar="FILE", help="Write the report here.")] = None,
    save: Annotated[
        Optional[Path],
        typer.Option("--save", metavar="DIR", help="Keep results query by query, so that --resume can go on."),
    ] = None,
    resume: options.Resume = False,
    seed: Annotated[int, typer.Option("--seed", help="For the bootstrap.")] = 0,
    cache: options.Cache = None,
) -> None:
    """Measure the first stage, rerankers over it, and a reader behind them.

    The first row is always the first stage itself. Queries with no candidates count 0; rankings that failed count as
    they are. Stars mark differences from the first stage that hold after Holm's correction (paired bootstrap).

    Example: `shortlist evaluate --data trec-dl19 --run trec-dl19/run.trec --reranker cross-encoder:minilm-l12
    --html report.html`
    """
    if resume and save is None:
        raise InvalidInput("--resume needs the --save DIR of the interrupted evaluation")
    store = open_store(cache)
    parsed = [parse_measure(name) for name in re.split(r"[\s;]+|,(?![^(]*\))", measures.strip()) if name]
    rankers = [open_reranker(spec, store=store) for spec in reranker or []]
    collection, missing = open_collection(data), Missing()
    asked = _requests(collection, run, depth, split, queries, limit, missing)
    some = split is not None or queries is not None or limit is not None
    chosen = [q.id for q in chosen_queries(collection, split=split, file=queries, limit=limit)] if some else None
    qrels = collection.qrels()
    if reader and not any(q.answers for q in chosen_queries(collection, split=split, file=queries, limit=limit)):
        raise InvalidInput(f"no query of {data} has gold answers, so that a reader's answers cannot be judged")
    if not qrels and reader is None:
        raise InvalidInput(f"{data} has no judgements (qrels/SPLIT.tsv), and there is no --reader: nothing to measure")
    with progress("evaluating") as bar:

        def show(told: Progress) -> None:
            bar.show(told.system[:60], told.done, told.total)

        experiment = run_evaluation(
            rankers,
            asked,
            qrels,
            parsed,
            first_stage=_tag(run),
            reader=open_reader(reader, store=store) if reader else None,
            read_at=_read_at(k),
            depth=depth,
            query_ids=[i for i in chosen if i in qrels or reader] if chosen is not None else None,
            seed=seed,
            about={"data": Path(data).name, "run": run.name, "command": _command()},
            on_progress=show,
            save=save,
            resume=resume,
        )
    if missing.count:
        warn(f"{missing.count} candidates have no text in the corpus and were left out, as {missing.examples[0]}")
    publish(experiment, json, html)


def publish(experiment: Experiment, json: Path | None, html: Path | None) -> None:
    """Print the table; write the JSON and the report where they are wanted."""
    from shortlist.evaluation.report import write_report
    from shortlist.evaluation.table import print_table

    comparisons = compare(experiment)
    print_table(experiment, comparisons)
    if json is not None:
        experiment.write(json, comparisons=[asdict(comparison) for comparison in comparisons])
        note(f"results: {json}")
    if html is not None:
        write_report(experiment, html, comparisons)
        note(f"report: {html}")


def _requests(
    collection: Collection,
    run: Path,
    depth: int,
    split: str | None,
    queries: Path | None,
    limit: int | None,
    missing: Missing,
) -> Callable[[], Iterator[RerankRequest]]:
    return lambda: joined(collection, run, depth, split=split, file=queries, limit=limit, missing=missing)


def _tag(run: Path) -> str:
    """The run's own name: the tag in its sixth column."""
    from shortlist.data.files import read_lines

    for _, line in read_lines(run):
        columns = line.split()
        if len(columns) == 6:
            return columns[5]
    return "first-stage"


def _read_at(k: str) -> list[int | Literal["auto"]]:
    found: list[int | Literal["auto"]] = []
    for part in k.replace(" ", "").split(","):
        if part == "auto":
            found.append("auto")
        elif part.isdigit() and int(part) > 0:
            found.append(int(part))
        else:
            raise InvalidInput(f"--k {k}: {part!r} is neither a number above 0 nor auto; write --k 1,3,5,auto")
    return found


_FOLDERS = re.compile(r"(?<![\w.:/~-])(?:~|\.{1,2})?/(?:[^\s/?&@=]+/)*(?=[^\s/?&@=])")


def _command() -> str:
    """The command line, with folders left out: reports are shared."""
    return " ".join(["shortlist", *(_FOLDERS.sub("", argument) for argument in sys.argv[1:])])
