"""The report's charts as inline SVG: each has a title, a description, and a hover text on every mark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from shortlist.drawing.markup import Content, Markup, escaped, tag
from shortlist.drawing.scales import Scale, cost_scale, padded, short

COLOURS: Final = 8
"""How many colours the style has (``--c0`` …); systems beyond them share colours and differ in shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A system at a cost, with an interval of its quality. ``series`` decides colour and shape."""

    label: str
    x: float
    y: float
    series: int
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A drawing's size and margins, in pixels."""

    width: int = 420
    height: int = 300
    left: int = 48
    right: int = 16
    top: int = 12
    bottom: int = 40

    @property
    def x(self) -> tuple[int, int]:
        """The first and last column of the plot."""
        return self.left, self.width - self.right

    @property
    def y(self) -> tuple[int, int]:
        """The bottom and top row of the plot."""
        return self.height - self.bottom, self.top


def chart(title: str, description: str, frame: Frame, *content: Content) -> Markup:
    """An SVG image that a screen reader can name."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *content,
        viewBox=f"0 0 {frame.width} {frame.height}",
        role="img",
        aria_label=f"{title}. {description}",
        class_="chart",
        style=f"max-width:{frame.width}px",
    )


def colour(series: int) -> str:
    """The style's colour of a system, by its place."""
    return f"var(--c{series % COLOURS})"


def marker(series: int, x: float, y: float, title: str, size: float = 5.5) -> Markup:
    """A system's mark: colour and shape, so that colour is not all there is to tell by."""
    told = {"fill": colour(series), "class_": "mark"}
    shape = series % 4
    hover = tag("title", title)
    if shape == 0:
        return tag("circle", hover, cx=x, cy=y, r=size, **told)
    if shape == 1:
        side = 1.8 * size
        return tag("rect", hover, x=x - side / 2, y=y - side / 2, width=side, height=side, rx=1.5, **told)
    around = (-90, 30, 150) if shape == 2 else (-90, 0, 90, 180)
    corners = [
        (x + 1.35 * size * math.cos(math.radians(a)), y + 1.35 * size * math.sin(math.radians(a))) for a in around
    ]
    return tag("polygon", hover, points=" ".join(f"{cx:.1f},{cy:.1f}" for cx, cy in corners), **told)


def axes(frame: Frame, x: Scale | None, y: Scale, x_name: str, y_name: str) -> Markup:
    """Grid lines, tick labels and the names of both axes."""
    (left, right), (bottom, _) = frame.x, frame.y
    parts: list[Content] = []
    for value in y.ticks:
        parts += [
            tag("line", x1=left, x2=right, y1=y(value), y2=y(value), class_="grid"),
            tag("text", short(value), x=left - 7, y=y(value) + 4, class_="tick end"),
        ]
    for value in x.ticks if x is not None else ():
        at = x(value) if x is not None else 0
        parts += [
            tag("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis"),
            tag("text", short(value), x=at, y=bottom + 17, class_="tick middle"),
        ]
    parts += [
        tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"),
        tag("text", x_name, x=(left + right) / 2, y=frame.height - 6, class_="name middle"),
        tag("text", y_name, x=2, y=11, class_="name"),
    ]
    return escaped(parts)


def scatter(title: str, points: Sequence[Point], x_name: str, y_name: str) -> Markup:
    """Quality against cost: one mark a system, its interval as a whisker, its name beside it."""
    frame = Frame(top=24, right=24)
    bounds = [edge for p in points for edge in (p.interval or (p.y, p.y))]
    x, y = cost_scale([p.x for p in points], frame.left + 14, frame.width - frame.right), padded(bounds, *frame.y)
    labels = _spread([y(p.y) for p in points], gap=14)
    parts = [_whisker(p, x(p.x), y) for p in points]
    for p, label_y in zip(points, labels, strict=True):
        beside = -11 if x(p.x) > 0.62 * frame.width else 11
        told = f"{p.label}: {y_name} {p.y:.4f} at {short(p.x)} {x_name}"
        parts += [
            marker(p.series, x(p.x), y(p.y), told),
            tag("text", p.label, x=x(p.x) + beside, y=label_y + 4, class_="label end" if beside < 0 else "label"),
        ]
    description = "; ".join(f"{p.label} {p.y:.3f} at {short(p.x)}" for p in points)
    return chart(title, description, frame, axes(frame, x, y, x_name, y_name), parts)


