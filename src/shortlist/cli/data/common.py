"""What the data commands share: where lists come from, writing lessons, and the manifest beside every output."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from shortlist.cli.common import check_job, check_output, chosen_queries
from shortlist.cli.console import note, progress, put_json, warn
from shortlist.data import Collection, Missing, ResumableWriter, RunFile, open_collection, read_jsonl, requests
from shortlist.data.files import JsonObject, atomic_writer, json_line, open_binary
from shortlist.data.lessons import Lesson, lesson_to_json, write_lessons
from shortlist.errors import BackendError, InvalidInput
from shortlist.evaluation.manifest import environment, qrels_hash
from shortlist.retrieval.bm25 import BM25
from shortlist.synthesis.common import Tally
from shortlist.types import Qrels, Query, RerankRequest

Output = Annotated[Path, typer.Option("--output", metavar="FILE", help="The lessons to write, JSONL.")]
Run = Annotated[
    Optional[Path],
    typer.Option(
        "--run", metavar="FILE", help="First-stage candidates: a TREC run. Without it BM25 searches the corpus."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Another seed draws other lists.")]
Split = Annotated[
    Optional[str],
    typer.Option(
        "--split", help="Queries to learn from; by default train if there is such a split, else all but test."
    ),
]
Rel = Annotated[int, typer.Option("--rel", min=1, help="The lowest grade that counts as relevant.")]
Order = Annotated[str, typer.Option("--order", help="How lists are shown: first-stage or shuffled.")]

FAILURES = ("a teacher failed", "not judged whole", "the reader failed", "not scored by the guard")
"""Reasons for leaving a list out that are a model's fault."""


@dataclass(frozen=True)
class Source:
    """Candidates and judgements to learn from. ``inputs`` are the files that they come from."""

    collection: Collection
    queries: tuple[Query, ...]
    found: Mapping[str, Mapping[str, float]]
    depth: int
    split: str
    inputs: dict[str, Path]
    missing: Missing

    @classmethod
    def open(
        cls, data: str, run: Path | None, depth: int, *, split: str | None, file: Path | None, limit: int | None
    ) -> Source:
        """Read the queries, and the run (or make one, by BM25)."""
        collection = open_collection(data)
        told, queries = _to_learn_from(collection, split, file, limit)
        if not queries:
            raise InvalidInput(f"{collection.name}: no queries to learn from ({told})")
        found = RunFile(run) if run is not None else _bm25(collection, queries, depth)
        inputs = {name: path for name, path in (("run", run), ("queries", file)) if path is not None}
        return cls(collection, queries, found, depth, told, inputs, Missing())

    @property
    def requests(self) -> Iterator[RerankRequest]:
        """The queries that have candidates, with them."""
        asked = requests(self.collection, self.found, depth=self.depth, queries=self.queries, on_missing=self.missing)
        return (request for request in asked if request.candidates)

    @property
    def qrels(self) -> Qrels:
        """The judgements of these queries only."""
        ids = {query.id for query in self.queries}
        return {qid: graded for qid, graded in self.collection.qrels().items() if qid in ids}

    @property
    def about(self) -> dict[str, Any]:
        """What a manifest says of it."""
        told = {"collection": self.collection.name, "split": self.split, "queries": len(self.queries)}
        return {**told, "depth": self.depth, "first_stage": "run" if "run" in self.inputs else "bm25"}


def _to_learn_from(
    collection: Collection, split: str | None, file: Path | None, limit: int | None
) -> tuple[str, tuple[Query, ...]]:
    """The queries, and how they were chosen: never those of a test split, unless that is all there is."""
    shut = [name for name in collection.splits if name.lower().startswith("test")]
    open_ = [name for name in collection.splits if name not in shut]
    if split is not None and split in shut and open_:
        raise InvalidInput(f"the split {split!r} is for reporting; learn from one of {', '.join(open_)}")
    if split is None and file is None and "train" in open_:
        split = "train"
    queries = tuple(chosen_queries(collection, split=split, file=file, limit=limit))
    if split is None and file is None and shut and open_:
        sealed = {query.id for name in shut for query in collection.queries(name)}
        return "all but test", tuple(query for query in queries if query.id not in sealed)
    return split or (str(file) if file else "all"), queries


def _bm25(collection: Collection, queries: Iterable[Query], depth: int) -> dict[str, dict[str, float]]:
    with progress("searching the corpus by BM25"):
        index = BM25.build(collection.corpus.values())
        hits = index.retrieve(queries, depth=depth)
        return {hit.query.id: dict(zip(hit.ids, hit.scores, strict=True)) for hit in hits}


# ------------------------------------------------------------------------------------------------ writing


