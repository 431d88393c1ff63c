"""`shortlist answer`: read answers from the kept passages of a run."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from shortlist.api import open_reader
from shortlist.cli import options
from shortlist.cli.common import joined, open_store
from shortlist.cli.console import note, progress, put_json, warn
from shortlist.cli.notes import read_cutoffs
from shortlist.data import Missing, ResumableWriter, open_collection
from shortlist.errors import BackendError, InvalidInput
from shortlist.metrics import exact_match, token_f1
from shortlist.reading.base import Answer, Reading

Reader = Annotated[
    str,
    typer.Option(
        "--reader", metavar="MODEL", help="MODEL[?passage_tokens=256&max_tokens=32&abstain=true], as smollm2-135m."
    ),
]


def answer(
    data: options.Data,
    run: Annotated[
        Path, typer.Option("--run", metavar="FILE", help="The (reranked) run whose best passages are read.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The JSONL of answers to write.")],
    reader: Reader = "smollm2-135m",
    k: Annotated[str, typer.Option("--k", help="How many passages to read; auto: as many as the reranker kept.")] = "3",
    split: options.Split = None,
    queries: options.Queries = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    resume: options.Resume = False,
    json: options.Json = False,
) -> None:
    """Answer every query from the best passages of a run.

    Each line of the output: id, question, answer (null: the reader abstained), the ids read, status, and EM and F1 where
    the queries have gold answers.

    Example: `shortlist answer --data my-corpus --run out.trec --reader smollm2-135m --k 3 --output answers.jsonl`
    """
    keep = _keep(k, run)
    missing = Missing()
    asked = joined(open_collection(data), run, 1000, split=split, file=queries, limit=limit, missing=missing)
    model = open_reader(reader, store=open_store(cache))
    if not resume:
        output.unlink(missing_ok=True)
    scored: list[tuple[float, float]] = []
    failed, last_error, tokens = 0, "", 0
    with ResumableWriter.jsonl(output) as writer, progress("reading") as bar:
        done = frozenset(writer.done)
        readings = (
            Reading(request.query, tuple(c.document for c in request.candidates[: keep(request.query.id)]))
            for request in asked
            if request.query.id not in done
        )
        for given in bar.watch(model.read(readings)):
            record = _record(given)
            writer.write_record(given.reading.query.id, record)
            failed += given.status.value == "failed"
            last_error = given.error or last_error
            tokens += given.usage.tokens
            if "f1" in record:
                scored.append((record["em"], record["f1"]))
        count = len(writer.done)
    told: dict[str, Any] = {"output": str(output), "answers": count, "failed": failed, "tokens": tokens}
    if scored:
        told |= {"em": statistics.fmean(em for em, _ in scored), "f1": statistics.fmean(f1 for _, f1 in scored)}
    put_json(told) if json else _say(told)
    if failed:
        warn(f"{failed} readings failed and count as wrong: {last_error or 'the reply could not be read'}")
    if failed and failed == count - len(done):
        raise BackendError(f"not one answer could be read: {last_error or 'no reply could be read'}")


def _keep(k: str, run: Path) -> Callable[[str], int | None]:
    if k == "auto":
        cutoffs = read_cutoffs(run)
        return cutoffs.get
    if not k.isdigit():
        raise InvalidInput(f"--k {k}: give a whole number, or auto")
    return lambda _query_id: int(k)


def _record(given: Answer) -> dict[str, Any]:
    query = given.reading.query
    record: dict[str, Any] = {
        "id": query.id,
        "question": query.text,
        "answer": given.text,
        "passages": [document.id for document in given.reading.documents],
        "status": given.status.value,
    }
    if given.error or given.problems:
        record["problems"] = [*given.problems, *([given.error] if given.error else [])]
    if query.answers:
        record |= {"em": exact_match(given.text, query.answers), "f1": token_f1(given.text, query.answers)}
    return record


def _say(told: dict[str, Any]) -> None:
    measured = f"; EM {told['em']:.3f}, F1 {told['f1']:.3f}" if "f1" in told else ""
    note(f"{told['answers']} answers in {told['output']}, {told['tokens']:,} tokens read{measured}")
