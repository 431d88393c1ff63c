"""What an environment has done so far, in numbers."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass


class Streak:
    """How many calls in a row a model has not answered. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0

    @property
    def failures(self) -> int:
        """Those since its last answer."""
        return self._failures

    def add(self, told: Sequence[object]) -> int:
        """Take in what calls came to, in order (``None``: no answer); gives the failures since the last answer."""
        silent = next((i for i, each in enumerate(reversed(told)) if each is not None), len(told))
        with self._lock:
            self._failures = silent if silent < len(told) else self._failures + silent
            return self._failures


@dataclass(frozen=True, slots=True)
class Counters:
    """``requested`` observations of prefixes, of which ``made`` were asked of a model (``failed`` of them in vain).

    ``tokens`` of prompts and replies, ``seconds`` of reading, ``elapsed`` seconds since the first request.
    """

    requested: int = 0
    made: int = 0
    failed: int = 0
    tokens: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0

    @property
    def saved(self) -> int:
        """Those that needed no asking: seen before, or twice in one request."""
        return self.requested - self.made

    @property
    def saved_share(self) -> float:
        """Saved by requested, 0 if nothing was."""
        return self.saved / self.requested if self.requested else 0.0

    @property
    def utilisation(self) -> float:
        """The share of the elapsed time in which the reader was at work."""
        return min(1.0, self.seconds / self.elapsed) if self.elapsed else 0.0

    def plus(self, **more: float) -> Counters:
        """With so much more of each."""
        return dataclasses.replace(self, **{name: getattr(self, name) + value for name, value in more.items()})

    def to_json(self) -> dict[str, float]:
        """The fields by name."""
        return dataclasses.asdict(self)
