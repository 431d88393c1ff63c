"""Answer metrics: a reader's answer against the gold answers, each the best over the golds.

One rule for all of them about abstaining (SQuAD 2's). ``prediction`` is ``None`` where the reader abstained. A question
with no gold answer is unanswerable: an abstention (``None``, or nothing left after normalisation) scores 1, any other
prediction 0. On an answerable question an abstention (``None`` or a blank answer) scores 0.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NOT_ALPHANUMERIC: Final = re.compile(r"[^a-z0-9]+")


def normalize_answer(text: str) -> str:
    """Lower, drop ASCII punctuation, drop the articles a/an/the, squeeze blanks: SQuAD v1.1's script, step for step.

    Rajpurkar et al., EMNLP 2016, ``evaluate-v1.1.py``. Punctuation goes without leaving a blank: "twenty-one" becomes
    "twentyone".

    >>> normalize_answer("  The Beatles' (an English band)! ")
    'beatles english band'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str | None, golds: Sequence[str]) -> float:
    """Return 1 if the normalised prediction *is* a normalised gold, else 0 (SQuAD; contains is :func:`sub_em`)."""
    return _best(prediction, golds, _equal)


def token_f1(prediction: str | None, golds: Sequence[str]) -> float:
    """Compute F1 over the bags of normalised tokens: ``2 * shared / (predicted + gold)`` (SQuAD v1.1).

    Where a gold is nothing but articles or punctuation there is no token to share, and F1 is the exact match (SQuAD 2).

    >>> round(token_f1("the Eiffel Tower in Paris", ["Eiffel Tower"]), 6)  # 2 * 2 / (4 + 2)
    0.666667
    """
    return _best(prediction, golds, _token_f1)


def sub_em(prediction: str | None, golds: Sequence[str]) -> float:
    """Return 1 if the normalised prediction holds a normalised gold as consecutive whole tokens, else 0.

    Also called accuracy, cover-EM or str-EM. The gold is sought in the prediction, never the reverse, so an empty
    prediction scores 0; "a" is not found in "banana".
    """
    return _best(prediction, golds, _holds)


def rouge_l(prediction: str | None, golds: Sequence[str]) -> float:
    """Compute ROUGE-L's F-measure: ``2PR / (P + R)``, ``P = LCS / predicted``, ``R = LCS / gold``, over tokens.

    Tokens are runs of ``a-z0-9`` in the lower-cased text, unstemmed, as in Google's rouge-score (other scripts have no
    token and score 0). Lin, "ROUGE", ACL workshop 2004, section 3.1, with beta 1.

    >>> rouge_l("police kill the gunman", ["police killed the gunman"])  # LCS 3: P = R = 3/4
    0.75
    """
    return _best(prediction, golds, _rouge_l)


def _best(prediction: str | None, golds: Sequence[str], score: Callable[[str, str], float]) -> float:
    if isinstance(golds, str | bytes):
        raise TypeError(f"golds is a sequence of answers, and a bare string is one of characters; pass [{golds!r}]")
    if not golds:
        return float(not normalize_answer(prediction or ""))
    if prediction is None or not prediction.strip():
        return 0.0
    return max(score(prediction, gold) for gold in golds)


def _equal(prediction: str, gold: str) -> float:
    return float(normalize_answer(prediction) == normalize_answer(gold))


def _token_f1(prediction: str, gold: str) -> float:
    predicted, wanted = normalize_answer(prediction).split(), normalize_answer(gold).split()
    if not predicted or not wanted:
        return float(predicted == wanted)
    shared = sum((Counter(predicted) & Counter(wanted)).values())
    return 2 * shared / (len(predicted) + len(wanted))


def _holds(prediction: str, gold: str) -> float:
    text, wanted = normalize_answer(prediction), normalize_answer(gold)
    return float(f" {wanted} " in f" {text} ") if wanted else float(not text)


def _rouge_l(prediction: str, gold: str) -> float:
    predicted, wanted = _rouge_tokens(prediction), _rouge_tokens(gold)
    if not predicted or not wanted:
        return 0.0
    return 2 * _common_subsequence(predicted, wanted) / (len(predicted) + len(wanted))  # = 2PR / (P + R)


def _rouge_tokens(text: str) -> list[str]:
    return _NOT_ALPHANUMERIC.sub(" ", text.lower()).split()


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of the table as bits of one integer.

    Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004: long answers take microseconds a token.
    """
    places: dict[str, int] = {}
    for i, token in enumerate(left):
        places[token] = places.get(token, 0) | 1 << i
    everything = (1 << len(left)) - 1
    row = everything
    for token in right:
        matched = row & places.get(token, 0)
        row = (row + matched | row - matched) & everything
    return len(left) - row.bit_count()
