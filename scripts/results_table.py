"""Turn evaluations written with `shortlist evaluate --json` into a Markdown table for docs/results.md.

    python scripts/results_table.py results.json [more.json …]

Each cell is a mean, with the difference from the first stage and marks: * p < .05, ** p < .01 (paired bootstrap over
queries, Holm-corrected over the systems and measures of one evaluation).
"""

from __future__ import annotations

import sys
from pathlib import Path

from shortlist.evaluation import Experiment, compare
from shortlist.evaluation.experiment import System


def cost(system: System) -> list[str]:
    calls = system.usage.calls + system.usage.cached_calls
    failures = f"{100 * system.format_failure_rate:.0f} %"
    return [f"{system.per_ranking(calls):.1f}", f"{system.per_ranking(system.usage.tokens):,.0f}", failures]


def table(path: Path) -> str:
    experiment = Experiment.read(path)
    found = {(c.system, c.measure): c for c in compare(experiment)}
    lines = [f"| system | {' | '.join(experiment.columns)} | calls/q | tokens/q | format errors |"]
    lines.append("|---|" + "---|" * (len(experiment.columns) + 3))
    for system in experiment.systems:
        cells = []
        for measure in experiment.columns:
            mean = system.measures.get(measure)
            comparison = found.get((system.name, measure))
            mark = "" if comparison is None else comparison.mark
            delta = "" if comparison is None else f" ({comparison.difference:+.4f}{mark})".replace("*", r"\*")
            cells.append("—" if mean is None else f"{mean:.4f}{delta}")
        name = system.name.replace("|", "\\|")
        lines.append(f"| `{name}` | {' | '.join(cells)} | {' | '.join(cost(system))} |")
    manifest = experiment.manifest
    lines += ["", f"{manifest['queries']} queries, candidates `{str(manifest['candidates'])[:12]}`."]
    return "\n".join(lines)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"<!-- {Path(name).name} -->\n{table(Path(name))}\n")
