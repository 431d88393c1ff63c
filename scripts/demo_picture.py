"""Draw the table that `make demo` printed, from its results, as docs/images/demo.svg.

python scripts/demo_picture.py demo-out/results.json docs/images/demo.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from shortlist.evaluation import Experiment, compare
from shortlist.evaluation.table import legend, tables

if __name__ == "__main__":
    source, target = sys.argv[1:]
    experiment = Experiment.read(source)
    found = compare(experiment)
    console = Console(record=True, width=200, file=io.StringIO(), highlight=False)
    console.print("$ make demo", style="bold")
    for table in tables(experiment, found, width=200):
        console.print(table)
    for line in legend(experiment, found):
        console.print(line, style="dim", soft_wrap=True)
    picture = console.export_svg(title="Shortlist over Python's own documentation")
    picture = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", picture, flags=re.DOTALL)  # nothing is fetched to show it
    Path(target).write_text(picture, encoding="utf-8")
