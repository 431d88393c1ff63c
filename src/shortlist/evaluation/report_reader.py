"""The report's sections about answers: quality by depth, what reading cost, and examples before and after."""

from __future__ import annotations

from collections.abc import Sequence

from shortlist.drawing import plots
from shortlist.drawing.markup import Content, Markup, tag
from shortlist.evaluation.experiment import Example, Experiment, Side, System
from shortlist.evaluation.report_facts import Facts, table


def reader_section(facts: Facts) -> Content:
    """Answers by depth, as lines and tables; nothing where there was no reader."""
    columns = facts.answer_columns
    if not columns:
        return None
    names = list(dict.fromkeys(column.rpartition("@")[0] for column in columns))
    lead = "F1" if "F1" in names else names[0]
    by_measure = [
        tag("details", tag("summary", f"{name} by depth"), table(facts, _of(columns, name), costs=False))
        for name in names
        if name != lead
    ]
    note = "auto reads as many passages as the ranking's cutoff says; its mark stands at the mean."
    lines = plots.line_chart(
        f"{lead} by passages read", _lines(facts.experiment, _of(columns, lead)), "passages read", lead
    )
    return [
        tag("p", note, class_="note"),
        tag("figure", lines),
        table(facts, _of(columns, lead), costs=False),
        *by_measure,
        tag("h3", "What reading cost"),
        _costs(facts.experiment.systems),
    ]


def _of(columns: Sequence[str], name: str) -> list[str]:
    return [column for column in columns if column.rpartition("@")[0] == name]


def _lines(experiment: Experiment, columns: Sequence[str]) -> list[plots.Line]:
    lines: list[plots.Line] = []
    for place, system in enumerate(experiment.systems):
        points = [_point(system, column) for column in columns]
        told = sorted(point for point in points if point is not None)
        if told:
            lines.append((system.name, place, told))
    return lines


def _point(system: System, column: str) -> tuple[float, float, str] | None:
    """Depth, mean and hover text; ``auto`` only for a system that states cutoffs, at their mean."""
    k = column.rpartition("@")[2]
    stated = sum(system.cutoffs.values())
    if column not in system.measures or (k == "auto" and not stated):
        return None
    depth = sum(c * n for c, n in system.cutoffs.items()) / stated if k == "auto" else float(k)
    return depth, system.measures[column], f"{system.name}: {column} {system.measures[column]:.4f}"


def _costs(systems: Sequence[System]) -> Markup:
    heads = ("system", "answers", "passages", "tokens", "seconds", "abstained", "failed", "passages cut")
    head = tag("tr", *(tag("th", name, scope="col") for name in heads))
    rows = [
        tag(
            "tr",
            tag("th", system.name, scope="row", class_="left"),
            *(tag("td", f"{n:,}") for n in (r.readings, r.passages, r.usage.tokens)),
            tag("td", f"{r.seconds:,.1f}"),
            *(tag("td", f"{n:,}") for n in (r.abstentions, r.failures, r.truncated)),
        )
        for system in systems
        if (r := system.reader) is not None
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")


def examples_section(facts: Facts) -> Content:
    """Each system's largest wins and losses, closed until opened."""
    first, told = facts.experiment.first.name, [s for s in facts.experiment.systems if s.examples]
    if not told:
        return None
    parts: list[Content] = [tag("p", f"Chosen by the change in {facts.focus} against {first}.", class_="note")]
    read = facts.focus in facts.answer_columns
    for system in told:
        parts += [tag("h3", system.name), *(_example(e, first, system.name, read=read) for e in system.examples)]
    return parts


def _example(example: Example, before: str, after: str, *, read: bool) -> Markup:
    gold = tag("p", "Gold: ", tag("b", " / ".join(example.answers))) if example.answers else None
    way = "up" if example.delta > 0 else "down"
    change = tag("b", f"{example.delta:+.3f}", class_=way)
    sides = (_side(before, example.before, read=read), _side(after, example.after, read=read))
    return tag(
        "details",
        tag("summary", change, example.query, tag("span", example.query_id, class_="pill")),
        gold,
        tag("div", *sides, class_="sides"),
        class_="example",
    )


def _side(name: str, side: Side, *, read: bool) -> Markup:
    told = tag("i", "no answer") if side.answer is None else side.answer
    kept = "" if side.kept is None else f", keeps {side.kept}"
    answer = tag("p", told, class_="answer") if read else None
    return tag("div", tag("b", name), f" · {side.value:.3f}{kept}", answer, tag("ol", *_passages(side)))


def _passages(side: Side) -> list[Markup]:
    items = []
    for rank, shown in enumerate(side.passages):
        score = None if shown.score is None else tag("span", f"score {shown.score:.3g}", class_="pill")
        good = "pill good" if shown.grade else "pill"
        grade = None if shown.grade is None else tag("span", f"grade {shown.grade}", class_=good)
        moved = tag("span", f"was {shown.place}", class_="pill") if shown.place != rank + 1 else None
        title = [tag("b", shown.title), " "] if shown.title else None
        cut = "cut" if side.kept is not None and rank >= side.kept else None
        items.append(tag("li", title, shown.text, score, grade, moved, class_=cut))
    return items
