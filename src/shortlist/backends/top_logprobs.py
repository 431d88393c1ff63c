"""How likely fixed replies are, told from a short greedy reply and the likeliest tokens at each of its places.

That is all that a chat server shows. What it allows to say:

- A label that is one token is exact if the token is among those shown; otherwise its value is ``-inf``, and the truth
  is some value below the least likely token shown.
- A label of several tokens is exact as far as the greedy reply runs along it; a label that parts from the greedy reply
  before its last token has ``-inf``: what would have followed there, no server tells.
- The same label written by different tokens (``Yes``, `` Yes``) is summed. Tokens match exactly but for white space
  around them; ``yes`` is not ``Yes``.
- So each value is a lower bound of the log-probability that the reply begins with the label's tokens. As everywhere
  (:class:`~shortlist.backends.base.Likelihoods`), a label that begins another one (``1``, ``10``) counts the replies
  that go on to it as well, where they go through its token; ``tokens`` tells: 2 for ``10`` means ``1`` then ``0``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_BYTE_MARKS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n"})  # how vocabularies spell a space and a line break


@dataclass(frozen=True, slots=True)
class Place:
    """One place of the greedy reply: the token written there, and the likeliest ones with their log-probabilities."""

    token: str
    logprob: float
    shown: tuple[tuple[str, float], ...]

    def choices(self) -> dict[str, float]:
        """Every token known here, the written one included (it may fall outside the list shown)."""
        return {self.token: self.logprob, **dict(self.shown)}


def label_logprobs(places: Sequence[Place], labels: Sequence[str]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The log-probability of each label, and its number of tokens (1 for labels never seen)."""
    wanted: dict[str, list[tuple[float, int]]] = {_plain(label): [] for label in labels}
    written, before = "", 0.0
    for depth, place in enumerate(places, 1):
        for token, logprob in place.choices().items():
            reply = _plain(written + token)
            if reply in wanted and reply != _plain(written):
                wanted[reply].append((before + logprob, depth))
        written, before = written + place.token, before + place.logprob
        if not any(label.startswith(_plain(written)) for label in wanted):
            break
    found = [wanted[_plain(label)] for label in labels]
    return tuple(map(_summed, found)), tuple(max(ways)[1] if ways else 1 for ways in found)


def _plain(text: str) -> str:
    return text.translate(_BYTE_MARKS).strip()


def _summed(ways: Sequence[tuple[float, int]]) -> float:
    """log Σ exp, of finite values or none."""
    values = [value for value, _ in ways if value > -math.inf]
    if not values:
        return -math.inf
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def reply_tokens(labels: Sequence[str]) -> int:
    """How many tokens the greedy reply needs: as many as the longest label has characters, at most 16."""
    return max(1, min(16, max(map(len, labels), default=1)))
