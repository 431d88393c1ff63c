"""`shortlist demo`: the whole path on real text that every machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from shortlist.cli import options
from shortlist.cli.console import note, out, progress
from shortlist.cli.evaluate import publish


def demo(
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Where collection, runs and report go.")
    ] = Path("demo-out"),
    reader: Annotated[str, typer.Option("--reader", metavar="MODEL", help="What reads the answers.")] = "smollm2-135m",
    limit: options.Limit = None,
    cache: Annotated[Optional[Path], typer.Option("--cache", metavar="FILE", help="Keep what models say here.")] = None,
) -> None:
    """Retrieve, rerank, keep, read and measure over Python's own documentation.

    Some 6,000 passages (the language reference and the standard library's docstrings) and 70 questions written for this.
    BM25 finds 30 candidates for each, a cross-encoder reranks them, a cutoff rule keeps as many as stand out, and a
    small language model reads the answers.

    Example: `shortlist demo --output demo-out --limit 20`
    """
    from shortlist.backends.threads import cores
    from shortlist.demo import run_demo

    os.environ.setdefault("SHORTLIST_THREADS", str(min(8, cores())))  # nothing else is asked of the machine meanwhile
    with progress("demo") as bar:
        done = run_demo(output, reader=reader, limit=limit, cache=cache, on_progress=bar.show, say=note)
    publish(done, output / "results.json", output / "report.html")
    out.print()
    out.print("Now your own files, a passage each:", style="bold")
    out.print(f'  {_shell()} rerank -q "your question" --reranker cross-encoder:minilm-l12 path/to/*.txt')


def _shell() -> str:
    import shutil
    import sys

    here = Path(sys.argv[0])
    return "shortlist" if shutil.which("shortlist") or not here.exists() else str(here)
