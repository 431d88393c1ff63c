"""What several commands do: choosing queries, joining runs with texts, opening caches."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from shortlist.backends.cache import Store
from shortlist.data import Collection, Missing, RunFile, read_queries, requests
from shortlist.data.requests import fail_on_missing
from shortlist.errors import InvalidInput
from shortlist.types import Query, RerankRequest

T = TypeVar("T")


def chosen_queries(
    collection: Collection, *, split: str | None = None, file: Path | None = None, limit: int | None = None
) -> Iterator[Query]:
    """The queries of a split, of a file, or all; at most ``limit``."""
    if split is not None and file is not None:
        raise InvalidInput("give --split or --queries, not both")
    asked: Iterable[Query] = read_queries(file) if file is not None else collection.queries(split)
    return itertools.islice(asked, limit)


def joined(
    collection: Collection,
    run: Path,
    depth: int,
    *,
    split: str | None = None,
    file: Path | None = None,
    limit: int | None = None,
    missing: Missing | None = None,
) -> Iterator[RerankRequest]:
    """The requests of a run, as they are needed; queries that the run does not have come with no candidates."""
    found = RunFile(run)
    some = split is not None or file is not None or limit is not None
    asked = chosen_queries(collection, split=split, file=file, limit=limit) if some else None
    return requests(collection, found, depth=depth, queries=asked, on_missing=missing or fail_on_missing)


def open_store(path: Path | None) -> Store | None:
    """The cache file, if one is wanted."""
    return None if path is None else Store(path)


def keep_own_key() -> None:
    """In a server SHORTLIST_API_KEY is what its clients must send: a model's server is never sent it in their place."""
    os.environ.pop("SHORTLIST_API_KEY", None)


def begun(items: Iterable[T]) -> Iterator[T]:
    """The same items, the first one read already: a bad input shows before an earlier output is thrown away."""
    source = iter(items)
    return itertools.chain(list(itertools.islice(source, 1)), source)


def check_job(output: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Keep what decides an output beside it, in ``OUTPUT.job.json``; refuse to go on with another job's output."""
    path = output.with_name(f"{output.name}.job.json")
    if resume and output.exists() and path.exists():
        begun_with = json.loads(path.read_text(encoding="utf-8"))
        for name, value in settings.items():
            if begun_with.get(name) != value:
                told = f"begun with {name} {begun_with.get(name)!r}, not {value!r}"
                raise InvalidInput(f"{output} was {told}; go on with that, or start anew without --resume")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def check_output(output: Path, *inputs: Path | None) -> None:
    """Refuse to write to a folder or a device (an earlier output is deleted), or over what is read."""
    if output.is_dir():
        raise InvalidInput(f"--output {output} is a folder; give the name of a file to write")
    if output.exists() and (not output.is_file() or Path("/dev") in output.absolute().parents):
        raise InvalidInput(f"--output {output} is no plain file; give the name of a file to write")
    if any(path is not None and path.exists() and output.exists() and output.samefile(path) for path in inputs):
        raise InvalidInput(f"{output} is read and written in one; give --output another name")
