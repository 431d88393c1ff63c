"""`shortlist train`: a reranker that learns from a reader, or from judgements; and what to do with the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from shortlist.api import open_reader
from shortlist.backends.cache import Store
from shortlist.cli import options, train_text
from shortlist.cli.common import joined
from shortlist.cli.console import note, out, progress, put_json
from shortlist.cli.train_common import (
    Changes,
    Output,
    Resume,
    Shown,
    best_of,
    need_training,
    recipe_path,
    say_outcome,
    say_report,
)
from shortlist.data import open_collection, read_jsonl
from shortlist.errors import InvalidInput

if TYPE_CHECKING:
    from shortlist.training.data import TrainingData
    from shortlist.training.parallel import Processes
    from shortlist.training.progress import Outcome
    from shortlist.training.recipe import Recipe

app = typer.Typer(
    name="train",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train a reranker on your own questions, answers and corpus; export it; report on a run.",
)


@app.command("rrpo")
def rrpo(
    recipe: Annotated[
        str, typer.Argument(help="A recipe: a YAML file, or one that comes along: rrpo-ours, rrpo-paper, …")
    ],
    data: options.Data,
    output: Output,
    changes: Changes = None,
    resume: Resume = False,
    cache: Annotated[
        Optional[Path],
        typer.Option(
            "--cache",
            metavar="FILE",
            envvar="SHORTLIST_CACHE",
            help="Keep what the reader says in this file (sqlite), for other runs too; by default in RUN.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only read recipe and data, and say what would be done.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train a reranker by what a reader answers with its shortlists (RRPO).

    The collection needs queries with gold `answers` (or judgements, with reward.ndcg=1 reward.f1=0). The queries of its
    split test are never touched. In RUN: metrics.jsonl, costs.jsonl, report.html and checkpoints/best, which is a reranker.

    Example: `shortlist train rrpo rrpo-ours --data my-questions --output run optimiser.steps=200`
    """
    need_training()
    from shortlist.training.assembly import load_data
    from shortlist.training.parallel import leave
    from shortlist.training.recipe import Recipe

    told = _affordable(Recipe.read(recipe_path(recipe), changes or []))
    found = load_data(told, data)
    if dry_run:
        _plan(told, found)
        return
    try:
        outcome = _train(told, found, output, cache or output / "reader.sqlite", resume=resume)
    finally:
        leave()
    if outcome is not None:
        _publish(told, output, outcome, as_json=as_json)


@app.command("export")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A cross-encoder's folder, as RUN/checkpoints/best.")],
    data: options.Data,
    run: options.RunOption,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Compare on so many queries.")] = 20,
    depth: Annotated[int, typer.Option("--depth", min=1, help="Candidates of each.")] = 20,
    quantise: Annotated[bool, typer.Option("--int8/--float32", help="int8 is a quarter of the size.")] = True,
) -> None:
    """Write an ONNX copy of a checkpoint into it, and say how far its rankings agree with the original's.

    Open it as `cross-encoder:CHECKPOINT?engine=onnx`: it needs no torch.

    Example: `shortlist train export run/checkpoints/best --data my-questions --run my-questions/run.trec`
    """
    need_training()
    from shortlist.training.export import export_onnx

    asked = [request for request in joined(open_collection(data), run, depth, limit=limit) if request.candidates]
    agreed = export_onnx(checkpoint, asked, quantise=quantise)
    out.print(str(agreed))
    note(f"open it as cross-encoder:{checkpoint}?engine=onnx")


@app.command("report")
def report(run: Annotated[Path, typer.Argument(help="The folder of a run, finished or not.")]) -> None:
    """Write RUN/report.html anew, also of a run that is still going or was killed.

    Example: `shortlist train report run`
    """
    need_training()
    from shortlist.training.report import write_report

    note(f"report: {write_report(run)}")


# ------------------------------------------------------------------------------------------------ the run


