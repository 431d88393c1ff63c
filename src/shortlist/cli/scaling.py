"""`shortlist scaling`: what more repeats, anchors, passes … of one reranker buy: a table, JSON, an HTML report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from shortlist.cli import options
from shortlist.cli.common import open_store
from shortlist.cli.console import note, out
from shortlist.cli.measuring import Asked, check_resume, experiment
from shortlist.evaluation.scaling import Scaling, open_settings, settings
from shortlist.metrics import parse_measure


def scaling(
    data: options.Data,
    run: options.RunOption,
    reranker: options.Spec,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="OPTION=VALUES",
            help="An option and its values, as in repeat=1,2,4; once an option. In a chain: of the last link.",
        ),
    ],
    depth: options.Depth = 100,
    measure: Annotated[str, typer.Option("--measure", help="In ir_measures' notation.")] = "nDCG@10",
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
    """Measure one reranker under several values of its options: what do more calls buy?

    Any option of any kind may vary: repeat, anchors, size, stride, passes, depth … Several options give every
    combination. Each setting is compared with the first one, query by query (paired bootstrap, Holm's correction).
    With --cache, settings share what the model was asked before; such calls are counted, but take no tokens or seconds.

    Example: `shortlist scaling --data trec-dl19 --run trec-dl19/run.trec --reranker 'groupwise:MODEL?design=balanced'
    --vary repeat=1,2,4,8 --html curve.html`
    """
    check_resume(save, resume=resume)
    chosen, parsed = settings(reranker, vary), parse_measure(measure)
    found = experiment(
        Asked(data=data, run=run, depth=depth, split=split, file=queries, limit=limit),
        open_settings(chosen, store=open_store(cache)),
        [parsed],
        examples=0,
        seed=seed,
        about={"vary": list(vary)},
        save=save,
        resume=resume,
    )
    publish(Scaling(found, chosen, parsed.name), json, html)


def publish(found: Scaling, json: Path | None, html: Path | None) -> None:
    """Print the table; write the JSON and the report where they are wanted."""
    from shortlist.evaluation.scaling_report import notes, scaling_table, write_scaling_report

    out.print(scaling_table(found))
    for line in notes(found):
        out.print(line, style="dim", soft_wrap=True)
    if json is not None:
        found.experiment.write(json, settings=[row.to_json() for row in found.rows])
        note(f"results: {json}")
    if html is not None:
        write_scaling_report(found, html)
        note(f"report: {html}")
