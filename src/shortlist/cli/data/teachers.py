"""`shortlist data teach`, `experts` and `imitate`: labels from models, kept as they come, so that jobs go on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

from shortlist.api import open_reader
from shortlist.backends.cache import Store
from shortlist.cli import options
from shortlist.cli.common import open_store
from shortlist.cli.data.common import (
    Job,
    Order,
    Output,
    Run,
    Seed,
    Source,
    Split,
    settings_of,
    warn_missing,
    with_qrels,
)
from shortlist.data.lessons import Lesson, read_lessons
from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.rewards.answer import MEASURES, ReaderReward
from shortlist.rewards.base import WeightedReward
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.synthesis.experts import Experts
from shortlist.synthesis.imitate import Imitation
from shortlist.synthesis.teach import Teaching
from shortlist.types import RerankRequest, Slate

Lessons = Annotated[
    Optional[Path],
    typer.Option("--lessons", metavar="FILE", help="Lists to label, as of `shortlist data draw`, instead of a run's."),
]


def teach(
    data: options.Data,
    output: Output,
    run: Run = None,
    pointwise: Annotated[
        Optional[str], typer.Option("--pointwise", metavar="SPEC", help="A teacher that judges passages one by one.")
    ] = None,
    listwise: Annotated[
        Optional[str], typer.Option("--listwise", metavar="SPEC", help="A teacher that compares them.")
    ] = None,
    beta: Annotated[float, typer.Option("--beta", min=0, max=1, help="The pointwise teacher's share.")] = 0.5,
    head: Annotated[int, typer.Option("--head", min=1, help="The first stage's top so many …")] = 10,
    tail: Annotated[int, typer.Option("--tail", min=0, help="… and so many drawn from those after them …")] = 40,
    last: Annotated[int, typer.Option("--last", min=1, help="… up to this rank.")] = 200,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="How often each teacher is asked.")] = 1,
    floor: Annotated[
        float, typer.Option("--floor", min=0, max=1, help="Leave out lists whose rankings agree less (nDCG@10).")
    ] = 0.0,
    order: Order = "first-stage",
    seed: Seed = 0,
    split: Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Have one or two teachers label pools of candidates, and fuse their ranks (GroupRank's labels).

    A teacher is any reranker, of an API or local. With two of them, or repeats, lists on which they contradict each other
    can be left out. Judgements are not needed; those there are become grades.

    Example: `shortlist data teach --data my-corpus --pointwise cross-encoder:minilm-l12 --listwise
    'listwise:openai:my-model@http://127.0.0.1:8000/v1' --floor 0.4 --cache said.sqlite --output taught.jsonl`
    """
    store = open_store(cache)
    recipe = Teaching(
        pointwise=None if pointwise is None else open_reranker(pointwise, store=store),
        listwise=None if listwise is None else open_reranker(listwise, store=store),
        beta=beta,
        head=head,
        tail=tail,
        last=last,
        repeats=repeats,
        floor=floor,
        order=order,
        seed=seed,
    )
    source = Source.open(data, run, last, split=split, file=queries, limit=limit)
    qrels = source.qrels
    job = Job("teach", output, settings_of(recipe), with_qrels(source.about, qrels), source.inputs, json)
    writer = job.open(resume=resume)
    left = _left(source.requests, frozenset(writer.done))
    job.append(writer, recipe.lessons(left, qrels, job.tally), len(source.queries) - job.before)
    job.publish()
    warn_missing(source.missing)


