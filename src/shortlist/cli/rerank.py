"""`shortlist rerank`: a run, a file of requests, or a single query with files or lines."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.table import Table

from shortlist.cli import explaining, options
from shortlist.cli.common import begun, check_job, check_output, joined, open_store
from shortlist.cli.console import note, out, progress, put_json, warn
from shortlist.cli.notes import note_of, notes_path
from shortlist.data import Missing, ResumableWriter, open_collection, ranking_to_json, read_requests
from shortlist.data.exchange import FORMATS, find_format, to_record
from shortlist.errors import BackendError, InvalidInput, UnknownName
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.explain import explain
from shortlist.types import Document, Ranking, RerankRequest, Status, Usage

_TREC = {".trec", ".run", ".txt", ""}
OutputFormat = Annotated[
    Optional[str],
    typer.Option(
        "--output-format", help=f"trec, jsonl (whole rankings), or {', '.join(FORMATS)}; by the file's ending."
    ),
]


def rerank(
    reranker: options.Spec,
    data: Annotated[Optional[str], typer.Option("--data", metavar="DIR", help="The collection of --run.")] = None,
    run: Annotated[Optional[Path], typer.Option("--run", metavar="FILE", help="Candidates: a TREC run.")] = None,
    requests: Annotated[
        Optional[Path],
        typer.Option("--requests", metavar="FILE", help="Candidates with their texts: JSONL of any known format."),
    ] = None,
    query: Annotated[
        Optional[str],
        typer.Option("--query", "-q", help="A single query; passages are FILES, or the lines of standard input."),
    ] = None,
    files: Annotated[
        Optional[list[Path]],
        typer.Argument(help="Text files to rank for --query: a passage each, or each line with --lines."),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Every line of the files is a passage.")] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="With --query: say why; reasoning, moves, and the sentences that carry a match."
        ),
    ] = False,
    output: Annotated[Optional[Path], typer.Option("--output", metavar="FILE", help="What to write.")] = None,
    output_format: OutputFormat = None,
    depth: options.Depth = 100,
    split: options.Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    on_error: options.OnError = "report",
    cache: options.Cache = None,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Rerank candidates with any model.

    Three inputs: a run over a collection (`--data`, `--run`), requests with their texts (`--requests`), or one query
    (`--query`) with text files or standard input.

    A TREC run is written with its notes beside it (FILE.notes.jsonl): cutoff, status, problems and cost of each query.

    Examples:

    `shortlist rerank --data my-corpus --run run.trec --reranker cross-encoder:minilm-l12 --depth 50 --output out.trec`

    `shortlist rerank -q "how do I close a file" --reranker cross-encoder:minilm-l12 notes/*.txt`
    """
    if query is not None:
        _only_one(data, run, requests, output, output_format, split, queries)
    elif files or lines:
        raise InvalidInput(f"files to rank ({', '.join(map(str, files or []))}) go with --query TEXT")
    elif explain:
        raise InvalidInput("--explain goes with --query TEXT; of many rankings, shortlist.rerankers.explain tells why")
    ranker = open_reranker(reranker, store=open_store(cache), on_error=on_error)
    if query is not None:
        _one(ranker, RerankRequest.of(query, _passages(files or [], lines=lines)), json=json, why=explain)
        return
    if output is None:
        raise InvalidInput("give --output FILE to write the rankings to (or a single --query)")
    check_output(output, run, requests)
    missing = Missing()
    asked = begun(_requests(data, run, requests, depth, split, queries, limit, missing))
    source = run or requests
    check_job(output, {"reranker": reranker, "candidates": source and source.name, "depth": depth}, resume=resume)
    tally = _write(ranker, asked, output, output_format, resume=resume)
    told = tally.told(output)
    if missing.count:
        warn(f"{missing.count} candidates have no text in the corpus and were left out, as {missing.examples[0]}")
    put_json({**told, "missing_texts": missing.count}) if json else _say(told)
    if tally.statuses and set(tally.statuses) == {Status.FAILED.value}:
        raise BackendError(f"not one ranking could be made: {tally.problem or 'no reply could be read'}")


def _requests(
    data: str | None,
    run: Path | None,
    requests: Path | None,
    depth: int,
    split: str | None,
    queries: Path | None,
    limit: int | None,
    missing: Missing,
) -> Iterator[RerankRequest]:
    if requests is not None and run is None:
        if split is not None or queries is not None:
            raise InvalidInput("--split and --queries choose among the queries of a --run; --requests has its own")
        return (request.head(depth) for request in itertools.islice(read_requests(requests), limit))
    if data is None or run is None or requests is not None:
        raise InvalidInput("give --data DIR with --run FILE, or --requests FILE, or --query TEXT")
    return joined(open_collection(data), run, depth, split=split, file=queries, limit=limit, missing=missing)


