"""`shortlist answer`: read answers from the kept passages of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from shortlist.api import open_reader
from shortlist.cli import options
from shortlist.cli.common import begun, check_job, check_output, joined, open_store
from shortlist.cli.console import note, progress, put_json, warn
from shortlist.cli.notes import read_cutoffs
from shortlist.data import Missing, ResumableWriter, open_collection, read_jsonl
from shortlist.data.files import JsonObject
from shortlist.data.resume import query_id
from shortlist.errors import BackendError, InvalidInput
from shortlist.metrics import exact_match, token_f1
from shortlist.reading.base import Answer, Reading
from shortlist.types import Status

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
    check_output(output, run)
    keep = _keep(k, run)
    missing = Missing()
    asked = joined(open_collection(data), run, 1000, split=split, file=queries, limit=limit, missing=missing)
    model, asked = open_reader(reader, store=open_store(cache)), begun(asked)
    if not resume:
        output.unlink(missing_ok=True)
    check_job(output, {"run": run.name, "reader": reader, "k": k}, resume=resume)
    tally = _Tally()
    with ResumableWriter.jsonl(output, _answered) as writer, progress("reading") as bar:
        done = frozenset(writer.done)
        if done:
            note(f"{len(done)} queries of {output} are done; going on with the others")
            for _, earlier in read_jsonl(output):
                tally.add(earlier)
        tally.fresh_failures = 0
        readings = (
            Reading(request.query, tuple(c.document for c in request.candidates[: keep(request.query.id)]))
            for request in asked
            if request.query.id not in done
        )
        for given in bar.watch(model.read(readings)):
            record = _record(given)
            writer.write_record(given.reading.query.id, record)
            tally.add(record)
            tally.tokens += given.usage.tokens
    told = tally.told(output)
    put_json({**told, "missing_texts": missing.count}) if json else _say(told)
    if missing.count:
        warn(f"{missing.count} passages have no text in the corpus and were left out, as {missing.examples[0]}")
    if tally.failed:
        warn(f"{tally.failed} readings failed and count as wrong: {tally.last_problem or 'no reply could be read'}")
    if tally.fresh_failures and tally.fresh_failures == tally.count - len(done):
        raise BackendError(f"not one answer could be read: {tally.last_problem or 'no reply could be read'}")


class _Tally:
    """What all answers of the output come to, those of an interrupted job included (but for its tokens)."""

    def __init__(self) -> None:
        self.count = self.failed = self.fresh_failures = self.scored = self.tokens = 0
        self.em = self.f1 = 0.0
        self.last_problem = ""

    def add(self, record: Mapping[str, Any]) -> None:
        self.count += 1
        if record["status"] == Status.FAILED.value:
            self.failed, self.fresh_failures = self.failed + 1, self.fresh_failures + 1
            self.last_problem = next(reversed(record.get("problems") or [self.last_problem]))
        if "f1" in record:
            self.scored, self.em, self.f1 = self.scored + 1, self.em + record["em"], self.f1 + record["f1"]

    def told(self, output: Path) -> dict[str, Any]:
        told = {"output": str(output), "answers": self.count, "failed": self.failed, "tokens": self.tokens}
        return told | ({"em": self.em / self.scored, "f1": self.f1 / self.scored} if self.scored else {})


def _answered(record: JsonObject) -> str:
    """The query id of an answer that an earlier job wrote."""
    if "answer" not in record or "status" not in record:
        raise InvalidInput(f"no answer among the fields {', '.join(record)}")
    return query_id(record)


def _keep(k: str, run: Path) -> Callable[[str], int]:
    if k == "auto":
        cutoffs = read_cutoffs(run)
        most = max(cutoffs.values())  # for rankings that failed and say nothing
        return lambda query_id: cutoffs.get(query_id, most)
    if not k.isdecimal():
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
