"""Strategies: which slates to ask about. One file each; none calls anything."""

from shortlist.rerankers.strategies.all_pairs import AllPairs
from shortlist.rerankers.strategies.dynamic_k import DynamicK
from shortlist.rerankers.strategies.groups import Groups
from shortlist.rerankers.strategies.hops import Hops
from shortlist.rerankers.strategies.pairwise_sort import PairwiseSort
from shortlist.rerankers.strategies.pointwise import Pointwise
from shortlist.rerankers.strategies.setwise_heap import SetwiseHeap
from shortlist.rerankers.strategies.sliding_window import SlidingWindow
from shortlist.rerankers.strategies.tournament import Tournament
from shortlist.rerankers.strategies.whole_list import WholeList

__all__ = [
    "AllPairs",
    "DynamicK",
    "Groups",
    "Hops",
    "PairwiseSort",
    "Pointwise",
    "SetwiseHeap",
    "SlidingWindow",
    "Tournament",
    "WholeList",
]