@dataclass
class Job:
    """An output under way: what it is made of and with, and what came of it."""

    command: str
    output: Path
    settings: Mapping[str, Any]
    about: Mapping[str, Any]
    inputs: Mapping[str, Path]
    as_json: bool
    tally: Tally = dataclasses.field(default_factory=Tally)
    before: int = 0

    def __post_init__(self) -> None:
        check_output(self.output, *self.inputs.values())

    def write(self, lessons: Iterable[Lesson], total: int | None = None) -> None:
        """Write all lessons or none."""
        with progress(self.command, total) as bar:
            write_lessons(self.output, bar.watch(_not_none(lessons, self.tally)))
        self.publish()

    def open(self, *, resume: bool) -> ResumableWriter:
        """The output to append to, lesson by lesson, or to go on with."""
        if not resume:
            self.output.unlink(missing_ok=True)
        settings = {"command": self.command, **self.settings, **self.about}
        check_job(self.output, json.loads(json.dumps(settings)), resume=resume)
        writer = ResumableWriter.jsonl(self.output, lesson_id)
        self.before = len(writer.done)
        if self.before:
            note(f"{self.before} lessons of {self.output} are done; going on with the others")
        return writer

    def append(self, writer: ResumableWriter, lessons: Iterable[Lesson], total: int | None = None) -> None:
        """Write each lesson as it is made."""
        with writer, progress(self.command, total) as bar:
            for lesson in bar.watch(lessons):
                writer.write_record(str(lesson.meta["id"]), lesson_to_json(lesson))
        if not self.before:
            check_any(self.tally, self.output)

    def publish(self, **more: Any) -> None:
        """Write the manifest and say what was made."""
        count = sum(1 for _ in read_jsonl(self.output))
        told = {"output": str(self.output), "lessons": count, "counts": dict(self.tally), **more}
        where = write_manifest(self.output, self.command, self.settings, self.about, self.inputs, told)
        say(told, where, as_json=self.as_json)


def _not_none(lessons: Iterable[Lesson], tally: Tally) -> Iterator[Lesson]:
    made = 0
    for made, lesson in enumerate(lessons, 1):  # noqa: B007
        yield lesson
    if not made:
        check_any(tally, None)


def check_any(tally: Tally, output: Path | None) -> None:
    """That something was kept; if not, the error says why."""
    if any(count for name, count in tally.items() if name.startswith("kept")):
        return
    if output is not None:
        output.unlink(missing_ok=True)
    reasons = (
        ", ".join(f"{name}: {count}" for name, count in tally.items() if count) or "there was nothing to begin with"
    )
    failed = any(tally[name] for name in FAILURES)
    raise (BackendError if failed else InvalidInput)(f"not one lesson was made ({reasons})")


def lesson_id(record: JsonObject) -> str:
    """The id in a lesson's ``meta``."""
    found = (record.get("meta") or {}).get("id")
    if found is None:
        raise InvalidInput("a lesson without an id in its meta")
    return str(found)


def write_manifest(
    output: Path,
    command: str,
    settings: Mapping[str, Any],
    about: Mapping[str, Any],
    inputs: Mapping[str, Path],
    told: Mapping[str, Any],
) -> Path:
    """``OUTPUT.manifest.json``: settings, sources with their checksums, what came of it, versions and command line."""
    path = output.with_name(f"{output.name}.manifest.json")
    files = {name: {"path": str(file), "sha256": _sha256(file)} for name, file in inputs.items()}
    made = {**told, "sha256": _sha256(output)} if output.is_file() else dict(told)
    whole = {"command": f"data {command}", "settings": dict(settings), "source": dict(about), "inputs": files}
    with atomic_writer(path) as file:
        file.write(json_line({**whole, "made": made, "environment": environment()}).encode() + b"\n")
    return path


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with open_binary(path) as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def say(told: Mapping[str, Any], manifest: Path, *, as_json: bool) -> None:
    """What was made, as text on standard error or as JSON on standard output."""
    if as_json:
        put_json({**told, "manifest": str(manifest)})
        return
    note(f"{told['lessons']} lessons in {told['output']}")
    for name, count in told["counts"].items():
        if count:
            note(f"  {name}: {count}")
    note(f"manifest: {manifest}")


def settings_of(recipe: Any) -> dict[str, Any]:
    """A recipe's fields as JSON values; a model among them by its name."""
    return {spec.name: _plain(getattr(recipe, spec.name)) for spec in dataclasses.fields(recipe) if spec.repr}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    told = getattr(value, "name", None) or getattr(value, "identity", None)
    return settings_of(value) if dataclasses.is_dataclass(value) and told is None else str(told or value)


def with_qrels(about: Mapping[str, Any], qrels: Qrels) -> dict[str, Any]:
    """What a manifest says, with the judgements' checksum."""
    return {**about, "qrels_sha256": qrels_hash(qrels)}


def warn_missing(missing: Missing) -> None:
    """Say how many candidates have no text."""
    if missing.count:
        warn(f"{missing.count} candidates have no text in the corpus and were left out, as {missing.examples[0]}")
