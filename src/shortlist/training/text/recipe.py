"""A recipe of a text policy: model, prompt, rewards, sampling, optimiser, in one frozen value.

Read from YAML and changed by ``section.field=value`` as :class:`shortlist.training.recipe.Recipe` is; the two share the
reading (:mod:`shortlist.training.fields`), the measurements on dev and the guards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from shortlist.errors import InvalidInput, UnknownName
from shortlist.rewards.text.shaping import SHAPES
from shortlist.training.fields import POSITIVE, RecipeFields, say
from shortlist.training.recipe import DevRecipe, GuardRecipe

Method = Literal["sft", "grpo", "dpo"]
Advantage = Literal["z_score", "mean", "leave_one_out"]


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """What is trained of the model, and in which precision."""

    keep_layers: int | None = say(
        None,
        "keep the first so many layers and drop the others, for good: a shallower, faster model; none: all",
        least=1,
    )
    train_layers: int | None = say(
        None, "only the last so many layers and the final norm are trained; none: all", least=1
    )
    lora_rank: int | None = say(None, "train low-rank adapters of this rank instead; none: the weights", least=1)
    lora_alpha: float = say(32.0, "scale of the adapters", least=POSITIVE)
    dtype: Literal["float32", "bfloat16"] = say(
        "float32", "precision of the weights; bfloat16 is for adapters: small updates vanish in it"
    )
    autocast: Literal["none", "bfloat16"] = say("none", "precision of the arithmetic in training and drawing")
    checkpointing: bool = say(
        default=False, doc="recompute activations in the backward pass: less memory, a third slower"
    )
    attention: Literal["sdpa", "eager", "flash_attention_2"] = say("sdpa", "how attention is computed")


@dataclass(frozen=True, kw_only=True)
class PromptRecipe:
    """The prompt, which the checkpoint takes along. Fields that are null keep the prompt's own default."""

    kind: str = say("group-scores", "listwise, listwise-reasoning, group-scores, subset, pointwise-rating, setwise …")
    passage_tokens: int | None = say(None, "budget of each passage", least=1)
    query_tokens: int | None = say(None, "budget of the query", least=1)
    reasoning: bool | None = say(None, "think before answering, where the prompt can")
    first_stage_scores: bool | None = say(None, "show first-stage scores, where the prompt can")
    scoring: str | None = say(None, "pointwise-rating: expected or product")
    query_last: bool | None = say(None, "pointwise-rating: the query after the passage; small models learn faster so")
    query_each: bool | None = say(
        None,
        "prompts of several passages: the query, and the passage's number, after each of them, for the same reason",
    )
    terse: bool | None = say(None, "group-scores: few words asked, few in reply, as [1] 7 [2] 0")
    reply_tokens: int | None = say(None, "tokens of a reply; null: what the prompt allows", least=1)


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Which lessons are learnt from."""

    limit: int | None = say(None, "only so many lessons, chosen by the seed; null: all", least=1)
    dev_share: float = say(0.1, "the part of the queries that becomes dev where no --dev is given", least=0, most=1)
    prompt_tokens: int | None = say(
        None, "lessons whose prompt is longer are left out, and counted; null: none", least=1
    )
    hints: bool = say(
        default=False,
        doc="sft: also learn at each passage's name in the prompt what it is given (prompts with query_each)",
    )
    answers: bool = say(
        default=False, doc="sft: also learn to answer from the chosen passages: one model reranks and answers"
    )


@dataclass(frozen=True, kw_only=True)
class SamplingRecipe:
    """How replies are drawn (GRPO, and DPO from own samples)."""

    samples: int = say(8, "replies drawn for each lesson", least=1)
    every: bool = say(
        default=False,
        doc="grpo: every reply of a prompt that has few (pointwise-rating: 11) in place of draws, by its likelihood: no noise",
    )
    temperature: float = say(1.0, "of the drawing, and of the log-probabilities that are trained", least=POSITIVE)
    top_p: float = say(1.0, "draw from the likeliest tokens that together have this share", least=POSITIVE, most=1)
    constrain: bool = say(
        default=False,
        doc="replies held to the prompt's form: of grpo in drawing and learning, of dpo's own pairs in drawing; the checkpoint "
        "then serves with constrain=true",
    )
    engine: Literal["transformers", "vllm"] = say("transformers", "who draws: this process, or vLLM beside it")
    packed: bool = say(
        default=True, doc="replies of a lesson share one copy of their prompt in the forward pass: several times faster"
    )


@dataclass(frozen=True, kw_only=True)
class RewardRecipe:
    """What a reply is worth: ``WEIGHT NAME?option=value + …`` over the registry of rewards."""

    parts: str = say("1.0 ndcg", "weights and names, as 0.8 relative-ndcg?k=10 + 0.2 rearank-format")
    reader: str | None = say(
        None, "who answers, for rewards by answers: a model as elsewhere; policy: the model itself"
    )
    embedder: str | None = say(None, "an embedding model, for similarity")
    judge: str | None = say(None, "a language model that grades answers, for judge")
    cache: str | None = say(
        None, "a file that keeps what reader and judge said, for this run and others: nothing is asked twice"
    )
    shaping: str | None = say(
        None, "what advantages are made of instead: relative (in units of the group's spread), rank; null: the rewards"
    )

    def __post_init__(self) -> None:
        if self.shaping is not None and self.shaping not in SHAPES:
            raise UnknownName("reward.shaping", self.shaping, SHAPES)


@dataclass(frozen=True, kw_only=True)
class LossRecipe:
    """How far a step may go."""

    advantage: Advantage = say("z_score", "of a reply among those of its lesson; a group of one, or of equals, has 0")
    credit: Literal["reply", "passage"] = say(
        "reply",
        "grpo: what tokens are credited with: the whole reply's reward, or what the score of their passage adds "
        "(group-scores without reasoning, with ndcg or relative-ndcg among the rewards)",
    )
    kind: Literal["grpo", "dapo", "dr_grpo"] = say(
        "dapo", "how tokens are weighed: by reply, over the step, by the longest reply that is allowed"
    )
    beta: float = say(
        0.0,
        "grpo: weight of the distance from the model before training: k3; with sampling.every exact, and from that model to "
        "this one, so that no reply is given up for good",
        least=0,
    )
    entropy: float = say(0.0, "grpo: weight of the entropy of replies, so that they stay diverse", least=0)
    clip: float = say(0.2, "grpo: a ratio is not rewarded for leaving 1 ± clip", least=POSITIVE)
    iterations: int = say(1, "grpo: passes over the replies of a step", least=1)
    dpo_beta: float = say(0.1, "dpo: weight of the reference", least=POSITIVE)
    own_pairs: bool = say(default=False, doc="dpo: compare the best and worst of own samples by the reward")


@dataclass(frozen=True, kw_only=True)
class OptimiserRecipe:
    """AdamW and its schedule. ``epochs`` decides the steps where ``steps`` is null."""

    steps: int | None = say(None, "steps; null: as many as epochs take", least=1)
    epochs: float = say(1.0, "passes over the lessons, where steps is null", least=POSITIVE)
    lessons: int = say(8, "lessons a step, over all processes", least=1)
    micro: int = say(
        8, "rows (grpo: replies) a forward pass and process: bounds memory, never changes the result", least=1
    )
    lr: float = say(1e-5, "peak learning rate", least=POSITIVE)
    warmup: float = say(0.0, "steps until the peak; below 1: a share of the steps", least=0)
    decay: Literal["constant", "linear", "cosine"] = say("linear", "from the peak to the last step")
    weight_decay: float = say(0.0, "AdamW's", least=0)
    clip_norm: float = say(1.0, "the gradient's norm is cut to this", least=POSITIVE)


@dataclass(frozen=True, kw_only=True)
class TextRecipe(RecipeFields):
    """A whole run."""

    name: str = say("text", "what the run is called in tables")
    method: Method = say("sft", "sft: imitate targets; grpo: learn from rewards; dpo: learn from pairs")
    model: str = say("smollm2-135m", "the model to start from: a catalog name, a hub id, a folder, a run's checkpoint")
    serve: str = say("", "options that the checkpoint serves with, as size=20&repeat=6")
    seed: int = say(0, "all that is random follows from it")
    save_every: int = say(10, "steps between states that a killed run goes on from", least=1)
    prompt: PromptRecipe = say(PromptRecipe, "")
    llm: ModelRecipe = say(ModelRecipe, "")
    data: DataRecipe = say(DataRecipe, "")
    sampling: SamplingRecipe = say(SamplingRecipe, "")
    reward: RewardRecipe = say(RewardRecipe, "")
    loss: LossRecipe = say(LossRecipe, "")
    optimiser: OptimiserRecipe = say(OptimiserRecipe, "")
    dev: DevRecipe = say(DevRecipe, "")
    guards: GuardRecipe = say(GuardRecipe, "")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dev.average != 1:
            raise InvalidInput(f"dev.average is {self.dev.average}; only score policies average weights: give 1")
        if self.llm.lora_rank is not None and self.llm.train_layers is not None:
            raise InvalidInput("llm.lora_rank and llm.train_layers exclude each other; set one of them to null")
        draws = self.method == "grpo" or (self.method == "dpo" and self.loss.own_pairs)
        if draws and self.sampling.samples < 2:
            raise InvalidInput(f"sampling.samples is {self.sampling.samples}; replies are compared: give 2 or more")
        self._check_likelihoods()
        rows = self.replies if self.method == "grpo" else self.optimiser.lessons
        if self.optimiser.micro < rows and rows % self.optimiser.micro:
            raise InvalidInput(f"optimiser.micro {self.optimiser.micro} does not divide the {rows} rows of a step")

    def _check_likelihoods(self) -> None:
        """What goes by the likelihoods of replies needs to have them, and a loss that is their mean."""
        exact = self.method == "grpo" and self.loss.advantage == "mean" and self.loss.kind == "dapo"
        if self.sampling.every and not (exact and self.sampling.engine == "transformers"):
            raise InvalidInput(
                "sampling.every is for grpo with loss.advantage=mean, loss.kind=dapo and sampling.engine=transformers"
            )
        if self.sampling.every and self.loss.beta and self.llm.lora_rank is not None:
            raise InvalidInput(
                "sampling.every with loss.beta needs the model before training: set llm.lora_rank to null"
            )
        if self.sampling.constrain:
            self._check_held()
        whole = self.loss.advantage == "mean" and not self.sampling.every and self.reward.shaping is None
        scores = self.prompt.kind == "group-scores" and not self.prompt.reasoning
        if self.loss.credit == "passage" and not (self.method == "grpo" and whole and scores):
            raise InvalidInput(
                "loss.credit=passage is for grpo of group-scores without reasoning, with loss.advantage=mean, "
                "sampling.every=false and no reward.shaping"
            )
        if self.loss.entropy and self.sampling.engine == "vllm":
            raise InvalidInput(
                "loss.entropy needs the likelihoods of what was drawn: give sampling.engine=transformers"
            )

    def _check_held(self) -> None:
        """Held replies are drawn here, and learnt where their log-probabilities are ours."""
        if self.method == "dpo" and not self.loss.own_pairs:
            raise InvalidInput(
                "sampling.constrain is for replies that are drawn: set loss.own_pairs to true, or leave it out"
            )
        if (
            self.sampling.every
            or self.sampling.engine == "vllm"
            or (self.method == "grpo" and not self.sampling.packed)
        ):
            raise InvalidInput(
                "sampling.constrain needs sampling.packed=true, sampling.every=false and sampling.engine=transformers"
            )

    @property
    def replies(self) -> int:
        """Replies of a step, over all processes."""
        return self.optimiser.lessons * self.sampling.samples

    def steps(self, lessons: int) -> int:
        """Steps for so many lessons."""
        told = self.optimiser
        return told.steps if told.steps is not None else max(1, round(told.epochs * lessons / told.lessons))

    def at(self, method: Method) -> Self:
        """The recipe, made sure that it is one of this method."""
        if self.method != method:
            raise InvalidInput(f"the recipe {self.name!r} is for {self.method}; use shortlist train {self.method}")
        return self
