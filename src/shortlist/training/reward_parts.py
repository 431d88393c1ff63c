"""From a recipe to its reward: the named parts and their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shortlist.errors import InvalidInput
from shortlist.reading.base import Reader
from shortlist.rewards.answer import HoldsAnswer, ReaderReward, gold_likelihood
from shortlist.rewards.base import PrefixReward
from shortlist.rewards.cost import PassageCost, TokenCost
from shortlist.rewards.ranking import PrefixNDCG, PrefixRecall
from shortlist.training.recipe import Recipe
from shortlist.types import Qrels


def reward_parts(recipe: Recipe, reader: Reader | None, qrels: Qrels) -> list[tuple[PrefixReward, float]]:
    """The parts of the reward that count, each with its weight and named as in the recipe."""
    told, most = recipe.reward, recipe.data.found + recipe.sampling.k
    makers: Mapping[str, Callable[[], PrefixReward]] = {
        "f1": lambda: ReaderReward(_need(reader), "f1", unanswerable=told.unanswerable),
        "em": lambda: ReaderReward(_need(reader), "em", unanswerable=told.unanswerable),
        "likelihood": lambda: gold_likelihood(_need(reader), unanswerable=told.unanswerable),
        "has_answer": HoldsAnswer,
        "ndcg": lambda: PrefixNDCG(qrels, k=most, name="ndcg"),
        "recall": lambda: PrefixRecall(qrels),
        "passage_cost": lambda: PassageCost(scale=most, name="passage_cost"),
        "token_cost": lambda: TokenCost(scale=told.token_scale, name="token_cost"),
    }
    return [(makers[name](), weight) for name, weight in recipe.weights.items()]


def _need(reader: Reader | None) -> Reader:
    if reader is None:
        raise InvalidInput("the reward asks a reader and there is none; give reader=MODEL")
    return reader
