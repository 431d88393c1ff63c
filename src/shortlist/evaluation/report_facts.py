"""What the sections of a report look up, and the table that several of them show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from shortlist.drawing import plots
from shortlist.drawing.markup import Content, Markup, tag
from shortlist.evaluation.experiment import Experiment, System
from shortlist.evaluation.manifest import flat
from shortlist.evaluation.significance import Comparison, Interval, mean_intervals
from shortlist.evaluation.table import kept

COSTS: Final = ("kept", "calls/query", "tokens/query", "s/query", "p95 model s", "lost", "format errors")


@dataclass(frozen=True)
class Facts:
    """An experiment with what the report's sections look up in it."""

    experiment: Experiment
    comparisons: Sequence[Comparison]

    @cached_property
    def by_place(self) -> dict[tuple[str, str], Comparison]:
        """Comparisons by system and measure."""
        return {(c.system, c.measure): c for c in self.comparisons}

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """The interval of each mean, by system and measure."""
        seed = int(self.experiment.manifest.get("seed", 0))
        return {system.name: mean_intervals(system, seed=seed) for system in self.experiment.systems}

    @property
    def ranking_columns(self) -> list[str]:
        """Measures of rankings."""
        answered = set(self.answer_columns)
        return [column for column in self.experiment.columns if column not in answered]

    @property
    def answer_columns(self) -> list[str]:
        """Measures of answers."""
        manifest = self.experiment.manifest
        pairs = [f"{m}@{k}" for k in manifest.get("read_at", ()) for m in manifest.get("answer_measures", ())]
        return [column for column in self.experiment.columns if column in pairs]

    @property
    def focus(self) -> str:
        """The measure that examples were chosen by."""
        told = str(self.experiment.manifest.get("focus", ""))
        return told if told in self.experiment.columns else self.experiment.columns[0]

    @property
    def shown(self) -> list[str]:
        """The measures that get charts: the first of rankings, and the focus."""
        return list(dict.fromkeys([*self.ranking_columns[:1], self.focus]))


def table(facts: Facts, columns: Sequence[str], *, costs: bool) -> Markup:
    """One row a system: its means with intervals and differences and, if wanted, its costs."""
    heads = ["system", *columns, *(COSTS if costs else ())]
    rows = [
        tag(
            "tr",
            tag("th", _dot(place), system.name, scope="row", class_="left"),
            *(_mean_cell(facts, system, column) for column in columns),
            *(tag("td", cell) for cell in (_costs(system) if costs else ())),
        )
        for place, system in enumerate(facts.experiment.systems)
    ]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    return tag("div", tag("table", head, tag("tbody", *rows)), class_="scroll")


def _costs(system: System) -> list[str]:
    return [
        kept(system),
        f"{system.per_ranking(system.usage.calls):.1f}",
        f"{system.per_ranking(system.usage.tokens):,.0f}",
        f"{system.per_ranking(system.seconds):.3f}",
        f"{system.latency.get('p95', 0.0):.2f}",
        f"{system.failures:,}",
        f"{system.format_failure_rate:.1%}",
    ]


def _dot(place: int) -> Markup:
    return tag("span", class_="dot", style=f"background:{plots.colour(place)}", aria_hidden="true")


def _mean_cell(facts: Facts, system: System, column: str) -> Markup:
    mean = system.measures.get(column)
    if mean is None:
        return tag("td", "–")
    best = max(round(s.measures.get(column, 0.0), 4) for s in facts.experiment.systems)
    low, high = facts.intervals[system.name][column]
    parts: list[Content] = [f"{mean:.4f}", tag("span", f"{low:.3f} – {high:.3f}", class_="sub")]
    found = facts.by_place.get((system.name, column))
    if found is not None:
        way = "sub" if not found.mark else "sub up" if found.difference > 0 else "sub down"
        counts = f"{found.wins} better, {found.ties} equal, {found.losses} worse"
        hover = f"p = {found.p:.2g}, corrected {found.p_holm:.2g}; {counts}"
        parts.append(tag("span", f"{found.difference:+.4f}{found.mark}", class_=way, title=hover))
    return tag("td", *parts, class_="best" if round(mean, 4) == best else None)


def manifest_table(experiment: Experiment) -> Markup:
    """What the numbers were made from: the manifest, and what each system says of itself."""
    plain = {key: value for key, value in experiment.manifest.items() if key != "systems"}
    systems = [(f"system {s.name}", s.identity or "says nothing of itself") for s in experiment.systems]
    rows = [
        tag("tr", tag("th", key, scope="row", class_="left"), tag("td", value)) for key, value in flat(plain) + systems
    ]
    return tag("div", tag("table", tag("tbody", *rows), class_="manifest"), class_="scroll")
