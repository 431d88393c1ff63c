"""`shortlist train sft | grpo | dpo | plan | export-verl`: rerankers that write, from lessons to a checkpoint in use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from shortlist.cli import options
from shortlist.cli.console import note, out, progress, put_json, warn
from shortlist.errors import UnknownName

if TYPE_CHECKING:
    from shortlist.training.progress import Outcome
    from shortlist.training.text.recipe import TextRecipe
    from shortlist.training.text.run import TextRun

RecipeName = Annotated[
    str, typer.Argument(help="A recipe: a YAML file, or one that comes along: grouprank-sft-tiny, …")
]
Lessons = Annotated[
    Path, typer.Option("--lessons", metavar="FILE", help="What to learn from (JSONL, shortlist data …).")
]
Dev = Annotated[
    Optional[Path], typer.Option("--dev", metavar="FILE", help="Lessons to choose by; default: a share of the queries.")
]
Output = Annotated[Path, typer.Option("--output", metavar="RUN", help="The run's folder; new, but for --resume.")]
Changes = Annotated[
    Optional[list[str]], typer.Argument(help="Changes to it: section.field=value, as optimiser.steps=100")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last state of an interrupted run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only read recipe and lessons, and say what would be done.")]


def sft(
    recipe: RecipeName,
    lessons: Lessons,
    output: Output,
    changes: Changes = None,
    dev: Dev = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Teach a language model to rerank by imitation: lessons' targets, in the words of the prompt that will serve.

    In RUN: metrics.jsonl, dev/, results.json, report.html and checkpoints/best, which is a reranker.

    Example: `shortlist train sft grouprank-sft-tiny --lessons lessons.jsonl --output runs/sft optimiser.steps=100`
    """
    _run("sft", _Asked(recipe, changes, lessons, dev, output), resume=resume, dry_run=dry_run, as_json=as_json)


