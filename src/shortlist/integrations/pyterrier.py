"""PyTerrier: a transformer from results to results. Needs no Java.

Needs ``python-terrier`` 1 or later (``pip install 'shortlist[pyterrier]'``).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.integrations.base import Bridge, OnError, TopN, check_top_n, framework
from shortlist.rerankers.base import Ranker

with framework("pyterrier", "pyterrier"):
    import pyterrier as pt

from shortlist.integrations.pandas import Columns, rerank

if TYPE_CHECKING:
    import pandas as pd


class ShortlistReranker(pt.Transformer):  # type: ignore[misc]  # untyped where pyterrier is not installed
    """Reranks results (or documents with queries), as in ``bm25 >> pt.text.get_text(…) >> ShortlistReranker(…)``.

    Needs the columns ``qid, query, docno`` and ``text_field``. Gives ``score`` and ``rank`` (from 0) anew, and
    ``relevance_score`` (the reranker's own), ``retrieval_score`` (what came in), ``kept`` and ``rerank_status`` beside
    them. ``top_n``: so many; ``"auto"``: as many as the reranker would keep; ``None``: all. A ``% k`` behind it is
    taken in.
    """

    schematic = {"label": "Shortlist", "help_url": ""}  # noqa: RUF012 - theirs; without a URL it asks the web for one

    def __init__(
        self,
        reranker: str | Ranker,
        *,
        text_field: str = "text",
        top_n: TopN = None,
        on_error: OnError = "report",
        cache: str | None = None,
    ) -> None:
        super().__init__()
        self.reranker = reranker
        self.text_field = text_field
        self.top_n = check_top_n(top_n)
        self.on_error = on_error
        self.cache = cache
        self._bridge = Bridge(reranker, on_error=on_error, cache=None if cache is None else Path(cache))

    def __repr__(self) -> str:
        return f"ShortlistReranker({self._bridge.name!r}, top_n={self.top_n!r})"

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """A new frame: queries in their order, the best passages first."""
        pt.validate.columns(inp, includes=["qid", "query", "docno", self.text_field])
        columns = Columns(text=self.text_field)
        return rerank(inp, self._bridge, columns=columns, top_n=self.top_n, first_rank=pt.model.FIRST_RANK)

    def fuse_rank_cutoff(self, k: int) -> ShortlistReranker | None:
        """The same with ``k`` at most, for ``% k``; none where the reranker itself decides how many."""
        if k < 1 or self.top_n == "auto":
            return None
        if self.top_n is not None and self.top_n <= k:
            return self
        fused = copy.copy(self)  # the model is opened once
        fused.top_n = k
        return fused