def curves(title: str, lines: Mapping[str, Sequence[Point]], x_name: str, y_name: str) -> Markup:
    """Quality against cost as it is turned up: a line a name, with a mark, a label and a whisker at every point."""
    frame = Frame(width=560, height=320, top=24, right=120)
    points = [p for line in lines.values() for p in line]
    x = cost_scale([p.x for p in points], frame.left + 14, frame.width - frame.right)
    y = padded([edge for p in points for edge in (p.interval or (p.y, p.y))], *frame.y)
    ends = _spread([y(line[-1].y) for line in lines.values()], gap=14)
    parts: list[Content] = []
    for (name, line), end in zip(lines.items(), ends, strict=True):
        path = " ".join(f"{x(p.x)},{y(p.y)}" for p in line)
        parts.append(tag("polyline", points=path, stroke=colour(line[0].series), class_="line"))
        for p in line:
            told = f"{name} {p.label}: {y_name} {p.y:.4f} at {short(p.x)} {x_name}".strip()
            above = tag("text", p.label, x=x(p.x), y=y(p.y) - 10, class_="label middle")
            parts += [_whisker(p, x(p.x), y), marker(p.series, x(p.x), y(p.y), told), above]
        parts.append(tag("text", name, x=x(line[-1].x) + 12, y=end + 4, class_="label"))
    heard = [f"{name} {p.label} {p.y:.3f} at {short(p.x)}".strip() for name, line in lines.items() for p in line]
    return chart(title, "; ".join(heard), frame, axes(frame, x, y, x_name, y_name), parts)


def _whisker(point: Point, at: float, y: Scale) -> Markup:
    if point.interval is None:
        return Markup()
    low, high = map(y, point.interval)
    return tag("line", x1=at, x2=at, y1=low, y2=high, stroke=colour(point.series), class_="whisker")


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Places moved down so that none is nearer than ``gap`` to the one above it."""
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for above, below in itertools.pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar and what hovering over it tells."""

    value: float
    title: str


def delta_bars(title: str, bars: Sequence[Bar], description: str) -> Markup:
    """Signed bars side by side around zero, in the order given."""
    frame = Frame(width=560, height=170, left=40, right=8, top=10, bottom=12)
    reach = max([abs(bar.value) for bar in bars] + [0.05])
    y = Scale(-reach, reach, *frame.y)
    step = (frame.x[1] - frame.x[0]) / max(1, len(bars))
    drawn = [_delta_bar(bar, frame.left + i * step, step, y) for i, bar in enumerate(bars)]
    zero = tag("line", x1=frame.left, x2=frame.x[1], y1=y(0), y2=y(0), class_="axis")
    grid = [
        [
            tag("line", x1=frame.left, x2=frame.x[1], y1=y(v), y2=y(v), class_="grid"),
            tag("text", f"{v:+.2g}" if v else "0", x=frame.left - 6, y=y(v) + 4, class_="tick end"),
        ]
        for v in Scale(-reach, reach, 0, 1).ticks
    ]
    return chart(title, description, frame, grid, drawn, zero)


def _delta_bar(bar: Bar, x: float, step: float, y: Scale) -> Markup:
    top, bottom = sorted((y(bar.value), y(0)))
    gap = 0.15 * step if step > 3 else 0
    kind = "win" if bar.value > 0 else "loss" if bar.value < 0 else "tie"
    height = max(bottom - top, 1.5)
    width = max(step - gap, 0.5)
    box = tag("rect", x=f"{x:.2f}", y=top, width=f"{width:.2f}", height=f"{height:.1f}", class_=kind)
    reach = tag("rect", x=f"{x:.2f}", y=y.end, width=f"{step:.2f}", height=y.start - y.end, class_="reach")
    return tag("g", tag("title", bar.title), reach, box, class_="bar")


