"""An experiment in the terminal: best in bold, differences from the first stage with their significance, and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shortlist.evaluation.experiment import Experiment, System
from shortlist.evaluation.significance import Comparison, compare

WIDE = 10_000


@dataclass(frozen=True, slots=True)
class _Column:
    """A heading and a cell for each system."""

    head: str
    cells: tuple[Text, ...]

    @property
    def width(self) -> int:
        return max(len(self.head), *(cell.cell_len for cell in self.cells)) + 2


def print_table(
    experiment: Experiment,
    comparisons: Sequence[Comparison] | None = None,
    *,
    measures: Sequence[str] | None = None,
    file: IO[str] | None = None,
    width: int | None = None,
) -> None:
    """Print the experiment: in colour to a terminal, plain and unwrapped to anything else.

    Where the columns do not fit into the terminal (or ``width``), they go into several tables below one another.
    """
    compared = compare(experiment, measures=measures) if comparisons is None else comparisons
    console = Console(file=file, width=width, highlight=False)
    if width is None and not console.is_terminal:
        console = Console(file=file, width=WIDE, highlight=False)
    for table in tables(experiment, compared, measures=measures, width=console.width):
        console.print(table)
    for line in legend(experiment, compared):
        console.print(line, style="dim", soft_wrap=True)


def tables(
    experiment: Experiment,
    comparisons: Iterable[Comparison],
    *,
    measures: Sequence[str] | None = None,
    width: int = WIDE,
) -> Iterator[Table]:
    """As few tables as fit into ``width`` columns of characters; each begins with the systems' names."""
    names = _Column("system", tuple(Text(system.name) for system in experiment.systems))
    found = {(c.system, c.measure): c for c in comparisons}
    chosen = experiment.columns if measures is None else measures
    columns = [_measure(experiment, measure, found) for measure in chosen] + _costs(experiment.systems)
    for group in _packed(columns, width - names.width):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(names.head, overflow="fold")
        for column in group:
            table.add_column(column.head, justify="right", no_wrap=True)
        for row, name in enumerate(names.cells):
            table.add_row(name, *(column.cells[row] for column in group))
        yield table


def legend(experiment: Experiment, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """What the marks mean, and what must be known to read the numbers."""
    if comparisons:
        yield (
            f"Differences are from {comparisons[0].baseline}; * p < .05, ** p < .01: paired bootstrap over queries, "
            f"Holm-corrected for {len(comparisons)} comparisons."
        )
    manifest = experiment.manifest
    for key, told in NOTES.items():
        if manifest.get(key):
            yield f"{manifest[key]} {told}"


NOTES: Mapping[str, str] = {
    "queries_without_request": "of the queries had no request; they count 0.",
    "queries_without_judgement": "queries had no judgements; they are not in the ranking measures.",
    "requests_left_out": "requests were for queries that are not counted, and were left out.",
}
"""The manifest's counts that a reader of the numbers must know."""


def _packed(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    group: list[_Column] = []
    for column in columns:
        if group and sum(c.width for c in group) + column.width > width:
            yield group
            group = []
        group.append(column)
    yield group


def _measure(experiment: Experiment, measure: str, found: Mapping[tuple[str, str], Comparison]) -> _Column:
    means = [system.measures.get(measure) for system in experiment.systems]
    best = max((round(mean, 4) for mean in means if mean is not None), default=None)
    cells = [
        _mean(mean, found.get((system.name, measure)), best)
        for system, mean in zip(experiment.systems, means, strict=True)
    ]
    return _Column(measure, tuple(cells))


def _mean(mean: float | None, comparison: Comparison | None, best: float | None) -> Text:
    if mean is None:
        return Text("–")
    cell = Text(f"{mean:.4f}", style="bold" if round(mean, 4) == best else "")
    if comparison is None:
        return cell
    colour = "" if not comparison.mark else "green" if comparison.difference > 0 else "red"
    return cell.append(f" {comparison.difference:+.4f}{comparison.mark:<2}", style=f"not bold {colour}".strip())


def _costs(systems: Sequence[System]) -> list[_Column]:
    columns = {
        "kept": [kept(system) for system in systems],
        "calls/q": [f"{system.per_ranking(system.usage.calls):.1f}" for system in systems],
        "tokens/q": [f"{system.per_ranking(system.usage.tokens):,.0f}" for system in systems],
        "s/q": [f"{system.per_ranking(system.seconds):.3f}" for system in systems],
        "lost": [f"{system.failures}" for system in systems],
        "format errors": [f"{system.format_failure_rate:.1%}" for system in systems],
    }
    return [_Column(head, tuple(Text(cell) for cell in cells)) for head, cells in columns.items()]


def kept(system: System) -> str:
    """The mean cutoff of the rankings that state one; ``all`` where none does."""
    stated = sum(system.cutoffs.values())
    return f"{sum(k * n for k, n in system.cutoffs.items()) / stated:.1f}" if stated else "all"
