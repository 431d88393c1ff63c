"""The kinds of reranker that can be named, each one function from a model and options to a reranker.

A new kind is one function with :func:`kind` above it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from shortlist.backends.base import Backend, Completer, Continuer, PairScorer, Scorer
from shortlist.backends.cache import Store, cached
from shortlist.backends.open import PAIR_ENGINES, open_llm, open_pair_scorer, open_scorer
from shortlist.backends.shared import Opened
from shortlist.errors import InvalidInput
from shortlist.rerankers.base import Policy, Strategy
from shortlist.rerankers.configuration import stored_null
from shortlist.rerankers.cutoffs import NullDocument
from shortlist.rerankers.designs import DESIGNS
from shortlist.rerankers.mergers import MERGERS
from shortlist.rerankers.policies import HopPolicy, LabelPolicy, PairPolicy, TextPolicy
from shortlist.rerankers.reasoned import ExpectedScorePolicy, ReasonedLabelPolicy
from shortlist.rerankers.spec import Options, llm_options
from shortlist.rerankers.strategies import (
    AllPairs,
    DynamicK,
    Groups,
    Hops,
    PairwiseSort,
    Pointwise,
    SetwiseHeap,
    SlidingWindow,
    Tournament,
    WholeList,
)
from shortlist.text.base import EitherPrompt, GradedPrompt, LabelPrompt, Prompt, PromptBase, ReasonedPrompt
from shortlist.text.groupwise import GroupScores
from shortlist.text.listwise import Listwise, ListwiseReasoning
from shortlist.text.pairwise import PairwiseChoice
from shortlist.text.pointwise import PointwiseRating, PointwiseYesNo, QueryLikelihood
from shortlist.text.setwise import SetwiseChoice, SetwiseReasoning
from shortlist.text.subset import Subset
from shortlist.types import J

B = TypeVar("B", bound=Backend)


@dataclass(frozen=True)
class Made:
    """What a kind makes of its options: a policy and a strategy that fit, and the backend that does the work."""

    policy: Policy[Any]
    strategy: Strategy[Any]
    backend: Backend

    @classmethod
    def of(cls, policy: Policy[J], strategy: Strategy[J], backend: Backend) -> Made:
        """Checked by types: the strategy takes the verdicts that the policy gives."""
        return cls(policy, strategy, backend)


@dataclass
class Order:
    """What a kind is built from: a model's name, options, a cache, a checkpoint's own prompt, backends opened before."""

    model: str
    options: Options
    store: Store | None = None
    prompt: PromptBase | None = None
    opened: Opened | None = None

    def llm(self) -> Completer:
        """The model, for completing."""
        return self._cached(open_llm(self.model, llm_options(self.options)))

    def scorer(self) -> Scorer:
        """The model, for scoring."""
        return self._cached(open_scorer(self.model, llm_options(self.options)))

    def pairs(self, model: str | None = None) -> PairScorer:
        """The model, or another one, as a cross-encoder."""
        engine = self.options.text("engine", "auto", PAIR_ENGINES)
        max_length, threads = self.options.maybe_whole("max_length"), self.options.maybe_whole("threads")
        return self._cached(
            open_pair_scorer(model or self.model, engine=engine, max_length=max_length, threads=threads)
        )

    def reads_text(self, default: str = "labels") -> bool:
        """Whether replies are read, rather than the likelihoods of labels."""
        return self.options.text("read", default, ("labels", "text")) == "text"

    def asking(self, prompt: Prompt[J], completer: Completer) -> TextPolicy[J]:
        """The policy that reads replies, with its options."""
        return TextPolicy(prompt=self.fitted(prompt), completer=completer, **self._decoding())

    def labelling(self, prompt: LabelPrompt[J], scorer: Scorer) -> LabelPolicy[J]:
        """The policy that reads likelihoods."""
        return LabelPolicy(prompt=self.fitted(prompt), scorer=scorer)

    def weighing(self, prompt: ReasonedPrompt[J], completer: Completer) -> ReasonedLabelPolicy[J]:
        """The policy that reads likelihoods behind the reasoning of replies; it checks that the model can."""
        model = cast("Continuer", completer)
        return ReasonedLabelPolicy(prompt=self.fitted(prompt), completer=model, **self._decoding())

    def expecting(self, prompt: GradedPrompt, completer: Completer) -> ExpectedScorePolicy:
        """The policy that reads expected scores where a reply gives scores; it checks that the model can."""
        model = cast("Continuer", completer)
        return ExpectedScorePolicy(prompt=self.fitted(prompt), completer=model, **self._decoding())

    def either(self, prompt: EitherPrompt[J], strategy: Strategy[J]) -> Made:
        """Likelihoods or replies are read, as ``read`` says."""
        if self.reads_text():
            llm = self.llm()
            return Made.of(self.asking(prompt, llm), strategy, llm)
        scorer = self.scorer()
        return Made.of(self.labelling(prompt, scorer), strategy, scorer)

    def _decoding(self) -> dict[str, Any]:
        take = self.options
        return {
            "max_tokens": take.maybe_whole("max_tokens"),
            "temperature": take.number("temperature", 0.0),
            "seed": take.maybe_whole("seed"),
            "retries": take.whole("retries", 0),
            "constrain": take.flag("constrain", default=False),
        }

    def fitted(self, prompt: Any) -> Any:
        """The checkpoint's prompt if there is one, else this; with ``passage_tokens`` if that is given."""
        chosen = self.prompt or prompt
        if self.prompt is not None and type(self.prompt) is not type(prompt):
            raise InvalidInput(f"the checkpoint's prompt is {self.prompt.kind!r}, which this kind does not ask")
        tokens = self.options.maybe_whole("passage_tokens")
        return chosen if tokens is None else dataclasses.replace(chosen, passage_tokens=tokens)

    def _cached(self, backend: B) -> B:
        one = backend if self.opened is None else self.opened.one(backend)
        return one if self.store is None else cached(one, self.store)