def grpo(
    recipe: RecipeName,
    lessons: Lessons,
    output: Output,
    changes: Changes = None,
    dev: Dev = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Have a language model learn from what its own rankings are worth (GRPO): nDCG, an answer's quality, its form …

    Example: `shortlist train grpo grouprank-grpo-tiny --lessons lessons.jsonl --output runs/rl model=runs/sft/checkpoints/best`
    """
    _run("grpo", _Asked(recipe, changes, lessons, dev, output), resume=resume, dry_run=dry_run, as_json=as_json)


def dpo(
    recipe: RecipeName,
    lessons: Lessons,
    output: Output,
    changes: Changes = None,
    dev: Dev = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Have a language model prefer the better of two rankings (DPO): of the lessons' targets, or of its own samples.

    Example: `shortlist train dpo dynamicrag-dpo-tiny --lessons lessons.jsonl --output runs/dpo model=runs/sft/checkpoints/best`
    """
    _run("dpo", _Asked(recipe, changes, lessons, dev, output), resume=resume, dry_run=dry_run, as_json=as_json)


def plan(
    recipe: RecipeName,
    changes: Changes = None,
    lessons: Annotated[
        Optional[Path],
        typer.Option("--lessons", metavar="FILE", help="Count their tokens; default: the recipe's words."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="So many lessons, without --lessons.")] = 10_000,
    passages: Annotated[int, typer.Option("--passages", min=1, help="Passages of each, without --lessons.")] = 20,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Devices.")] = 1,
    memory: Annotated[float, typer.Option("--gpu-memory", min=0.1, help="GiB of each.")] = 80.0,
    tflops: Annotated[
        float, typer.Option("--tflops", min=0.001, help="Peak of each, in the training precision.")
    ] = 990.0,
    utilisation: Annotated[
        float, typer.Option("--utilisation", min=0.01, max=1, help="Of the peak, in training.")
    ] = 0.35,
    as_json: options.Json = False,
) -> None:
    """Say what a recipe needs before it starts: parameters, memory, tokens, steps, rough hours. Downloads nothing.

    Example: `shortlist train plan grouprank-grpo --gpus 64 --gpu-memory 141`
    """
    from shortlist.training.text.plan import Hardware, load_for, make_plan

    told = _recipe(recipe, changes)
    hardware = Hardware(gpus=gpus, memory=memory, tflops=tflops, utilisation=utilisation)
    found = make_plan(told, load_for(told, lessons, count=count, passages=passages), hardware)
    if as_json:
        put_json(found.to_json())
        return
    out.print(found.text())


def export_verl(
    recipe: RecipeName,
    lessons: Lessons,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new folder for the files.")],
    changes: Changes = None,
    dev: Dev = None,
) -> None:
    """Write a GRPO recipe's lessons for verl: train.parquet, dev.parquet and a reward module without dependencies.

    Example: `shortlist train export-verl grouprank-grpo --lessons lessons.jsonl --output for-verl`
    """
    from shortlist.training.text.verl import export

    told = _recipe(recipe, changes)
    note(export(told, _lessons(told, lessons, dev), output))


def register(app: typer.Typer) -> None:
    """Add the commands to those of `shortlist train`."""
    for function in (sft, grpo, dpo, plan):
        app.command(function.__name__)(function)
    app.command("export-verl")(export_verl)


# ------------------------------------------------------------------------------------------------ the run


class _Asked:
    """What was said on the command line."""

    def __init__(self, recipe: str, changes: list[str] | None, lessons: Path, dev: Path | None, output: Path) -> None:
        self.recipe, self.changes, self.lessons, self.dev, self.output = recipe, changes, lessons, dev, output


def _run(method: Literal["sft", "grpo", "dpo"], asked: _Asked, *, resume: bool, dry_run: bool, as_json: bool) -> None:
    from shortlist.cli.train import need_training

    need_training()
    from shortlist.evaluation.manifest import environment
    from shortlist.training.text.run import TextRun, need_trl, train_text

    need_trl()
    told = _recipe(asked.recipe, asked.changes).at(method)
    found = _lessons(told, asked.lessons, asked.dev)
    steps = told.steps(len(found.train))
    note(f"{len(found.train)} lessons to learn from, {len(found.dev)} to choose by, {steps} steps")
    if dry_run:
        out.print(told.text(), end="")
        return
    with progress("preparing") as bar:
        run = TextRun(
            recipe=told,
            folder=asked.output,
            lessons=found,
            data=asked.lessons.name,
            about=environment(),
            note=note,
            on_step=_Shown(bar, steps),
        )
        try:
            outcome = train_text(run, resume=resume)
        finally:
            _report(run)
    _publish(run, outcome, as_json=as_json)


class _Shown:
    """Tells the terminal of each step."""

    def __init__(self, bar: Any, total: int) -> None:
        self._bar, self._total = bar, total

    def __call__(self, step: int, told: Mapping[str, Any]) -> None:
        for alarm in told.get("alarms", ()):
            warn(f"step {step}: {alarm}")
        if "dev" in told:
            note(f"step {step}: dev " + ", ".join(f"{name} {value:.4f}" for name, value in told["dev"].items()))
        shown = [f"{name} {told[name]:.3f}" for name in ("loss", "reward", "format") if told.get(name) is not None]
        self._bar.show(" · ".join(["training", *shown]), step, self._total)


def _report(run: TextRun) -> None:
    """The report, as far as there is anything to report on."""
    from shortlist.training.report import write_report

    if (run.folder / "dev" / "best.json").is_file():
        note(f"report: {write_report(run.folder)}")


def _publish(run: TextRun, outcome: Outcome, *, as_json: bool) -> None:
    from shortlist.training.text.run import results

    best = run.folder / "checkpoints" / "best"
    if as_json:
        put_json({**results(outcome), "checkpoint": str(best)})
        return
    out.print(f"{outcome.steps} steps ({outcome.why}); the best weights are those of step {outcome.best_step}")
    for name, value in outcome.after.items():
        out.print(f"  dev {name:12} {outcome.before.get(name, float('nan')):.4f} → {value:.4f}")
    note(f"use it: shortlist rerank --reranker {best} …, or shortlist serve --reranker {best}")


# ------------------------------------------------------------------------------------------------ what is read


def _recipe(name: str, changes: list[str] | None) -> TextRecipe:
    from shortlist.cli.train import shipped
    from shortlist.training.text.recipe import TextRecipe

    path = Path(name)
    if not path.is_file():
        known = shipped()
        if name not in known:
            raise UnknownName("recipe (nor is it a file)", name, known)
        path = known[name]
    return TextRecipe.read(path, changes or [])


def _lessons(told: TextRecipe, path: Path, dev: Path | None) -> Any:
    from shortlist.data.lessons import read_lessons
    from shortlist.training.text.run import lessons_of

    return lessons_of(told, list(read_lessons(path)), None if dev is None else list(read_lessons(dev)))
