"""A run as one HTML file: curves, how many passages are kept, and the dev questions it gained and lost, to be read.

It is made of the run folder alone, so it can be made again at any time, of a run that was killed as well.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from shortlist.data.files import write_lines
from shortlist.drawing import plots
from shortlist.drawing.markup import Content, Markup, page, tag
from shortlist.errors import InvalidInput
from shortlist.training.log import COSTS, read_metrics
from shortlist.training.progress import read_measured

Record: TypeAlias = Mapping[str, Any]

MOST_POINTS, EXAMPLES = 120, 12
_WORDS: Final = 90  # of a passage shown


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run folder tells."""

    name: str
    steps: Sequence[Record]
    costs: Sequence[Record]
    before: Sequence[Record]
    best: Sequence[Record]
    values: Mapping[str, tuple[float | None, float | None]]
    about: Mapping[str, Any]
    recipe: str

    @classmethod
    def read(cls, run: Path) -> RunFacts:
        """Raises :class:`InvalidInput` for a folder that is no run, or that has no measurement yet."""
        if not (run / "dev" / "before.json").is_file():
            raise InvalidInput(f"{run} is no training run, or one that has not been measured yet")
        steps, costs = list(read_metrics(run)), run / COSTS
        before, best = read_measured(run, "before"), read_measured(run, "best")
        manifest = run / "manifest.json"
        about = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
        return cls(
            run.resolve().name,
            steps,
            [json.loads(line) for line in costs.read_bytes().split(b"\n")[:-1]] if costs.is_file() else [],
            before.records,
            best.records,
            {name: (before.values.get(name), value) for name, value in best.values.items()},
            about,
            (run / "recipe.yaml").read_text(encoding="utf-8"),
        )


def write_report(run: Path) -> Path:
    """Write ``report.html`` into a run folder; gives its path."""
    path = run / "report.html"
    write_lines(path, [render(RunFacts.read(run))])
    return path


def render(facts: RunFacts) -> str:
    """The report as HTML."""
    sections = [
        ("results", "What it brought", _results(facts)),
        ("curves", "Curves", _curves(facts)),
        ("kept", "How many passages are kept", _kept(facts)),
        ("queries", "Question by question", _deltas(facts)),
        ("examples", "Largest wins and losses", _examples(facts)),
        ("cost", "What it cost", _costs(facts)),
        ("recipe", "How this was made", _made(facts)),
    ]
    told = [(name, head, body) for name, head, body in sections if body is not None]
    nav = tag("nav", *(tag("a", head, href=f"#{name}") for name, head, _ in told), aria_label="Sections")
    body = [tag("section", tag("h2", head, id=name), body, aria_labelledby=name) for name, head, body in told]
    header = tag("header", tag("h1", f"Training run {facts.name}"), _lead(facts), nav)
    return page(f"Training run {facts.name}", tag("main", header, *body))


def _lead(facts: RunFacts) -> Markup:
    last = facts.steps[-1]["step"] if facts.steps else 0
    before, after = facts.values["reward"]
    told = (
        f"{last} steps. On {len(facts.best)} dev questions the reward went from {_number(before)} to {_number(after)}."
    )
    return tag("p", told, class_="lead")


def _results(facts: RunFacts) -> Markup:
    head = tag("tr", *(tag("th", name, scope="col") for name in ("dev", "before", "best", "change")))
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", _number(b)), tag("td", _number(a)), tag("td", _change(b, a)))
        for name, (b, a) in facts.values.items()
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")


# ------------------------------------------------------------------------------------------------ curves


_CHARTS: Final = (
    ("Reward of samples", ("reward",)),
    ("Loss", ("loss",)),
    ("Replies in the form asked for (share)", ("format",)),
    ("Length of replies (tokens)", ("length",)),
    ("Distance from the reference (KL, nats a pick or token)", ("kl",)),
    ("Entropy (nats a pick or token)", ("entropy",)),
    ("Shares: samples that are the greedy set, queries without variance", ("greedy", "zero_variance", "clipped")),
    ("Gradient's norm", ("norm",)),
    ("Passages kept by samples", ("kept",)),
)


