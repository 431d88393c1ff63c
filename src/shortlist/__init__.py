"""Shortlist: rerank passages with any model, keep as many as the reader needs, and measure it.

These are the names that most programs need; everything else is in the module that it belongs to.
"""

from shortlist._version import __version__
from shortlist.api import Shortlist, ask, open_reader
from shortlist.backends.base import Completer, PairScorer, Scorer
from shortlist.errors import ShortlistError
from shortlist.reading.base import Answer, Reader, Reading
from shortlist.rerankers.base import Policy, Ranker, Reranker, Strategy
from shortlist.rerankers.catalog import open_reranker
from shortlist.text.base import LabelPrompt, Prompt
from shortlist.types import (
    Candidate,
    Choice,
    Document,
    Judgement,
    Query,
    Ranking,
    RerankRequest,
    ScoredJudgement,
    Slate,
    Status,
    Turn,
    Usage,
)

__all__ = [
    "Answer",
    "Candidate",
    "Choice",
    "Completer",
    "Document",
    "Judgement",
    "LabelPrompt",
    "PairScorer",
    "Policy",
    "Prompt",
    "Query",
    "Ranker",
    "Ranking",
    "Reader",
    "Reading",
    "RerankRequest",
    "Reranker",
    "ScoredJudgement",
    "Scorer",
    "Shortlist",
    "ShortlistError",
    "Slate",
    "Status",
    "Strategy",
    "Turn",
    "Usage",
    "__version__",
    "ask",
    "open_reader",
    "open_reranker",
]
