"""The reward that a recipe names, with the models that it asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from shortlist.api import open_reader
from shortlist.backends.base import Completer
from shortlist.backends.cache import Store, cached
from shortlist.backends.open import open_embedder, open_llm
from shortlist.errors import InvalidInput
from shortlist.reading.base import Reader
from shortlist.reading.readers import LLMReader
from shortlist.rewards.text import ReaderDesk, Tools, WeightedTextReward
from shortlist.training.text.models import LiveCompleter
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.scoring import tools_needed, weighted

OWN = "policy"
"""The reader's name where the model answers from what it chose itself (shared weights, DynamicRAG)."""


@dataclass
class Rewarding:
    """Makes the reward; one whose reader is the policy is made anew after every step, as it answers differently."""

    recipe: TextRecipe
    completer: LiveCompleter
    _made: WeightedTextReward | None = field(default=None, init=False)
    _step: int = field(default=-1, init=False)
    _tools: Tools | None = field(default=None, init=False)

    def reward(self) -> WeightedTextReward:
        """The reward of the moment."""
        own = self.recipe.reward.reader == OWN and self._step != self.completer.step
        if self._made is None or own:
            self._made, self._step = weighted(self.recipe.reward.parts, self._at_hand()), self.completer.step
        return self._made

    def _at_hand(self) -> Tools:
        told, needed = self.recipe.reward, tools_needed(self.recipe.reward.parts)
        if self._tools is None:
            self._tools = Tools(
                embedder=open_embedder(told.embedder) if "embedder" in needed and told.embedder else None,
                judge=self._judge(told.judge) if "judge" in needed and told.judge else None,
            )
        desk = ReaderDesk.of(self._reader()) if "desk" in needed else None
        return Tools(desk=desk, embedder=self._tools.embedder, judge=self._tools.judge)

    def _reader(self) -> Reader:
        name = self.recipe.reward.reader
        if name is None:
            raise InvalidInput("the reward asks a reader and there is none; give reward.reader=MODEL, or policy")
        if name == OWN:
            return LLMReader(completer=self.completer, one_line=True)
        return open_reader(name, store=self._store())

    def _judge(self, name: str) -> Completer:
        store = self._store()
        return open_llm(name) if store is None else cached(open_llm(name), store)

    def _store(self) -> Store | None:
        told = self.recipe.reward.cache
        return None if told is None else Store(Path(told))