Kind = Callable[[Order], Made]
KINDS: dict[str, Kind] = {}


def kind(name: str) -> Callable[[Kind], Kind]:
    """Make a function known as a kind."""

    def keep(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return keep


@kind("cross-encoder")
def cross_encoder(order: Order) -> Made:
    """Scores each (query, passage) pair with a trained classifier: fast, and the baseline to beat."""
    scorer = order.pairs()
    return Made.of(PairPolicy(scorer=scorer), Pointwise(), scorer)


@kind("hops")
def hops(order: Order) -> Made:
    """A cross-encoder that looks again, with what it found in the question: for questions that take several passages.

    ``hops`` looks in all; the later ones weigh ``hop_weight``, see the found passages' titles and first ``words`` words, and
    may be another model's: ``later``. One that learnt when to stop sets the cutoff; ``stop_bias`` has it stop earlier.
    ``none_below`` keeps nothing where the first look scores every passage below it.
    """
    scorer, take = order.pairs(), order.options
    policy, later = PairPolicy(scorer=scorer), take.text("later", "")
    strategy = Hops(
        hops=take.whole("hops", 2),
        weight=take.number("hop_weight", 1.5),
        words=take.whole("words", 60),
        enough=_learnt_stop(later, take),
        none_below=take.maybe_number("none_below"),
    )
    if not later:
        return Made.of(policy, strategy, scorer)
    return Made.of(HopPolicy(policy, PairPolicy(scorer=order.pairs(later))), strategy, scorer)


def _learnt_stop(later: str, take: Options) -> NullDocument | None:
    """The null document of a later look that has one, moved by ``stop_bias``."""
    null, bias = stored_null(Path(later).expanduser()) if later else None, take.number("stop_bias", 0.0)
    if null is None and bias:
        raise InvalidInput(
            f"{take.owner}: stop_bias {bias} needs a later look that learnt when to stop (policy.stop=true)"
        )
    return null and dataclasses.replace(null, bias=null.bias + bias)


@kind("pointwise")
def pointwise(order: Order) -> Made:
    """Asks a language model about each passage by itself: ``prompt=yes-no`` or ``rating`` (0–10).

    ``reasoning=true`` has it think before the rating, and reads its reply, or with ``read=labels`` the expected rating.
    """
    asked = order.options.text("prompt", "yes-no", ("yes-no", "rating"))
    reasoning = order.options.flag("reasoning", default=False)
    scoring = cast("Literal['expected', 'product']", order.options.text("scoring", "expected", ("expected", "product")))
    if asked != "rating" and (reasoning or "scoring" in order.options.values):
        raise InvalidInput("reasoning=true and scoring go with prompt=rating")
    if not reasoning:
        plain = PointwiseRating(scoring=scoring) if asked == "rating" else PointwiseYesNo()
        return order.either(plain, Pointwise())
    prompt, llm = PointwiseRating(scoring=scoring, reasoning=True), order.llm()
    policy = order.asking(prompt, llm) if order.reads_text("text") else order.weighing(prompt, llm)
    return Made.of(policy, Pointwise(), llm)


@kind("likelihood")
def likelihood(order: Order) -> Made:
    """Scores each passage by how likely a language model finds the query, having read it; needs no instruction model."""
    scorer = order.scorer()
    return Made.of(order.labelling(QueryLikelihood(), scorer), Pointwise(), scorer)


@kind("pairwise")
def pairwise(order: Order) -> Made:
    """Asks which of two passages is better: ``strategy=sort`` or ``all`` pairs, in both orders."""
    both = order.options.flag("both_orders", default=True)
    top = order.options.maybe_whole("top")
    every = order.options.text("strategy", "sort", ("sort", "all")) == "all"
    strategy = AllPairs(both_orders=both) if every else PairwiseSort(top=top, both_orders=both)
    return order.either(PairwiseChoice(), strategy)


@kind("setwise")
def setwise(order: Order) -> Made:
    """Asks which passage of a small set is best, by a heap: the ``top`` are extracted, each from ``children`` + 1.

    ``reasoning=true`` has the model think first (Rank-R1's shape), and reads its replies.
    """
    strategy = SetwiseHeap(children=order.options.whole("children", 3), top=order.options.whole("top", 10))
    if order.options.flag("reasoning", default=False):
        order.options.text("read", "text", ("text",))  # reasoning is not among the labels
        llm = order.llm()
        return Made.of(order.asking(SetwiseReasoning(), llm), strategy, llm)
    return order.either(SetwiseChoice(), strategy)


@kind("listwise")
def listwise(order: Order) -> Made:
    """Asks for the order of a window, sliding from the bottom to the top: ``strategy=window``, ``whole``, ``tournament``.

    ``reasoning=true`` has the model think first (REARANK's shape); ``first_stage_scores=true`` shows it the scores.
    """
    take = order.options
    size = take.whole("window", 20)
    stride, passes, top = take.whole("stride", max(1, size // 2)), take.whole("passes", 1), take.whole("top", 10)
    shown = take.flag("first_stage_scores", default=False)
    strategies: dict[str, Callable[[], SlidingWindow | WholeList | Tournament]] = {
        "window": lambda: SlidingWindow(size=size, stride=stride, passes=passes),
        "whole": WholeList,
        "tournament": lambda: Tournament(size=size, top=top),
    }
    strategy = strategies[take.text("strategy", "window", strategies)]()
    reasoned = take.flag("reasoning", default=False)
    prompt = ListwiseReasoning(first_stage_scores=shown) if reasoned else Listwise(first_stage_scores=shown)
    llm = order.llm()
    return Made.of(order.asking(prompt, llm), strategy, llm)


@kind("groupwise")
def groupwise(order: Order) -> Made:
    """Asks for a score of every passage of a group; groups overlap, repeat, or share ``anchors``.

    With ``read=labels`` each score is the expected one where it stands in the reply: no ties, for one more pass.
    """
    take = order.options
    anchors = take.whole("anchors", 0)
    repeats = take.whole("repeat", 1)
    design = take.text("design", "interval" if repeats == 1 else "balanced", DESIGNS)
    merger = take.text("merger", "anchored" if anchors else "mean", MERGERS)
    strategy = Groups(
        size=take.whole("size", 10),
        repeats=repeats,
        anchors=anchors,
        design=DESIGNS[design],
        merger=MERGERS[merger],
        seed=take.whole("group_seed", 0),
    )
    llm = order.llm()
    prompt = GroupScores(reasoning=take.flag("reasoning", default=False))
    policy = order.asking(prompt, llm) if order.reads_text("text") else order.expecting(prompt, llm)
    return Made.of(policy, strategy, llm)


@kind("dynamic")
def dynamic(order: Order) -> Made:
    """Asks for the ordered subset of passages that suffices to answer, maybe none (DynamicRAG's shape)."""
    strategy = DynamicK(size=order.options.whole("window", 20))
    llm = order.llm()
    return Made.of(order.asking(Subset(), llm), strategy, llm)


def describe_kinds() -> dict[str, str]:
    """Every kind with the first line of what it does."""
    return {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in KINDS.items()}
