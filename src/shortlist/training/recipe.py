"""A recipe: everything that decides a training run, in one frozen value with a default and a line of words for each field.

It is read from YAML, changed by ``section.field=value``, and written back whole beside the results
(:mod:`shortlist.training.fields`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shortlist.errors import InvalidInput
from shortlist.training.fields import POSITIVE, RecipeFields, say

Form = Literal["prefix", "to_go", "terminal", "marginal", "gae_terminal", "gae_literal"]
Baseline = Literal["none", "reference", "current", "leave_one_out", "group_mean", "mixed"]
Action = Literal["warn", "rollback", "stop"]


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Which questions are learnt from, and what they choose among."""

    run: str | None = say(None, "first-stage candidates, a TREC run inside the data folder; none: BM25 over the corpus")
    depth: int = say(20, "so many candidates of each query are scored and drawn from", least=1)
    found: int = say(
        0,
        "so many of the first candidates are found already: they join the question, as hops has it, and what is drawn"
        " is read behind them",
        least=0,
    )
    words: int = say(60, "words of each found passage's text that join the question, after its title", least=0)
    train: str | None = say(None, "a JSONL file of training queries inside the data folder; none: the split train")
    dev: str | None = say(None, "a JSONL file of queries to choose by; none: the split dev, or a seeded part of train")
    dev_share: float = say(
        0.1, "the part of the training queries that becomes dev where the folder has none", least=0, most=1
    )
    limit: int | None = say(None, "only the first so many training queries; none: all", least=1)
    solvable: bool = say(default=True, doc="keep only queries whose reward varies over sampled shortlists")
    solvable_samples: int = say(4, "so many shortlists are sampled a query to find that out", least=2)


@dataclass(frozen=True, kw_only=True)
class PolicyRecipe:
    """What is trained of the model."""

    max_length: int = say(256, "tokens of a query and passage together; the passage is cut", least=1)
    train_layers: int | None = say(None, "only the last so many layers and the head are trained; none: all", least=1)
    lora_rank: int | None = say(
        None, "train low-rank adapters of this rank instead (LLM scorers); none: the weights", least=1
    )
    lora_alpha: int = say(32, "scale of the adapters", least=0)
    stop: bool = say(default=False, doc="learn how many to keep: a null document whose score ends the shortlist")
    dtype: Literal["float32", "bfloat16"] = say("float32", "precision of the arithmetic; weights are kept in float32")
    tokens: int = say(1024, "padded tokens a micro-batch: bounds memory", least=1)
    trunk_megabytes: int = say(512, "room for the output of frozen layers, kept from step to step", least=0)
    skip_below: float = say(
        0.0, "passages whose gradient is below this share of the largest are not run backwards", least=0, most=0.99
    )


@dataclass(frozen=True, kw_only=True)
class SamplingRecipe:
    """How shortlists are drawn from the scores (Plackett–Luce)."""

    samples: int = say(8, "shortlists drawn for each query and step", least=1)
    k: int = say(3, "passages of a shortlist: the most, where the policy can stop", least=1)
    temperature: float = say(1.0, "scores are divided by this; higher explores more", least=POSITIVE)
    standardise: bool = say(default=True, doc="scores of a query are brought to mean 0 and deviation 1 first")


