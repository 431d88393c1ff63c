"""What an environment has done so far, in numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


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
