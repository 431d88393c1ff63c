"""The report's sections that are charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from shortlist.drawing import plots
from shortlist.drawing.markup import Content, Markup, tag
from shortlist.evaluation.experiment import System
from shortlist.evaluation.report_facts import Facts
from shortlist.evaluation.table import kept

MOST_BARS: Final = 240
"""More queries than this are drawn as means of neighbours, so that the file stays small."""


def cost_section(facts: Facts) -> Content:
    """Quality against calls, tokens and seconds; a cost that nobody has is left out."""
    systems = facts.experiment.systems
    kinds = {
        "calls a query": [s.per_ranking(s.usage.calls) for s in systems],
        "tokens a query": [s.per_ranking(s.usage.tokens) for s in systems],
        "seconds a query": [s.per_ranking(s.seconds) for s in systems],
    }
    figures = [
        tag("figure", plots.scatter(f"{measure} against {kind}", points, kind, measure))
        for measure in facts.shown
        for kind, costs in kinds.items()
        if any(costs) and (points := _points(facts, measure, costs))  # nobody has it where nothing is judged
    ]
    told = "Up is better, left is cheaper. Whiskers are 95 % intervals; axes bend where costs differ widely."
    return [tag("p", told, class_="note"), tag("div", *figures, class_="charts")] if figures else None


def _points(facts: Facts, measure: str, costs: Sequence[float]) -> list[plots.Point]:
    return [
        plots.Point(
            label=system.name,
            x=cost,
            y=system.measures[measure],
            series=place,
            interval=facts.intervals[system.name][measure],
        )
        for place, (system, cost) in enumerate(zip(facts.experiment.systems, costs, strict=True))
        if measure in system.measures
    ]


def queries_section(facts: Facts) -> Content:
    """What each query gained or lost."""
    others = facts.experiment.systems[1:]
    figures = [_deltas(facts, system, measure) for measure in facts.shown for system in others]
    told = f"Each bar is a query: its change against {facts.experiment.first.name}. Point at a bar to see which."
    return [tag("p", told, class_="note"), tag("div", *figures, class_="charts wide")] if figures else None


def _deltas(facts: Facts, system: System, measure: str) -> Content:
    found = facts.by_place.get((system.name, measure))
    if found is None:
        return None
    delta = system.values(measure) - facts.experiment.first.values(measure)
    pairs = [(float(d), query_id) for d, query_id in zip(delta, system.query_ids, strict=True) if not math.isnan(d)]
    told = sorted(pairs, key=lambda pair: -pair[0])
    counts = f"{found.wins:,} better, {found.ties:,} equal, {found.losses:,} worse"
    drawn = plots.delta_bars(f"{system.name}: change in {measure}", _bars(told), counts)
    caption = tag("figcaption", tag("b", system.name), f" · {measure} · {counts}")
    return tag("figure", caption, drawn, _extreme_rows(told, measure))


def _bars(told: Sequence[tuple[float, str]]) -> list[plots.Bar]:
    size = -(-len(told) // MOST_BARS)
    if size <= 1:
        return [plots.Bar(value=d, title=f"{query_id}: {d:+.4f}") for d, query_id in told]
    groups = [told[i : i + size] for i in range(0, len(told), size)]
    return [
        plots.Bar(
            value=sum(d for d, _ in group) / len(group),
            title=f"{len(group)} queries, {group[0][1]} … {group[-1][1]}: {group[0][0]:+.4f} to {group[-1][0]:+.4f}",
        )
        for group in groups
    ]


def _extreme_rows(told: Sequence[tuple[float, str]], measure: str, count: int = 10) -> Markup:
    """The chart as a table, as far as anyone would read it."""
    ends = told if len(told) <= 2 * count else [*told[:count], *told[-count:]]
    rows = [tag("tr", tag("th", query_id, scope="row"), tag("td", f"{d:+.4f}")) for d, query_id in ends]
    head = tag("thead", tag("tr", tag("th", "query", scope="col"), tag("th", measure, scope="col")))
    return tag("details", tag("summary", "The ends as a table"), tag("table", head, tag("tbody", *rows)))


def kept_section(facts: Facts) -> Content:
    """How many passages are kept, of systems that say."""
    stating = [(place, s) for place, s in enumerate(facts.experiment.systems) if s.cutoffs]
    if not stating:
        return None
    figures = [
        tag(
            "figure",
            tag(
                "figcaption",
                tag("b", s.name),
                f" · mean {kept(s)} · {sum(s.cutoffs.values()):,} of {s.ranked:,} rankings state it",
            ),
            plots.histogram(f"Passages kept by {s.name}", s.cutoffs, place),
        )
        for place, s in stating
    ]
    whole = [s.name for s in facts.experiment.systems if not s.cutoffs]
    note = tag("p", f"Keep everything: {', '.join(whole)}.", class_="note") if whole else None
    return [note, tag("div", *figures, class_="charts wide")]


def statuses_section(facts: Facts) -> Content:
    """How the rankings came about."""
    legend_line = [
        tag("span", tag("i", class_=f"dot s-{name}"), told)
        for name, told in (
            ("ok", "well-formed"),
            ("repaired", "repaired, nothing lost"),
            ("partial", "some passages not judged"),
            ("failed", "failed: first-stage order"),
        )
    ]
    rows = [
        (
            tag("div", system.name),
            plots.status_bar(f"Replies of {system.name}", system.statuses),
            tag("div", f"{system.format_failure_rate:.1%} not well-formed", class_="note"),
        )
        for system in facts.experiment.systems[1:]
    ]
    return [tag("p", *legend_line, class_="note legend"), tag("div", rows, class_="statuses")] if rows else None
