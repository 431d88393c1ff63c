"""An experiment as one HTML file: readable by anyone, offline, in a light or a dark room, and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shortlist.data.files import write_lines
from shortlist.drawing.markup import Content, Markup, page, tag
from shortlist.evaluation.experiment import Experiment
from shortlist.evaluation.report_charts import cost_section, kept_section, queries_section, statuses_section
from shortlist.evaluation.report_facts import Facts, manifest_table, table
from shortlist.evaluation.report_reader import examples_section, reader_section
from shortlist.evaluation.significance import Comparison, compare
from shortlist.evaluation.table import legend


def write_report(
    experiment: Experiment,
    path: Path | str,
    comparisons: Sequence[Comparison] | None = None,
    *,
    title: str | None = None,
) -> None:
    """Write the report of an experiment, atomically; the same experiment gives the same bytes."""
    write_lines(path, [render_report(experiment, comparisons, title=title)])


def render_report(
    experiment: Experiment, comparisons: Sequence[Comparison] | None = None, *, title: str | None = None
) -> str:
    """The report as HTML."""
    facts = Facts(experiment, compare(experiment) if comparisons is None else comparisons)
    heading = title or "What the reranking brings"
    sections = [
        ("results", "Results", _results(facts)),
        ("cost", "Quality against cost", cost_section(facts)),
        ("queries", "Query by query", queries_section(facts)),
        ("kept", "How many passages are kept", kept_section(facts)),
        ("format", "Were the replies well-formed?", statuses_section(facts)),
        ("reader", "What the reader makes of it", reader_section(facts)),
        ("examples", "Largest wins and losses", examples_section(facts)),
        ("manifest", "How this was made", manifest_table(facts.experiment)),
    ]
    told = [(name, head, body) for name, head, body in sections if body is not None]
    nav = tag("nav", *(tag("a", head, href=f"#{name}") for name, head, _ in told), aria_label="Sections")
    body = [tag("section", tag("h2", head, id=name), body, aria_labelledby=name) for name, head, body in told]
    return page(heading, tag("main", _header(facts, heading, nav), *body))


def _header(facts: Facts, heading: str, nav: Markup) -> Markup:
    manifest, experiment = facts.experiment.manifest, facts.experiment
    told = [f"{len(experiment.query_ids):,} queries", f"{len(experiment.systems)} systems", manifest.get("collection")]
    told += [manifest.get("date"), f"Shortlist {manifest['shortlist']}" if "shortlist" in manifest else None]
    line = " · ".join(str(part) for part in told if part)
    return tag("header", tag("h1", heading), tag("div", line, class_="soft"), _lead(facts), nav)


def _lead(facts: Facts) -> Content:
    """The one sentence to remember: the best system on the first chart's measure."""
    measure = facts.shown[0]
    best = max(facts.experiment.systems, key=lambda system: system.measures.get(measure, float("-inf")))
    first, found = facts.experiment.first, facts.by_place.get((best.name, measure))
    if found is None:
        return tag("p", f"No system does better than {first.name} on {measure}.", class_="lead")
    sure = "more than chance would give" if found.mark else "which chance could give as well"
    means = f"from {first.measures[measure]:.3f} to {best.measures[measure]:.3f}"
    low, high = found.interval
    told = f"{found.difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, corrected p = {found.p_holm:.2g}"
    return tag("p", tag("b", best.name), f" takes {measure} {means} ({told}): {sure}.", class_="lead")


def _results(facts: Facts) -> Content:
    notes = [tag("p", line, class_="note") for line in legend(facts.experiment, facts.comparisons)]
    under = "Below each mean: its 95 % interval. Best in bold."
    columns = facts.ranking_columns or facts.answer_columns
    return [tag("p", under, class_="note"), table(facts, columns, costs=True), *notes]