def histogram(title: str, counts: Mapping[int, int], series: int) -> Markup:
    """How many rankings kept how many passages."""
    frame = Frame(width=420, height=200, top=26, left=44)
    bins = _binned(counts)
    y = Scale(0, max(n for _, n in bins) * 1.05, *frame.y)
    step = min(48.0, (frame.x[1] - frame.x[0]) / len(bins))
    parts: list[Content] = []
    for i, (name, count) in enumerate(bins):
        x = frame.left + 4 + i * step
        parts.append(tag("g", tag("title", f"{count} rankings kept {name}"), _column(x, step, y, count, series)))
        if i % (1 + len(bins) // 12) == 0:
            parts.append(tag("text", name, x=x + step / 2, y=frame.y[0] + 16, class_="tick middle"))
    told = ", ".join(f"{n} kept {name}" for name, n in bins)
    return chart(title, told, frame, axes(frame, None, y, "passages kept", "rankings"), parts)


def _binned(counts: Mapping[int, int], most: int = 40) -> list[tuple[str, int]]:
    """Name and count of at most about ``most`` bins of equal width, empty ones included."""
    first, last = min(counts), max(counts)
    size = 1 + (last - first) // most
    starts = range(first, last + 1, size)
    names = [str(start) if size == 1 else f"{start}–{start + size - 1}" for start in starts]
    return [
        (name, sum(counts.get(start + i, 0) for i in range(size))) for name, start in zip(names, starts, strict=True)
    ]


def _column(x: float, step: float, y: Scale, value: float, series: int) -> Markup:
    width, height = f"{0.82 * step:.1f}", f"{y(0) - y(value):.1f}"
    return tag("rect", x=f"{x + 0.09 * step:.1f}", y=y(value), width=width, height=height, rx=2, fill=colour(series))


def status_bar(title: str, statuses: Mapping[str, int]) -> Markup:
    """One bar, its parts as wide as their shares."""
    frame = Frame(width=560, height=22)
    total = sum(statuses.values())
    parts: list[Content] = []
    x = 0.0
    for status in ("ok", "repaired", "partial", "failed"):
        width = frame.width * statuses.get(status, 0) / max(1, total)
        told = tag("title", f"{status}: {statuses.get(status, 0)} of {total}")
        if width:
            parts.append(tag("rect", told, x=f"{x:.1f}", y=2, width=f"{width:.1f}", height=18, class_=f"s-{status}"))
        x += width
    told_all = ", ".join(f"{n} {status}" for status, n in statuses.items())
    return chart(title, told_all or "no rankings", frame, parts)


Line: TypeAlias = tuple[str, int, Sequence[tuple[float, float, str]]]
"""A name, its series, and points as (x, y, hover text)."""


def line_chart(title: str, lines: Sequence[Line], x_name: str, y_name: str, *, marks: bool = True) -> Markup:
    """Lines, each named at its end; a mark at every point, or only hover texts."""
    frame = Frame(width=560, height=320, top=24, right=120)
    xs = [x for _, _, points in lines for x, _, _ in points]
    ys = [y for _, _, points in lines for _, y, _ in points]
    x = Scale(0, max([*xs, 1.0]) * 1.02, *frame.x)
    y = padded(ys, *frame.y)
    ends = _spread([y(points[-1][1]) for _, _, points in lines], gap=14)
    parts: list[Content] = []
    for (name, series, points), end in zip(lines, ends, strict=True):
        path = " ".join(f"{x(px)},{y(py)}" for px, py, _ in points)
        parts += [
            tag("polyline", points=path, stroke=colour(series), class_="line"),
            *(_mark(series, x(px), y(py), told, seen=marks) for px, py, told in points),
            tag("text", name, x=x(points[-1][0]) + 10, y=end + 4, class_="label"),
        ]
    description = "; ".join(f"{name}: {_read_out(points)}" for name, _, points in lines)
    return chart(title, description, frame, axes(frame, x, y, x_name, y_name), parts)


def _mark(series: int, x: float, y: float, title: str, *, seen: bool) -> Markup:
    """A point to hover over."""
    if seen:
        return marker(series, x, y, title, 4.5)
    return tag("circle", tag("title", title), cx=x, cy=y, r=5, fill="transparent")


def _read_out(points: Sequence[tuple[float, float, str]], most: int = 24) -> str:
    """The values of a line, thinned so that listening to them stays possible."""
    return ", ".join(f"{y:.3f}" for _, y, _ in points[:: 1 + len(points) // most])
