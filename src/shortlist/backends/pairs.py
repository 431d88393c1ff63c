"""What all cross-encoders share: tokenizing pairs so that the passage alone gives way, and reading their logits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.backends.base import Pair, PairScore
from shortlist.errors import BackendError, MissingExtra
from shortlist.text.fence import clean
from shortlist.types import Usage

_CHARACTERS_A_TOKEN = 24  # beyond so many characters a token, a text is not looked at: it would be cut anyway


class PairTokenizer:
    """A tokenizer (as its ``tokenizer.json``) that cuts to ``max_length`` tokens, special ones included.

    Queries longer than ``max_query_tokens`` are cut first; after that the passage alone gives way. Safe to use from
    threads: no call changes it.
    """

    def __init__(self, description: str, *, max_length: int, max_query_tokens: int = 128) -> None:
        tokenizers = import_tokenizers()
        self.max_length = max_length
        self.max_query_tokens = min(max_query_tokens, max_length // 2)
        self._plain, self._single, self._paired = (tokenizers.Tokenizer.from_str(description) for _ in range(3))
        for tokenizer in (self._plain, self._single, self._paired):
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self._single.enable_truncation(max_length)
        self._paired.enable_truncation(max_length, strategy="only_second")

    def pairs(self, pairs: Sequence[Pair]) -> tuple[list[Any], list[bool]]:
        """The encodings, and whether anything of the pair was lost."""
        queries = {query: self.cut(clean(query), self.max_query_tokens) for query in {pair.query for pair in pairs}}
        passages = [self._ample(pair.passage) for pair in pairs]
        told = [(queries[pair.query][0], text) for pair, (text, _) in zip(pairs, passages, strict=True)]
        encodings = list(self._paired.encode_batch(told))
        lost = [
            queries[pair.query][1] or cut or bool(encoding.overflowing)
            for pair, (_, cut), encoding in zip(pairs, passages, encodings, strict=True)
        ]
        return encodings, lost

    def fitted(self, pair: Pair, encoding: Any) -> Pair:
        """The pair's texts as they are in its encoding, for engines that tokenise once more."""
        ends = [0, 0]
        for sequence, (_, end) in zip(encoding.sequence_ids, encoding.offsets, strict=True):
            if sequence is not None:
                ends[sequence] = max(ends[sequence], end)
        query, _ = self.cut(clean(pair.query), self.max_query_tokens)
        return Pair(query[: ends[0]], self._ample(pair.passage)[0][: ends[1]])

    def texts(self, texts: Sequence[str]) -> list[Any]:
        """The encodings of single texts, cut at the end."""
        return list(self._single.encode_batch([self._ample(text)[0] for text in texts]))

    def cut(self, text: str, max_tokens: int) -> tuple[str, bool]:
        """The text's first ``max_tokens`` tokens, and whether anything was lost."""
        limit = max_tokens * _CHARACTERS_A_TOKEN
        cleaned = clean(text[:limit])
        offsets = self._plain.encode(cleaned, add_special_tokens=False).offsets
        if len(offsets) > max_tokens:
            return cleaned[: offsets[max_tokens - 1][1]], True
        return (cleaned, True) if len(text) > limit else (text, False)

    def _ample(self, text: str) -> tuple[str, bool]:
        """The beginning that may be looked at, without what no tokenizer takes; and whether something is beyond it."""
        limit = self.max_length * _CHARACTERS_A_TOKEN
        return clean(text[:limit]), len(text) > limit


def import_tokenizers() -> Any:
    """The package; :class:`MissingExtra` without it. Its own threads are left off: tokenizing is 1 % of the time."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra("tokenizers", "onnx") from error
    return tokenizers


def pair_score(logits: npt.NDArray[np.float32], *, tokens: int, truncated: bool) -> PairScore:
    """From one pair's logits: the one there is, or the second's lead over the first; not finite is an error."""
    if logits.size not in {1, 2}:
        raise BackendError(f"the model gives {logits.size} numbers a pair; a cross-encoder gives one or two")
    score = float(logits.flat[-1] - (logits.flat[0] if logits.size == 2 else 0))
    error = None if np.isfinite(score) else f"the model gave {score}"
    return PairScore(score=score, truncated=truncated, usage=Usage(calls=1, prompt_tokens=tokens), error=error)


def failed_score(error: object, *, tokens: int, truncated: bool) -> PairScore:
    """A pair that the model failed on."""
    usage = Usage(calls=1, prompt_tokens=tokens)
    return PairScore(score=float("nan"), truncated=truncated, usage=usage, error=str(error))