def experts(
    data: options.Data,
    output: Output,
    run: Run = None,
    reader: Annotated[
        str, typer.Option("--reader", metavar="MODEL", help="What answers from the passages.")
    ] = "smollm2-135m",
    measure: Annotated[str, typer.Option("--measure", help="How its answers are scored: f1, em, mean.")] = "f1",
    size: Annotated[int, typer.Option("--size", min=1, help="From how many of the best candidates.")] = 10,
    floor: Annotated[
        float, typer.Option("--floor", min=0, max=1, help="Leave out questions whose best set scores no more.")
    ] = 0.0,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="How much score a dropped passage may cost.")
    ] = 0.0,
    rejected: Annotated[
        str, typer.Option("--rejected", help="The worse set of a pair: all, fixed (--k) or none.")
    ] = "all",
    k: Annotated[int, typer.Option("--k", min=1, help="The size of a fixed rejected set.")] = 5,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="Questions searched side by side.")] = 8,
    split: Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Find the smallest set of passages that a reader needs, for each question (DynamicRAG, done differently).

    A passage goes if the reader answers no worse without it; the rest stand by what each adds. Questions without gold
    answers are unanswerable: their set is empty. What the reader said is kept in --cache, or else in OUTPUT.reads.sqlite.

    Example: `shortlist data experts --data my-questions --run run.trec --reader smollm2-135m --output experts.jsonl`
    """
    recipe = Experts(size=size, floor=floor, tolerance=tolerance, rejected=rejected, k=k, at_once=at_once)
    if measure not in MEASURES:
        raise InvalidInput(f"--measure {measure}; give one of {', '.join(MEASURES)}")
    source = Source.open(data, run, size, split=split, file=queries, limit=limit)
    if not any(query.answers for query in source.queries):
        raise InvalidInput(f"{source.collection.name}: no query has gold answers, so no reading can be scored")
    qrels, settings = source.qrels, {**settings_of(recipe), "reader": reader, "measure": measure}
    job = Job("experts", output, settings, with_qrels(source.about, qrels), source.inputs, json)
    writer = job.open(resume=resume)
    reward = WeightedReward(((ReaderReward(open_reader(reader), measure), 1.0),))
    store = Store(cache or output.with_name(f"{output.name}.reads.sqlite"))
    with ReaderEnvironment(reward, store) as environment:
        left = _left(source.requests, frozenset(writer.done))
        job.append(writer, recipe.lessons(left, environment, qrels, job.tally), len(source.queries) - job.before)
        job.tally.update(read=environment.counters.made, reads_saved=environment.counters.saved)
    job.publish()
    warn_missing(source.missing)


def imitate(
    output: Output,
    reranker: options.Spec,
    data: Annotated[Optional[str], typer.Option("--data", metavar="DIR", help="A collection, with --run.")] = None,
    run: Run = None,
    lessons: Lessons = None,
    size: Annotated[int, typer.Option("--size", min=1, help="Candidates of each query, of a run.")] = 20,
    scale: Annotated[
        str, typer.Option("--scale", help="Scores: spread, absolute or range (whole numbers, 0 to 10), or raw.")
    ] = "spread",
    ends: Annotated[
        Optional[str],
        typer.Option("--ends", metavar="LOW,HIGH", help="Of --scale range: the scores that become 0 and 10."),
    ] = None,
    most: Annotated[Optional[int], typer.Option("--most", min=0, help="At most so many passages in a subset.")] = None,
    split: Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Write down what a reranker says of lists, to be imitated: order, scores and subset at once.

    Scores are spread over each list from 0 to 10; `absolute` is ten times its relevance, `range` goes by --ends.
    The subset is what it keeps (`?keep=…` in its name), or else what it finds more relevant than not.

    Example: `shortlist data imitate --lessons lists.jsonl --reranker cross-encoder:minilm-l12 --output imitated.jsonl`
    """
    ranker = open_reranker(reranker, store=open_store(cache))
    recipe = Imitation(ranker=ranker, scale=scale, ends=_ends(ends), most=most)
    if (lessons is None) == (data is None):
        raise InvalidInput("give --lessons FILE, or --data DIR (with --run FILE)")
    lists: Iterable[Lesson]
    if lessons is not None:
        lists, about, inputs = itertools.islice(read_lessons(lessons), limit), {}, {"lessons": lessons}
        total, source = limit, None
    else:
        source = Source.open(str(data), run, size, split=split, file=queries, limit=limit)
        lists, about, inputs = _lessons_of(source), source.about, source.inputs
        total = len(source.queries)
    job = Job("imitate", output, {**settings_of(recipe), "size": size}, about, inputs, json)
    writer = job.open(resume=resume)
    done = frozenset(writer.done)
    left = (lesson for lesson in _identified(lists) if lesson.meta["id"] not in done)
    job.append(writer, recipe.lessons(left, job.tally), None if total is None else total - job.before)
    job.publish()
    if source is not None:
        warn_missing(source.missing)


def _ends(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise InvalidInput(f"--ends {text}: write two numbers, as -10,10") from None
    return low, high


def _left(requests: Iterable[RerankRequest], done: frozenset[str]) -> Iterator[RerankRequest]:
    return (request for request in requests if request.query.id not in done)


def _lessons_of(source: Source) -> Iterator[Lesson]:
    """A run's lists with their grades, if there are judgements."""
    qrels = source.qrels
    for request in source.requests:
        qid, grades = request.query.id, qrels.get(request.query.id, {})
        known = {c.id: float(max(0, grades[c.id])) for c in request.candidates if c.id in grades}
        meta = {"id": qid, "qid": qid, "input_order": "first-stage"}
        yield Lesson(slate=Slate(request.query, request.candidates), grades=known, meta=meta)


def _identified(lists: Iterable[Lesson]) -> Iterator[Lesson]:
    """Every lesson with an id: its own, or its number."""
    for number, lesson in enumerate(lists):
        if "id" in lesson.meta:
            yield lesson
        else:
            meta = {**lesson.meta, "id": f"{lesson.slate.query.id}/{number}"}
            yield Lesson(
                slate=lesson.slate, grades=lesson.grades, teacher=lesson.teacher, target=lesson.target, meta=meta
            )
