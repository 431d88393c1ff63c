"""`shortlist evaluate`: first stage, rerankers and reader on a collection: a table, JSON, an HTML report."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from shortlist.api import open_reader
from shortlist.cli import options
from shortlist.cli.common import open_store
from shortlist.cli.console import note
from shortlist.cli.measuring import Asked, check_resume, experiment
from shortlist.errors import InvalidInput
from shortlist.evaluation import Experiment, compare
from shortlist.metrics import parse_measure
from shortlist.rerankers.catalog import open_reranker

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
    save: options.Save = None,
    resume: options.Resume = False,
    seed: options.Bootstrap = 0,
    cache: options.Cache = None,
) -> None:
    """Measure the first stage, rerankers over it, and a reader behind them.

    The first row is always the first stage itself. Queries with no candidates count 0; rankings that failed count as
    they are. Stars mark differences from the first stage that hold after Holm's correction (paired bootstrap).

    Example: `shortlist evaluate --data trec-dl19 --run trec-dl19/run.trec --reranker cross-encoder:minilm-l12
    --html report.html`
    """
    check_resume(save, resume=resume)
    store = open_store(cache)
    parsed = [parse_measure(name) for name in re.split(r"[\s;]+|,(?![^(]*\))", measures.strip()) if name]
    found = experiment(
        Asked(data=data, run=run, depth=depth, split=split, file=queries, limit=limit),
        [open_reranker(spec, store=store) for spec in reranker or []],
        parsed,
        reader=open_reader(reader, store=store) if reader else None,
        read_at=_read_at(k),
        seed=seed,
        save=save,
        resume=resume,
    )
    publish(found, json, html)


def publish(found: Experiment, json: Path | None, html: Path | None) -> None:
    """Print the table; write the JSON and the report where they are wanted."""
    from shortlist.evaluation.report import write_report
    from shortlist.evaluation.table import print_table

    comparisons = compare(found)
    print_table(found, comparisons)
    if json is not None:
        found.write(json, comparisons=[asdict(comparison) for comparison in comparisons])
        note(f"results: {json}")
    if html is not None:
        write_report(found, html, comparisons)
        note(f"report: {html}")


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
