"""Every error that Shortlist raises on purpose.

```
ShortlistError
├─ InvalidInput          a request, a document, an option or a file that cannot be used as it is
│  ├─ InvalidRequest     a query or its candidates (empty query, duplicate ids, …)
│  ├─ InvalidFile        a file that does not parse; says which file and which line
│  └─ UnknownName        a model, measure, option … that does not exist; lists those that do
├─ MissingExtra          a package of an optional extra is not installed; names the extra
├─ ModelUnavailable      a model's files cannot be had or do not match their checksum
├─ BackendError          a model did not answer: permanently (bad key, unknown model) or after all retries
│  └─ JudgementFailed    a reranker told to raise met a slate that could not be judged
└─ BudgetSpent           the next calls would go over the number that the caller allowed
```

Errors say what was wrong, with the value, and what to do about it. Each kind has its own exit code on the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ShortlistError(Exception):
    """The root of the tree."""

    exit_code = 1


class InvalidInput(ShortlistError, ValueError):
    """A value from the caller that cannot be used as it is."""

    exit_code = 3


class InvalidRequest(InvalidInput):
    """A query or its candidates cannot be ranked as they are."""


class InvalidFile(InvalidInput):
    """A file that does not parse. ``line`` counts from 1."""

    def __init__(self, path: str | Path, problem: str, *, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem}")
        self.path, self.line = Path(path), line


class UnknownName(InvalidInput, LookupError):
    """A name that nothing answers to; the message lists the names that exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}")
        self.kind, self.name, self.known = kind, name, tuple(names)


class MissingExtra(ShortlistError, ImportError):
    """A package that only some users need is not installed."""

    exit_code = 4

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'shortlist[{extra}]'")
        self.package, self.extra = package, extra


class ModelUnavailable(ShortlistError):
    """A model's files cannot be had, or are not the files they should be."""

    exit_code = 4


class BackendError(ShortlistError):
    """A model did not answer."""

    exit_code = 5


class JudgementFailed(BackendError):
    """A slate could not be judged, and the reranker was told to raise rather than to report."""


class BudgetSpent(ShortlistError):
    """The next calls would go over the number that the caller allowed; what was asked before is kept."""

    exit_code = 6
