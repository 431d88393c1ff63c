"""What all commands share on the terminal: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

T = TypeVar("T")

# passages and ids may hold square brackets; what is piped on is not folded to a terminal's width
out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, markup=False)


def note(text: str) -> None:
    """A remark on standard error."""
    err.print(text, style="dim", markup=False)


def warn(text: str) -> None:
    """Something the user should know of, on standard error."""
    err.print(f"warning: {text}", style="yellow", markup=False)


def put_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


@contextlib.contextmanager
def progress(task: str, total: int | None = None) -> Iterator[Any]:
    """A bar on standard error with an ``advance`` method; on anything but a terminal it shows nothing."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), Remaining(), console=err, transient=True) as bar:
        yield _Bar(bar, bar.add_task(task, total=total))


class _Bar:
    """One task of a progress display."""

    def __init__(self, bar: Progress, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, steps: int = 1) -> None:
        """So many more are done."""
        self._bar.advance(self._task, steps)

    def show(self, task: str, done: int, total: int | None) -> None:
        """Say what is being done, and how far it is."""
        self._bar.update(self._task, description=task, completed=done, total=total)

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each counted as it passes."""
        for item in items:
            yield item
            self.advance()
