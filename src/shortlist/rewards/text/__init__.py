"""Rewards of text policies: what a reply to a slate is worth, part by part."""

from __future__ import annotations

from shortlist.rewards.text.answers import AnswerHeld, AnswerLikelihood, AnswerReward, ListCost, ReaderDesk, chosen
from shortlist.rewards.text.base import Reply, TextReward, WeightedTextReward, grouped, readable, shaped
from shortlist.rewards.text.format import GroupRankFormat, RearankFormat, ReasonRankFormat, ReplyCost, StatusFormat
from shortlist.rewards.text.judge import Judge, JudgePrompt
from shortlist.rewards.text.label import ExactLabel, Exclusion
from shortlist.rewards.text.measures import BertScore, Similarity, Words
from shortlist.rewards.text.pooled import CounterfactualNDCG, PooledNDCG, PooledRank, TeacherError
from shortlist.rewards.text.ranking import NDCG, Alignment, RankOverlap, Recall, RelativeNDCG
from shortlist.rewards.text.registry import REWARDS, Tools, make_reward, make_weighted, needs

__all__ = [
    "NDCG",
    "REWARDS",
    "Alignment",
    "AnswerHeld",
    "AnswerLikelihood",
    "AnswerReward",
    "BertScore",
    "CounterfactualNDCG",
    "ExactLabel",
    "Exclusion",
    "GroupRankFormat",
    "Judge",
    "JudgePrompt",
    "ListCost",
    "PooledNDCG",
    "PooledRank",
    "RankOverlap",
    "ReaderDesk",
    "RearankFormat",
    "ReasonRankFormat",
    "Recall",
    "RelativeNDCG",
    "Reply",
    "ReplyCost",
    "Similarity",
    "StatusFormat",
    "TeacherError",
    "TextReward",
    "Tools",
    "WeightedTextReward",
    "Words",
    "chosen",
    "grouped",
    "make_reward",
    "make_weighted",
    "needs",
    "readable",
    "shaped",
]
