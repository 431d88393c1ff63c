"""`shortlist data draw`, `bands` and `groups`: lists from runs, judgements and other lists; no model is asked, but a guard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from shortlist.cli import options
from shortlist.cli.common import open_store
from shortlist.cli.data.common import (
    Job,
    Order,
    Output,
    Rel,
    Run,
    Seed,
    Source,
    Split,
    settings_of,
    warn_missing,
    with_qrels,
)
from shortlist.data.lessons import read_lessons
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.synthesis.bands import BANDS, Band, Mining
from shortlist.synthesis.common import parse_shares
from shortlist.synthesis.draws import Draws
from shortlist.synthesis.groups import Grouping


def draw(
    data: options.Data,
    output: Output,
    run: Run = None,
    size: Annotated[int, typer.Option("--size", min=2, help="Passages a list.")] = 20,
    target: Annotated[int, typer.Option("--target", min=1, help="Stop at so many lists.")] = 12_000,
    per_query: Annotated[int, typer.Option("--per-query", min=1, help="The most draws of one query.")] = 200,
    depth: options.Depth = 100,
    orders: Annotated[
        str,
        typer.Option(
            "--orders", metavar="SHARES", help="Input orders and their shares: first-stage, shuffled, near-ideal."
        ),
    ] = "first-stage=1,shuffled=1,near-ideal=1",
    floor: Annotated[
        float, typer.Option("--floor", min=0, max=1, help="Leave out lists whose nDCG@10, as shown, is lower.")
    ] = 0.1,
    ideal: Annotated[
        bool, typer.Option("--ideal", help="Give lists the judgements as a target: order, scores 0 to 10, subset.")
    ] = False,
    rel: Rel = 1,
    seed: Seed = 0,
    split: Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    json: options.Json = False,
) -> None:
    """Draw many lists from few judged queries (REARANK's 179 queries → 12,000 lists).

    Passages without a judgement count as not relevant. Lists with nothing relevant, of one grade only, or drawn before
    are left out.

    Example: `shortlist data draw --data my-judged --run my-judged/run.trec --size 20 --target 5000 --output lists.jsonl`
    """
    recipe = Draws(
        size=size,
        depth=depth,
        target=target,
        per_query=per_query,
        shares=parse_shares(orders),
        rel=rel,
        floor=floor,
        ideal=ideal,
        seed=seed,
    )
    source = Source.open(data, run, depth, split=split, file=queries, limit=limit)
    qrels = source.qrels
    job = Job("draw", output, settings_of(recipe), with_qrels(source.about, qrels), source.inputs, json)
    job.write(recipe.lessons(source.requests, qrels, job.tally), target)
    warn_missing(source.missing)


def bands(
    data: options.Data,
    output: Output,
    run: Run = None,
    band: Annotated[
        Optional[list[str]],
        typer.Option("--band", metavar="NAME=FIRST-LAST:COUNT", help="A band of ranks and its negatives; repeat it."),
    ] = None,
    positives: Annotated[int, typer.Option("--positives", min=1, help="At most so many positives a list.")] = 1,
    guard: Annotated[
        Optional[str],
        typer.Option(
            "--guard",
            metavar="SPEC",
            help="A scoring reranker that tells false negatives, as cross-encoder:minilm-l12.",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", help="How far below the best positive the guard must score a negative.")
    ] = 0.0,
    order: Order = "shuffled",
    rel: Rel = 1,
    seed: Seed = 0,
    split: Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    json: options.Json = False,
) -> None:
    """Mine hard, medium and easy negatives from bands of a run, one list a query.

    By default 7 of ranks 1-10, 6 of 11-100 and 6 of 101-1000 (ERank's bands), beside one positive.

    Example: `shortlist data bands --data my-judged --guard cross-encoder:minilm-l12 --margin 1 --output mined.jsonl`
    """
    chosen = tuple(map(Band.parse, band)) if band else BANDS
    judge = None if guard is None else open_reranker(guard, store=open_store(cache))
    recipe = Mining(bands=chosen, positives=positives, rel=rel, guard=judge, margin=margin, order=order, seed=seed)
    depth = max(one.last for one in chosen)
    source = Source.open(data, run, depth, split=split, file=queries, limit=limit)
    qrels, corpus = source.qrels, source.collection.corpus
    job = Job("bands", output, settings_of(recipe), with_qrels(source.about, qrels), source.inputs, json)
    job.write(recipe.lessons(source.requests, qrels, corpus.get, job.tally), len(source.queries))
    warn_missing(source.missing)


def groups(
    lessons: Annotated[Path, typer.Argument(metavar="LESSONS", help="Labelled lists, as of `shortlist data teach`.")],
    output: Output,
    sizes: Annotated[str, typer.Option("--sizes", help="Group sizes: 5-20, or some, as 5,10,20.")] = "5-20",
    scales: Annotated[int, typer.Option("--scales", min=1, help="In how many sizes each list is dealt out.")] = 2,
    per_scale: Annotated[
        Optional[int], typer.Option("--per-scale", min=1, help="At most so many groups of a list in one size.")
    ] = None,
    labels: Annotated[str, typer.Option("--labels", help="teacher: its scores; grades: the gold ones.")] = "teacher",
    order: Order = "shuffled",
    seed: Seed = 0,
    json: options.Json = False,
) -> None:
    """Deal long labelled lists out into groups of several sizes, with scores from 0 to 10 (GroupRank).

    Every n-th passage of the labels' order goes into one group, so that each has good and bad ones.

    Example: `shortlist data groups taught.jsonl --sizes 5-20 --output groups.jsonl`
    """
    recipe = Grouping(sizes=_sizes(sizes), scales=scales, per_scale=per_scale, labels=labels, order=order, seed=seed)
    job = Job("groups", output, settings_of(recipe), {}, {"lessons": lessons}, json)
    job.write(recipe.lessons(read_lessons(lessons), job.tally))


def _sizes(text: str) -> tuple[int, ...]:
    low, dash, high = text.partition("-")
    try:
        return tuple(range(int(low), int(high) + 1)) if dash else tuple(map(int, text.split(",")))
    except ValueError:
        raise InvalidInput(f"--sizes {text}: write 5-20, or 5,10,20") from None