def _curves(facts: RunFacts) -> Content:
    steps = [step for step in facts.steps if "loss" in step]
    figures = [_dev_chart(facts)]
    for title, names in _CHARTS:
        lines = [(name, i, _points(steps, name)) for i, name in enumerate(names, 1)]
        figures.append(_figure(title, [line for line in lines if line[2]]))
    parts = sorted({name for step in steps for name in step.get("parts", {})})
    if len(parts) > 1:
        drawn = [
            (name, i, _points([{"step": s["step"], **s["parts"]} for s in steps if "parts" in s], name))
            for i, name in enumerate(parts)
        ]
        figures.append(_figure("Parts of the reward", drawn))
    alarms = [
        tag("p", f"step {step['step']}: {told}", class_="note") for step in steps for told in step.get("alarms", ())
    ]
    return [tag("div", *figures, class_="charts wide"), *alarms[:20]]


def _dev_chart(facts: RunFacts) -> Content:
    measured = [
        {"step": step["step"], **step["dev"]} for step in facts.steps if "dev" in step and "averaged" not in step
    ]
    names = [
        name for name in ("reward", "f1", "em", "ndcg@10", "format") if any(m.get(name) is not None for m in measured)
    ]
    lines = [
        (
            name,
            i,
            [
                (m["step"], m[name], f"step {m['step']}: {name} {m[name]:.4f}")
                for m in measured
                if m.get(name) is not None
            ],
        )
        for i, name in enumerate(names, 1)
    ]
    return _figure("Dev questions", lines, marks=True)


def _figure(title: str, lines: Sequence[plots.Line], *, marks: bool = False) -> Content:
    if not lines:
        return None
    return tag("figure", tag("figcaption", title), plots.line_chart(title, lines, "step", "", marks=marks))


