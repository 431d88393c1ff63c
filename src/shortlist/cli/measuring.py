"""What the commands that measure share: the queries that are asked, the candidates, and the experiment over them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shortlist.cli.common import chosen_queries, joined
from shortlist.cli.console import progress, warn
from shortlist.data import Collection, Missing, open_collection
from shortlist.data.files import read_lines
from shortlist.errors import InvalidInput
from shortlist.evaluation import Experiment, Progress
from shortlist.evaluation import evaluate as run_evaluation
from shortlist.metrics import Measure
from shortlist.reading.base import Reader
from shortlist.rerankers.base import Ranker
from shortlist.types import Query, RerankRequest


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The queries of a collection, or some of them, with the first ``depth`` candidates of a run."""

    data: str
    run: Path
    depth: int
    split: str | None = None
    file: Path | None = None
    limit: int | None = None

    def queries(self, collection: Collection) -> Iterator[Query]:
        """Those that are asked."""
        return chosen_queries(collection, split=self.split, file=self.file, limit=self.limit)

    def ids(self, collection: Collection) -> list[str] | None:
        """Their ids; ``None`` where all are asked."""
        some = self.split is not None or self.file is not None or self.limit is not None
        return [query.id for query in self.queries(collection)] if some else None

    def requests(self, collection: Collection, missing: Missing) -> Iterator[RerankRequest]:
        """A pass over them with their candidates."""
        split, file, limit = self.split, self.file, self.limit
        return joined(collection, self.run, self.depth, split=split, file=file, limit=limit, missing=missing)

    def tag(self) -> str:
        """The run's own name: what stands in its sixth column."""
        for _, line in read_lines(self.run):
            columns = line.split()
            if len(columns) == 6:
                return columns[5]
        return "first-stage"


def check_resume(save: Path | None, *, resume: bool) -> None:
    """Refuse to go on with an evaluation of which nothing was kept."""
    if resume and save is None:
        raise InvalidInput("--resume needs the --save DIR of the interrupted evaluation")


def experiment(
    asked: Asked,
    rankers: Sequence[Ranker],
    measures: Sequence[Measure],
    *,
    reader: Reader | None = None,
    about: dict[str, Any] | None = None,
    **told: Any,
) -> Experiment:
    """Measure the rankers over what is asked; ``told`` goes to :func:`shortlist.evaluation.evaluate`.

    Raises :class:`InvalidInput` where there is nothing to measure by.
    """
    collection = open_collection(asked.data)
    passes: list[Missing] = []
    chosen, qrels = asked.ids(collection), collection.qrels()
    if reader is not None and not any(query.answers for query in asked.queries(collection)):
        raise InvalidInput(f"no query of {asked.data} has gold answers, so that a reader's answers cannot be judged")
    if not qrels and reader is None:
        raise InvalidInput(
            f"{asked.data} has no judgements (qrels/SPLIT.tsv), and there is no reader: nothing to measure"
        )
    with progress("evaluating") as bar:

        def show(state: Progress) -> None:
            bar.show(state.system[:60], state.done, state.total)

        def requests() -> Iterator[RerankRequest]:
            passes.append(Missing())
            return asked.requests(collection, passes[-1])

        found = run_evaluation(
            rankers,
            requests,
            qrels,
            measures,
            first_stage=asked.tag(),
            reader=reader,
            depth=asked.depth,
            query_ids=[i for i in chosen if i in qrels or reader] if chosen is not None else None,
            about={"data": Path(asked.data).name, "run": asked.run.name, "command": command(), **(about or {})},
            on_progress=show,
            **told,
        )
    missing = passes[0]  # every pass meets the same
    if missing.count:
        warn(f"{missing.count} candidates have no text in the corpus and were left out, as {missing.examples[0]}")
    return found


_FOLDERS = re.compile(r"(?<![\w.:/~-])(?:~|\.{1,2})?/(?:[^\s/?&@=]+/)*(?=[^\s/?&@=])")


def command() -> str:
    """The command line, with folders left out: reports are shared."""
    return " ".join(["shortlist", *(_FOLDERS.sub("", argument) for argument in sys.argv[1:])])