@dataclass(frozen=True, kw_only=True)
class RewardRecipe:
    """What a shortlist is worth: named parts, each in a fixed range, and their weights."""

    f1: float = say(1.0, "weight of the answer's token F1, in [0, 1]")
    em: float = say(0.0, "weight of the answer's exact match, 0 or 1")
    likelihood: float = say(0.0, "weight of the gold answer's likelihood under the reader, in [0, 1]")
    has_answer: float = say(0.0, "weight of whether a passage holds a gold answer's words, 0 or 1: no reader is asked")
    ndcg: float = say(0.0, "weight of nDCG at sampling.k from the judgements: no reader is asked")
    recall: float = say(0.0, "weight of recall at sampling.k from the judgements")
    passage_cost: float = say(0.0, "weight of −(passages kept)/k")
    token_cost: float = say(0.0, "weight of −(words kept)/token_scale")
    token_scale: int = say(512, "so many tokens cost 1 × token_cost", least=1)
    unanswerable: Literal["abstain", "mask"] = say(
        "mask", "queries without answers: reward abstaining, or do not score them"
    )
    noise: float = say(
        0.0, "share of shortlists whose rewards are flipped (costs are not), for robustness runs", least=0, most=1
    )
    key: Literal["ordered", "set"] = say("ordered", "what the cache knows a shortlist by")
    budget: int | None = say(None, "the reader is asked at most so often; none: as often as needed", least=0)
    batch: int = say(32, "shortlists given to the reader at a time", least=1)
    workers: int = say(1, "batches that are read at once: more than 1 only for servers", least=1)


@dataclass(frozen=True, kw_only=True)
class CreditRecipe:
    """How rewards become advantages of single picks."""

    form: Form = say("to_go", "which rewards a pick is credited with")
    eta: float = say(0.95, "to_go: how much a later reward counts, per step", least=0, most=1)
    gamma: float = say(1.0, "gae: discount", least=0, most=1)
    lam: float = say(0.95, "gae: lambda", least=0, most=1)
    baseline: Baseline = say("mixed", "what is subtracted: what the list would have been worth anyway")
    share: float = say(
        0.5, "mixed: the part of leave-one-out; the rest is the reference's greedy list", least=0, most=1
    )
    normalise: Literal["none", "group", "window"] = say("none", "divide by a deviation: of the samples, or of a window")
    window: int = say(1024, "so many recent advantages make the window", least=1)


@dataclass(frozen=True, kw_only=True)
class LossRecipe:
    """How far a step may go."""

    ratio: Literal["old", "reference"] = say(
        "old", "probabilities are compared with those that drew, or the reference's"
    )
    clip: float = say(0.2, "a ratio is not rewarded for leaving 1 ± clip", least=POSITIVE)
    kl: Literal["exact", "k1", "k3"] = say("exact", "how the distance from the reference is measured")
    beta: float = say(0.02, "weight of that distance", least=0)
    entropy: float = say(0.0, "weight of the entropy of the picks, as a bonus", least=0)
    tau: float = say(0.1, "distil: temperature of the reader's scores", least=POSITIVE)
    dpo_beta: float = say(0.1, "dpo: weight of the reference", least=POSITIVE)


@dataclass(frozen=True, kw_only=True)
class OptimiserRecipe:
    """AdamW and its schedule."""

    steps: int = say(300, "steps, each on one batch of queries", least=1)
    queries: int = say(8, "queries a step, over all processes", least=1)
    epochs: int = say(1, "passes over the shortlists of a step", least=1)
    lr: float = say(1e-5, "peak learning rate", least=POSITIVE)
    null_lr: float | None = say(None, "learning rate of the null document; none: 100 × lr, at least 1e-3", least=0)
    warmup: int = say(20, "steps until the peak", least=0)
    decay: Literal["constant", "linear", "cosine"] = say("linear", "from the peak to the last step")
    weight_decay: float = say(0.01, "AdamW's", least=0)
    clip_norm: float = say(1.0, "the gradient's norm is cut to this", least=POSITIVE)


@dataclass(frozen=True, kw_only=True)
class DevRecipe:
    """Choosing among checkpoints, on queries that are neither learnt from nor reported on."""

    every: int = say(25, "steps between measurements", least=1)
    queries: int | None = say(200, "only the first so many dev queries; none: all", least=1)
    measure: str = say("reward", "what is maximised: reward, ndcg@10, or a part of the reward by its name")
    patience: int | None = say(6, "stop after so many measurements without a better one; none: never", least=1)
    average: int = say(
        1, "average the weights of the so many best, and keep them if they are better; 1: do not", least=1
    )


