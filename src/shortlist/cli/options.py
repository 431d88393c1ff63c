"""Options that several commands have, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="DIR",
        help="A collection: a folder with corpus.jsonl and queries.jsonl (plain or .gz, BEIR's layout), or irds:ID.",
    ),
]
RunOption = Annotated[Path, typer.Option("--run", metavar="FILE", help="First-stage candidates: a TREC run.")]
Depth = Annotated[int, typer.Option("--depth", min=1, help="How many candidates of each query to take.")]
Split = Annotated[
    Optional[str],
    typer.Option("--split", help="Only the queries of this split (splits.json, or qrels/SPLIT.tsv)."),
]
Queries = Annotated[
    Optional[Path],
    typer.Option("--queries", metavar="FILE", help="Only the queries of this JSONL file."),
]
Limit = Annotated[
    Optional[int],
    typer.Option("--limit", min=1, help="Only the first N queries: to try something out."),
]
Cache = Annotated[
    Optional[Path],
    typer.Option(
        "--cache", metavar="FILE", envvar="SHORTLIST_CACHE", help="Keep what models say in this file (sqlite)."
    ),
]
Retriever = Annotated[str, typer.Option("--retriever", help="bm25, dense, or hybrid (both, fused).")]
Embedder = Annotated[str, typer.Option("--embedder", metavar="MODEL", help="The model of a dense or hybrid index.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the output of an interrupted job.")]
Save = Annotated[
    Optional[Path],
    typer.Option("--save", metavar="DIR", help="Keep results query by query, so that --resume can go on."),
]
Bootstrap = Annotated[int, typer.Option("--seed", help="For the bootstrap.")]
Spec = Annotated[
    str,
    typer.Option(
        "--reranker",
        metavar="SPEC",
        help="KIND:MODEL[?option=value&…], a checkpoint folder, or a chain FIRST >> SECOND. `shortlist models` lists kinds.",
    ),
]
OnError = Annotated[
    str,
    typer.Option("--on-error", help="report: go on and say so in the status; raise: stop at the first failure."),
]