def _train(told: Recipe, found: TrainingData, run: Path, cache: Path, *, resume: bool) -> Outcome | None:
    """The run; ``None`` in all processes but the first."""
    from shortlist.evaluation.manifest import environment
    from shortlist.training.assembly import Opened, assemble, manifest, open_policy
    from shortlist.training.parallel import Processes
    from shortlist.training.rrpo import Trainer

    processes = Processes.join()
    _check_run(run, resume=resume, processes=processes)
    reader = open_reader(told.reader) if told.reader is not None and told.asks_reader else None
    opened = Opened(
        recipe=told,
        run=run,
        data=found,
        policy=open_policy(told),
        reader=reader,
        store=Store(cache),
        processes=processes,
    )
    with progress("preparing") as bar:
        task = assemble(opened, resume=resume, told=bar.show if processes.first else None)
        if processes.first:
            manifest(opened, environment())
            for remark in (*found.notes, f"{len(task.requests)} queries to learn from, {len(found.dev)} to choose by"):
                note(remark)
        shown = Shown(bar, told.optimiser.steps, ("reward",))
        try:
            outcome = Trainer(task, shown if processes.first else None).run(resume=resume)
        finally:
            if processes.first:
                say_report(run)
    return outcome if processes.first else None


def _check_run(run: Path, *, resume: bool, processes: Processes) -> None:
    """What can be told before a model is opened."""
    if run.exists() and not run.is_dir():
        raise InvalidInput(f"--output {run} is a file; give the name of a folder")
    if (run / "recipe.yaml").exists() and not resume and processes.first:
        raise InvalidInput(f"{run} holds a run already; go on with --resume, or give another --output")
    if resume and not (run / "recipe.yaml").exists() and processes.first:
        note(f"{run} holds no run to go on with: this one begins")


def _affordable(recipe: Recipe) -> Recipe:
    """The recipe in float32, and so told and recorded, where bfloat16 would only be emulated."""
    from shortlist.training.networks import EMULATED, emulates_half

    if recipe.policy.dtype == "float32" or not emulates_half():
        return recipe
    note(f"{EMULATED}: policy.dtype=float32 instead of {recipe.policy.dtype}")
    return replace(recipe, policy=replace(recipe.policy, dtype="float32"))


def _publish(recipe: Recipe, run: Path, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        told = {"before": dict(outcome.before), "after": dict(outcome.after), "best_step": outcome.best_step}
        put_json(
            {**told, "steps": outcome.steps, "why": outcome.why, "checkpoint": str(best_of(run)), "reader": _costs(run)}
        )
        return
    say_outcome(run, outcome, _reading(run), reranker=recipe.reranker(best_of(run)))


def _costs(run: Path) -> dict[str, float]:
    """What was asked of the reader and what was not, over all the times that the run was gone on with.

    ``saved_share`` is of all readings wanted, ``busy`` the reader's share of the steps' time.
    """
    from shortlist.training.log import COSTS

    costs = [cost for _, cost in read_jsonl(run / COSTS)]
    made, saved, reading, seconds = (sum(c[name] for c in costs) for name in ("made", "saved", "reading", "seconds"))
    told = {"made": made, "saved": saved, "saved_share": saved / (made + saved) if made + saved else 0.0}
    return {**told, "busy": reading / seconds if seconds else 0.0}


def _reading(run: Path) -> str:
    told = _costs(run)
    saved = f"{told['saved']} saved by the cache ({told['saved_share']:.0%})"
    return f"reader: {told['made']} readings asked for, {saved}; busy {told['busy']:.0%} of the steps' time"


def _plan(told: Recipe, found: TrainingData) -> None:
    """What a run would do."""
    from shortlist.training.objectives import METHODS

    out.print(told.text(), end="")
    note(f"{len(found.train)} queries to learn from, {len(found.dev)} to choose by; {'; '.join(found.notes)}")
    if told.asks_reader and METHODS[told.objective].reads in {"prefixes", "lists"}:
        budget = "no budget" if told.reward.budget is None else f"a budget of {told.reward.budget:,}"
        note(
            f"at most {_readings(told, len(found.train)):,} readings to learn from (what comes again is saved), {budget}"
        )


def _readings(told: Recipe, queries: int) -> int:
    """The most there can be: of the samples and of greedy lists at every step, and of the filter before."""
    from shortlist.training.experience import lists_a_query
    from shortlist.training.objectives import METHODS

    sampling, credit, every = told.sampling, told.credit, METHODS[told.objective].reads == "prefixes"
    lists = lists_a_query(sampling, credit) if every else sampling.samples
    lengths = sampling.k if every or told.policy.stop else 1
    prefixes = lists * (lengths + (told.policy.stop or (every and credit.form == "marginal")))
    steps = told.optimiser.steps * told.optimiser.queries * prefixes
    kinds = bool(told.weights.keys() & {"f1", "em"}) + ("likelihood" in told.weights)
    return kinds * (steps + queries * told.data.solvable_samples * told.data.solvable)


train_text.register(app)