@dataclass(frozen=True, kw_only=True)
class GuardRecipe:
    """Alarms of a run that goes wrong. NaN always ends it."""

    kl: float | None = say(2.0, "nats a pick from the reference", least=0)
    entropy: float | None = say(0.02, "nats a pick: below it nothing is explored", least=0)
    zero_variance: float | None = say(0.98, "share of queries whose samples all have one reward", least=0, most=1)
    format: float | None = say(
        0.5, "share of replies that can be read (a reader's on dev; a writer's own)", least=0, most=1
    )
    failures: float | None = say(0.5, "share of rewards that could not be had", least=0, most=1)
    drop: float | None = say(None, "dev falls so far below its best", least=0)
    patience: int = say(5, "so many steps in a row raise an alarm", least=1)
    action: Action = say("warn", "warn; go back to the best weights at half the rate; or stop")
    rollbacks: int = say(3, "so many times, then stop", least=0)


@dataclass(frozen=True, kw_only=True)
class Recipe(RecipeFields):
    """A whole run."""

    name: str = say("rrpo", "what the run is called in tables")
    model: str = say("minilm-l12", "the reranker to start from: a catalog name, a hub id or a folder")
    reader: str | None = say(
        "smollm2-135m?abstain=false&max_tokens=16", "who answers; as --reader of shortlist evaluate"
    )
    objective: Literal["rrpo", "dpo", "list_mle", "distil", "supervised"] = say(
        "rrpo", "what is learnt from the same samples"
    )
    seed: int = say(0, "all that is random follows from it")
    overlap: bool = say(
        default=True, doc="read the next shortlists while training on these: one step stale, told by the ratio"
    )
    save_every: int = say(10, "steps between states that a killed run goes on from", least=1)
    data: DataRecipe = say(DataRecipe, "")
    policy: PolicyRecipe = say(PolicyRecipe, "")
    sampling: SamplingRecipe = say(SamplingRecipe, "")
    reward: RewardRecipe = say(RewardRecipe, "")
    credit: CreditRecipe = say(CreditRecipe, "")
    loss: LossRecipe = say(LossRecipe, "")
    optimiser: OptimiserRecipe = say(OptimiserRecipe, "")
    dev: DevRecipe = say(DevRecipe, "")
    guards: GuardRecipe = say(GuardRecipe, "")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weights:
            raise InvalidInput("all weights of reward are 0; give one, as reward.f1=1")
        if self.credit.baseline in {"leave_one_out", "mixed", "group_mean"} and self.sampling.samples < 2:
            raise InvalidInput(f"credit.baseline {self.credit.baseline} needs sampling.samples of 2 or more")
        if self.objective in {"dpo", "list_mle"} and self.sampling.samples < 2:
            raise InvalidInput(f"objective {self.objective} compares samples; give sampling.samples of 2 or more")
        if self.credit.normalise == "group" and self.sampling.samples < 2:
            raise InvalidInput("credit.normalise group compares samples; give sampling.samples of 2 or more")
        if self.asks_reader and self.reader is None:
            raise InvalidInput(
                "the reward asks a reader and there is none; give reader=MODEL, or reward.ndcg=1 reward.f1=0"
            )

    @property
    def weights(self) -> dict[str, float]:
        """The parts of the reward that count."""
        parts = ("f1", "em", "likelihood", "has_answer", "ndcg", "recall", "passage_cost", "token_cost")
        return {part: weight for part in parts if (weight := getattr(self.reward, part))}

    def reranker(self, checkpoint: str | Path) -> str:
        """What is given to ``--reranker`` for a checkpoint: its folder, or of a later look the hops that it is part of."""
        if not self.data.found:
            return str(checkpoint)
        hops = f"hops={self.data.found + 1}&" if self.data.found > 1 else ""
        return f'"hops:{self.model}?{hops}later={checkpoint}"'

    @property
    def learns_from(self) -> Literal["answers", "judgements"]:
        """What every training query must have, and what is right to the supervised objective."""
        return "answers" if self.asks_reader or "has_answer" in self.weights else "judgements"

    @property
    def asks_reader(self) -> bool:
        """Whether a reader is needed."""
        return bool(self.weights.keys() & {"f1", "em", "likelihood"})