class _Tally:
    """What a job of many queries comes to."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.usage, self.truncated, self.kept, self.cut, self.problem = Usage(), 0, 0, 0, ""
        self.before = 0

    def add(self, ranking: Ranking) -> None:
        self.statuses[ranking.status.value] += 1
        self.usage += ranking.usage
        self.truncated += ranking.truncated
        self.problem = self.problem or (ranking.problems[0] if ranking.problems else "")
        if ranking.cutoff is not None:
            self.cut, self.kept = self.cut + 1, self.kept + ranking.cutoff

    def told(self, output: Path) -> dict[str, Any]:
        usage = self.usage
        return {
            "output": str(output),
            "rankings": sum(self.statuses.values()),
            "done_before": self.before,
            "statuses": dict(self.statuses),
            "kept_on_average": round(self.kept / self.cut, 2) if self.cut else None,
            "truncated_passages": self.truncated,
            "calls": usage.calls,
            "cached_calls": usage.cached_calls,
            "tokens": usage.tokens,
            "seconds": round(usage.seconds, 2),
            "first_problem": self.problem or None,
        }


def _write(
    ranker: Ranker, requests: Iterator[RerankRequest], output: Path, form: str | None, *, resume: bool
) -> _Tally:
    form = _form(form or ("trec" if output.suffix in _TREC else "jsonl"))
    trec = form == "trec"
    target, notes = (output, notes_path(output)) if trec else (output, None)
    if not resume:
        for path in (target, notes) if notes else (target,):
            path.unlink(missing_ok=True)
    tally = _Tally()
    with ExitStack() as stack:
        writer = stack.enter_context(ResumableWriter.trec(target) if trec else ResumableWriter.jsonl(target))
        beside = stack.enter_context(ResumableWriter.jsonl(notes)) if notes else None
        done = frozenset(writer.done)
        tally.before = len(done)
        if done:
            note(f"{len(done)} queries of {output} are done; going on with the others")
        bar = stack.enter_context(progress("reranking"))
        left = (request for request in requests if request.query.id not in done)
        for ranking in bar.watch(ranker.rerank(left)):
            tally.add(ranking)
            if trec:
                writer.write_ranking(ranking)
            else:
                writer.write_record(ranking.query.id, _record(ranking, form))
            if beside is not None and ranking.query.id not in beside.done:
                beside.write_record(ranking.query.id, note_of(ranking))
    return tally


def _form(name: str) -> str:
    known = ("trec", "jsonl", *FORMATS)
    if name not in known:
        raise UnknownName("output format", name, known)
    return name


def _record(ranking: Ranking, form: str) -> dict[str, Any]:
    return ranking_to_json(ranking) if form == "jsonl" else to_record(ranking, find_format(form))


def _say(told: dict[str, Any]) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in told["statuses"].items())
    kept = "" if told["kept_on_average"] is None else f"; {told['kept_on_average']} kept on average"
    note(f"{told['rankings']} rankings in {told['output']} ({statuses}){kept}")
    note(f"{told['calls']:,} calls, {told['cached_calls']:,} cached, {told['tokens']:,} tokens, {told['seconds']} s")
    if told["truncated_passages"]:
        warn(
            f"{told['truncated_passages']:,} passages were cut to fit; a larger ?passage_tokens or max_length shows more"
        )
    if told["first_problem"]:
        warn(f"problems came up, the first: {told['first_problem']}")


# ------------------------------------------------------------------------------------------------ one query


def _passages(files: list[Path], *, lines: bool) -> Iterable[Document]:
    if not files:
        if sys.stdin.isatty():
            raise InvalidInput("give text files to rank, or passages on standard input, a line each")
        return _from_stdin()
    found: list[Document] = []
    for path in files:
        if not path.is_file():
            raise InvalidInput(f"{path} is not a file")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as problem:
            raise InvalidInput(f"{path} is not UTF-8 text: {problem}") from None
        except OSError as problem:
            raise InvalidInput(f"{path} cannot be read: {problem.strerror}") from None
        split = [line for line in text.splitlines() if line.strip()] if lines else [text]
        found += [Document(id=f"{path}:{n}" if lines else str(path), text=part) for n, part in enumerate(split, 1)]
    return found


def _from_stdin() -> list[Document]:
    try:
        return [Document(id=str(n), text=line.strip()) for n, line in enumerate(sys.stdin, 1) if line.strip()]
    except UnicodeDecodeError as problem:
        raise InvalidInput(f"standard input is not UTF-8 text: {problem}") from None


def _only_one(*jobs: object) -> None:
    if any(option is not None for option in jobs):
        raise InvalidInput(
            "--query ranks files or standard input and prints the ranking (--json prints all of it); "
            "--data, --run, --requests, --split, --queries, --output and --output-format are for many queries"
        )


def _one(ranker: Ranker, request: RerankRequest, *, json: bool, why: bool) -> None:
    (ranking,) = ranker.rerank([request])
    explanation = explain(ranker, ranking) if why else None
    if json:
        told = ranking_to_json(ranking)
        put_json(told if explanation is None else {**told, "explanation": explaining.to_json(explanation)})
    else:
        _show(ranking)
        if explanation is not None:
            explaining.show(explanation)
    if ranking.status is Status.FAILED and len(ranking):
        raise BackendError("the passages could not be judged; they stand in their first order")


def _show(ranking: Ranking) -> None:
    table = Table("rank", "was", "score", "id", "passage", box=None, pad_edge=False)
    scores = ranking.scores or [None] * len(ranking)
    for rank, (place, score) in enumerate(zip(ranking.order, scores, strict=True), 1):
        document = ranking.request.candidates[place].document
        text = " ".join(document.full_text.split())[:100]
        style = "dim" if ranking.cutoff is not None and rank > ranking.cutoff else None
        table.add_row(
            str(rank), str(place + 1), "" if score is None else f"{score:.3f}", document.id, text, style=style
        )
    out.print(table)
    if ranking.status is not Status.OK:
        warn(f"status {ranking.status.value}: {'; '.join(ranking.problems)}")