def _points(steps: Sequence[Record], name: str) -> list[tuple[float, float, str]]:
    """Means of neighbouring steps, so that a long run stays a small file."""
    known = [(step["step"], step[name]) for step in steps if step.get(name) is not None]
    size = max(1, math.ceil(len(known) / MOST_POINTS))
    groups = [known[i : i + size] for i in range(0, len(known), size)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [(x, y, f"step {x:g}: {name} {y:.4g}") for x, y in means]


def _kept(facts: RunFacts) -> Content:
    counts = {
        "before, on dev": Counter(len(record["kept"]) for record in facts.before),
        "best, on dev": Counter(len(record["kept"]) for record in facts.best),
        "sampled, in the last quarter of the steps": _sampled(facts),
    }
    figures = [
        tag("figure", tag("figcaption", name), plots.histogram(f"Passages kept {name}", told, i))
        for i, (name, told) in enumerate(counts.items())
        if told
    ]
    return tag("div", *figures, class_="charts wide")


def _sampled(facts: RunFacts) -> Counter[int]:
    steps = [step for step in facts.steps if "k" in step]
    counts: Counter[int] = Counter()
    for step in steps[3 * len(steps) // 4 :]:
        counts.update({int(length): count for length, count in step["k"].items()})
    return counts


# ------------------------------------------------------------------------------------------------ question by question


def _pairs(facts: RunFacts) -> list[tuple[float, Record, Record]]:
    """Change of the reward, before, best: of the questions that both have scored, best change first."""
    best = {record["id"]: record for record in facts.best}
    pairs = [(record, best[record["id"]]) for record in facts.before if record["id"] in best]
    scored = [
        (a["reward"] - b["reward"], b, a) for b, a in pairs if a["reward"] is not None and b["reward"] is not None
    ]
    return sorted(scored, key=lambda pair: -pair[0])


def _deltas(facts: RunFacts) -> Content:
    pairs = _pairs(facts)
    if not pairs:
        return None
    wins, losses = sum(d > 1e-9 for d, _, _ in pairs), sum(d < -1e-9 for d, _, _ in pairs)
    told = f"{wins} better, {len(pairs) - wins - losses} equal, {losses} worse"
    bars = [plots.Bar(value=d, title=f"{b['id']}: {d:+.4f}") for d, b, _ in pairs]
    return tag("figure", tag("figcaption", told), plots.delta_bars("Change in reward", bars, told))


def _examples(facts: RunFacts) -> Content:
    pairs = [pair for pair in _pairs(facts) if abs(pair[0]) > 1e-9 or pair[1].get("text") != pair[2].get("text")]
    if not pairs:
        return None
    shown = pairs if len(pairs) <= 2 * EXAMPLES else [*pairs[:EXAMPLES], *pairs[-EXAMPLES:]]
    return [_example(*pair) for pair in shown]


def _example(delta: float, before: Record, best: Record) -> Markup:
    change = tag("b", f"{delta:+.3f}", class_="up" if delta > 0 else "down")
    gold = tag("p", "Gold: ", tag("b", " / ".join(before["golds"]))) if before["golds"] else None
    sides = tag("div", _side("before", before), _side("best", best), class_="sides")
    prompt = (
        tag("details", tag("summary", "The prompt of both"), tag("pre", before["prompt"]))
        if "prompt" in before
        else None
    )
    summary = tag("summary", change, before["query"], tag("span", before["id"], class_="pill"))
    return tag("details", summary, gold, prompt, sides, class_="example")


def _side(name: str, record: Record) -> Markup:
    answer = None
    if "answer" in record:
        answer = tag("p", tag("i", "no answer") if record["answer"] is None else record["answer"], class_="answer")
    told = f" · {_number(record['reward'])}, keeps {len(record['kept'])}"
    said = tag("pre", record["text"], class_="answer") if "text" in record else None  # what a text policy wrote
    return tag("div", tag("b", name), told, answer, said, tag("ol", *(_passage(shown) for shown in record["kept"])))


def _passage(shown: Record) -> Markup:
    words = shown["text"].split()
    text = " ".join(words[:_WORDS]) + (" …" if len(words) > _WORDS else "")
    title = [tag("b", shown["title"]), " "] if shown["title"] else None
    return tag("li", title, text, tag("span", shown["id"], class_="pill"))


# ------------------------------------------------------------------------------------------------ cost, recipe


def _costs(facts: RunFacts) -> Content:
    if not facts.costs:
        return None
    names = ("made", "saved", "failed", "tokens", "seconds", "waiting", "reading")
    total = {name: math.fsum(cost.get(name) or 0 for cost in facts.costs) for name in names}
    asked = total["made"] + total["saved"]
    rows = [
        ("readings asked of the reader", f"{total['made']:,.0f}"),
        ("saved by the cache", f"{total['saved']:,.0f} ({total['saved'] / asked if asked else 0:.0%})"),
        ("readings that failed", f"{total['failed']:,.0f}"),
        ("tokens read and written", f"{total['tokens']:,.0f}"),
        ("seconds of steps", f"{total['seconds']:,.1f}"),
        ("of these, waiting for the reader", f"{total['waiting']:,.1f}"),
        ("seconds of reading", f"{total['reading']:,.1f}"),
    ]
    body = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows]
    return tag("div", tag("table", tag("tbody", *body)), class_="scroll")


def _made(facts: RunFacts) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row", class_="left"),
            tag("td", value if isinstance(value, str) else json.dumps(value)),
        )
        for name, value in facts.about.items()
    ]
    table = tag("div", tag("table", tag("tbody", *rows), class_="manifest"), class_="scroll")
    return tag("div", table, tag("details", tag("summary", "The recipe"), tag("pre", facts.recipe)))


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def _change(before: float | None, after: float | None) -> str:
    return "–" if before is None or after is None else f"{after - before:+.4f}"
