"""Measures of an answer against its golds: words, meaning (an embedding model, BERTScore). Each the best over the golds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

import numpy as np

from shortlist.backends.base import Embedder
from shortlist.errors import InvalidInput, MissingExtra, UnknownName
from shortlist.metrics.answers import exact_match, rouge_l, token_f1
from shortlist.rewards.text.answers import Answered

WORDS: Final[Mapping[str, Callable[[str | None, Sequence[str]], float]]] = {
    "em": exact_match,
    "f1": token_f1,
    "rouge-l": rouge_l,
}


@dataclass(frozen=True)
class Words:
    """Exact match, F1 of tokens or ROUGE-L, see :mod:`shortlist.metrics.answers`."""

    kind: str = "f1"

    def __post_init__(self) -> None:
        if self.kind not in WORDS:
            raise UnknownName("measure of words", self.kind, WORDS)

    def measure(self, answered: Sequence[Answered], /) -> list[float | None]:
        """The measure of each."""
        return [WORDS[self.kind](each.answer, each.golds) for each in answered]


@dataclass(frozen=True)
class Similarity:
    """The cosine of answer and gold under an embedding model, from ``floor`` (0) to 1 (1), cut to [0, 1].

    Embeddings of unrelated texts are seldom orthogonal; ``floor`` is what such pairs have under the model. Texts are
    embedded once, all in one batch. An embedding that is no unit vector (NaN, zeros) leaves its pair unscored.
    """

    embedder: Embedder
    _: KW_ONLY
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not -1 <= self.floor < 1:
            raise InvalidInput(f"floor is {self.floor}; give a cosine from -1 to below 1")

    def measure(self, answered: Sequence[Answered], /) -> list[float | None]:
        """The similarity of each to the nearest gold."""
        texts = list(dict.fromkeys(text for each in answered for text in (each.answer, *each.golds)))
        vectors = dict(zip(texts, np.asarray(self.embedder.embed(texts, role="passage"), np.float64), strict=True))
        return [self._one(vectors[each.answer], [vectors[gold] for gold in each.golds]) for each in answered]

    def _one(self, answer: Any, golds: Sequence[Any]) -> float | None:
        cosines = [float(answer @ gold) for gold in golds]
        if not all(abs(float(v @ v) - 1) < _UNIT for v in (answer, *golds)):
            return None
        return min(1.0, max(0.0, (max(cosines) - self.floor) / (1 - self.floor)))


@dataclass(frozen=True)
class BertScore:
    """BERTScore's F1, rescaled by its baseline, cut to [0, 1]; the package ``bert-score`` and its model do the work.

    Zhang et al., ICLR 2020. ``options`` are those of ``bert_score.BERTScorer`` (``model_type``, ``lang``, ``device`` …).
    """

    options: Mapping[str, Any] | None = None

    def measure(self, answered: Sequence[Answered], /) -> list[float | None]:
        """The score of each, the best over its golds."""
        return [float(level) for level in self._scorer().score(*_columns(answered))[2]]

    def _scorer(self) -> Any:
        if "scorer" not in self.__dict__:  # opened once, when first needed
            try:
                package = importlib.import_module("bert_score")
            except ImportError as problem:
                raise MissingExtra("bert-score", "bertscore") from problem
            told = {"lang": "en", "rescale_with_baseline": True, **(self.options or {})}
            self.__dict__["scorer"] = package.BERTScorer(**told)
        return self.__dict__["scorer"]


def _columns(answered: Sequence[Answered]) -> tuple[list[str], list[list[str]]]:
    return [each.answer for each in answered], [list(each.golds) for each in answered]


_UNIT: Final = 1e-2
