"""A scaling curve for the terminal and as one HTML file: quality against calls, setting by setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from shortlist.data.files import write_lines
from shortlist.drawing import plots
from shortlist.drawing.markup import Content, Markup, page, tag
from shortlist.evaluation.report_facts import manifest_table
from shortlist.evaluation.scaling import Row, Scaling
from shortlist.evaluation.table import NOTES

COSTS: Final[dict[str, Callable[[Row], float]]] = {
    "calls a query": lambda row: row.calls,
    "tokens a query": lambda row: row.tokens,
    "seconds a query": lambda row: row.seconds,
}


def write_scaling_report(scaling: Scaling, path: Path | str) -> None:
    """Write the report of a scaling, atomically; the same experiment gives the same bytes."""
    write_lines(path, [render_scaling(scaling)])


def render_scaling(scaling: Scaling) -> str:
    """The report as HTML."""
    title = "What more calls buy"
    manifest = scaling.experiment.manifest
    parts = [
        f"{len(scaling.experiment.query_ids):,} queries",
        f"{len(scaling.settings)} settings",
        manifest.get("data"),
    ]
    line = " · ".join(str(part) for part in (*parts, manifest.get("date")) if part)
    sections = {
        "curve": ("Quality against cost", _figures(scaling)),
        "settings": ("Setting by setting", [_html_table(scaling), *(_note(told) for told in notes(scaling))]),
        "manifest": ("How this was made", manifest_table(scaling.experiment)),
    }
    body = [
        tag("section", tag("h2", head, id=name), content, aria_labelledby=name)
        for name, (head, content) in sections.items()
    ]
    header = tag("header", tag("h1", title), tag("div", line, class_="soft"), _lead(scaling))
    return page(title, tag("main", header, *body))


def scaling_table(scaling: Scaling) -> Table:
    """One row a setting, below the first stage's, for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(_heads(scaling)):
        table.add_column(head, justify="right" if place else "left", no_wrap=place > 0, overflow="fold")
    for row in _all(scaling):
        style = "bold" if _is_best(scaling, row) else ""
        first, value, *others = _cells(scaling, row)
        table.add_row(Text(first), Text(value, style=style), *map(Text, others))
    return table


def notes(scaling: Scaling) -> Iterator[str]:
    """What must be known to read the numbers."""
    count, first = len(scaling.comparisons), scaling.rows[0].label
    yield (
        f"Differences are from {first}; * p < .05, ** p < .01: paired bootstrap over queries, Holm-corrected for "
        f"{count} comparison{'s' * (count > 1)}."
    )
    if scaling.cached:
        yield "Calls that the cache answered count as calls, but took no tokens and no seconds: leave --cache out to time."
    for key, text in NOTES.items():
        if scaling.experiment.manifest.get(key):
            yield f"{scaling.experiment.manifest[key]} {text}"


def _all(scaling: Scaling) -> list[Row]:
    return [scaling.first_stage, *scaling.rows]


def _is_best(scaling: Scaling, row: Row) -> bool:
    return round(row.value, 4) == max(round(other.value, 4) for other in _all(scaling))


def _heads(scaling: Scaling) -> list[str]:
    cached = ["cached/q"] if scaling.cached else []
    compared = ["difference", "95 % interval", "p", "corrected p"]
    return ["setting", scaling.measure, *compared, "calls/q", *cached, "tokens/q", "s/q", "lost"]


def _cells(scaling: Scaling, row: Row) -> list[str]:
    cached = [f"{row.cached:.1f}"] if scaling.cached else []
    costs = [f"{row.calls:.1f}", *cached, f"{row.tokens:,.0f}", f"{row.seconds:.3f}", f"{row.failures}"]
    return [row.label, f"{row.value:.4f}", *_compared(row), *costs]


def _compared(row: Row) -> Sequence[str]:
    found = row.comparison
    if found is None:
        return "", "", "", ""
    low, high = found.interval
    return f"{found.difference:+.4f}{found.mark}", f"{low:+.4f} {high:+.4f}", f"{found.p:.2g}", f"{found.p_holm:.2g}"


def _lead(scaling: Scaling) -> Markup:
    """The one sentence to remember: the best setting against the first."""
    first, best = scaling.rows[0], max(scaling.rows, key=lambda row: row.value)
    found = best.comparison
    if found is None:
        return tag("p", f"No setting does better than {first.label} on {scaling.measure}.", class_="lead")
    sure = "more than chance would give" if found.mark else "which chance could give as well"
    text = (
        f" takes {scaling.measure} from {first.value:.3f} ({first.label}, {first.calls:.1f} calls a query) to "
        f"{best.value:.3f} ({best.calls:.1f} calls; {found.difference:+.3f}, corrected p = {found.p_holm:.2g}): {sure}."
    )
    return tag("p", tag("b", best.label), text, class_="lead")


def _figures(scaling: Scaling) -> Content:
    """Against calls; against tokens and seconds only where no cache has made them less."""
    kinds = ["calls a query"] if scaling.cached else list(COSTS)
    shown = [kind for kind in kinds if any(map(COSTS[kind], scaling.rows))]
    option = scaling.settings[0].options[0][0]
    figures = [tag("figure", _figure(scaling, kind)) for kind in shown]
    return [
        _note(
            f"Each point is a value of {option}. Whiskers are 95 % intervals of the mean; up is better, left is cheaper."
        ),
        tag("div", *figures, class_="charts wide"),
    ]


def _figure(scaling: Scaling, kind: str) -> Markup:
    lines = {
        name: [
            plots.Point(label=row.options[0][1], x=COSTS[kind](row), y=row.value, series=place, interval=row.interval)
            for row in rows
        ]
        for place, (name, rows) in enumerate(scaling.lines(), start=1)
    }
    return plots.curves(f"{scaling.measure} against {kind}", lines, kind, scaling.measure)


def _html_table(scaling: Scaling) -> Markup:
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in _heads(scaling))))
    rows = []
    for row in _all(scaling):
        first, value, *others = _cells(scaling, row)
        best = "best" if _is_best(scaling, row) else None
        cells = [tag("td", value, class_=best), *(tag("td", cell) for cell in others)]
        rows.append(tag("tr", tag("th", first, scope="row", class_="left", title=row.system), *cells))
    return tag("div", tag("table", head, tag("tbody", *rows)), class_="scroll")


def _note(text: str) -> Markup:
    return tag("p", text, class_="note")
