"""Curves of several training runs in one picture: the seeds of a row averaged, neighbouring steps too.

    python scripts/curves.py --measure reward --smooth 5 --output docs/images/curves.svg \
        ours=runs/ours-0,runs/ours-1,runs/ours-2 paper=runs/paper-0,runs/paper-1,runs/paper-2

A run is a folder of `shortlist train`; a measure is a number in its metrics.jsonl (parts by PART/NAME: parts/likelihood).
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

import numpy as np

from shortlist.drawing.plots import Line, line_chart
from shortlist.training.log import read_metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", metavar="NAME=RUN[,RUN…]")
    parser.add_argument("--measure", default="reward")
    parser.add_argument("--smooth", type=int, default=5, help="mean of so many steps, ending at each")
    parser.add_argument("--title")
    parser.add_argument("--output", type=Path, required=True)
    told = parser.parse_args()
    rows = [row.split("=", 1) for row in told.rows]
    lines = [
        line(name, i, [curve(Path(run), told.measure) for run in runs.split(",")], told.smooth)
        for i, (name, runs) in enumerate(rows, 1)
    ]
    drawn = str(line_chart(told.title or told.measure, lines, "step", told.measure, marks=False))
    style = files("shortlist.drawing").joinpath("report.css").read_text(encoding="utf-8")
    head, body = drawn.split(">", 1)
    told.output.write_text(
        f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{body}\n', encoding="utf-8"
    )


def curve(run: Path, measure: str) -> dict[int, float]:
    """Step → value, of the steps that have one."""
    found = {}
    for told in read_metrics(run):
        value = told
        for name in measure.split("/"):
            value = value.get(name) if value else None
        if value is not None and "loss" in told:
            found[told["step"]] = float(value)
    return found


def line(name: str, series: int, curves: list[dict[int, float]], smooth: int) -> Line:
    """Means over the runs that have a step, and over the steps up to it."""
    steps = sorted(set.intersection(*map(set, curves)))
    if len(steps) < smooth:
        raise SystemExit(f"{name}: {len(steps)} steps have a value in all runs; --smooth {smooth} needs as many")
    means = [float(np.mean([each[step] for each in curves])) for step in steps]
    points = [(steps[i], float(np.mean(means[i - smooth + 1 : i + 1]))) for i in range(smooth - 1, len(steps))]
    return name, series, [(x, y, f"{name}, step {x}: {y:.4f}") for x, y in points]


if __name__ == "__main__":
    main()
