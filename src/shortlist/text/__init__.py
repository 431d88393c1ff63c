"""Prompts that ask and read: the words put before a model, and the parsers of what it says."""

from __future__ import annotations

from shortlist.text.answering import AnswerShort
from shortlist.text.base import LabelPrompt, Prompt, PromptBase, Writable
from shortlist.text.fence import clean, fence
from shortlist.text.groupwise import GroupScores
from shortlist.text.listwise import Listwise, ListwiseReasoning
from shortlist.text.pairwise import PairwiseChoice
from shortlist.text.pointwise import PointwiseRating, PointwiseYesNo, QueryLikelihood
from shortlist.text.setwise import SetwiseChoice, SetwiseReasoning
from shortlist.text.subset import Subset
from shortlist.text.truncation import approximate_cut, cut_slate

__all__ = [
    "AnswerShort",
    "GroupScores",
    "LabelPrompt",
    "Listwise",
    "ListwiseReasoning",
    "PairwiseChoice",
    "PointwiseRating",
    "PointwiseYesNo",
    "Prompt",
    "PromptBase",
    "QueryLikelihood",
    "SetwiseChoice",
    "SetwiseReasoning",
    "Subset",
    "Writable",
    "approximate_cut",
    "clean",
    "cut_slate",
    "fence",
]
