"""The adapter on TRL: it owns prompts, rewards, advantages and collators, and nothing else.

TRL's trainers keep their losses, optimiser loop, processes and devices. What is overridden: how prompts become ids (as
serving has it), who draws (shared prompts, a generator a reply), what replies are worth (one batched call a step), what
they are credited with (:mod:`~shortlist.training.text.advantages`), and how a step's replies are split (in order, so that
those of one prompt are packed). Some of these are private methods of TRL 1.16: tests pin each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import add_fused_lm_head, split_tensor_dict

from shortlist.backends.chat_tokens import ChatTokens
from shortlist.errors import InvalidInput
from shortlist.rewards.text.base import Credited
from shortlist.training.text.advantages import advantages, by_passage, expected, owners, spread, with_surprise
from shortlist.training.text.models import autocast, evaluating
from shortlist.training.text.packed import packed_logps, target_logps
from shortlist.training.text.sampling import Drawing, draw, every, seeds

Score = Callable[[Sequence[int], Sequence[str], Sequence[int], Sequence[float]], Sequence[float | None]]
"""Takes the places of lessons, replies, their lengths in tokens and weights, of a whole step; gives what each is worth."""

Credit = Callable[[Sequence[int], Sequence[str]], Sequence[Credited]]
"""Takes the places of lessons and replies of a whole step; gives what the score of each passage adds."""


class _InHalf:
    """Training steps under autocast; dev measurements are not, as serving is not."""

    precision = "none"

    def compute_loss_context_manager(self: Any) -> Any:
        return autocast(self.accelerator.device, self.precision)


class Imitator(_InHalf, SFTTrainer):  # type: ignore[misc, unused-ignore]
    """TRL's SFT over rows that are ids already.

    Without Triton TRL's fused head reads every position of a row, and a prompt is most of it; here it reads the targets alone.
    """

    def __init__(self, *, precision: str, share: bool = False, **told: Any) -> None:
        self.precision, self.share = precision, share
        super().__init__(**told)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = None, num_items_in_batch: Any = None) -> Any:
        """The mean negative log-likelihood of the targets of all processes, as TRL's ``nll`` has it."""
        if self.accelerator.device.type != "cpu" or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        rows = (inputs["input_ids"], inputs["attention_mask"], inputs["labels"])
        logps_T, entropy_T, best_T = target_logps(model, *rows, share=self.share)
        mine = torch.stack([entropy_T.sum(), best_T.sum(), best_T.new_tensor(len(best_T))])
        entropy, best, count = self.accelerator.gather_for_metrics(mine[None]).sum(dim=0).tolist()
        self._metrics["train"]["entropy"].append(entropy / max(count, 1.0))
        self._metrics["train"]["mean_token_accuracy"].append(best / max(count, 1.0))
        total = len(logps_T) if num_items_in_batch is None else num_items_in_batch
        loss = -logps_T.sum() / torch.as_tensor(total).clamp(min=1)
        shared = self.args.average_tokens_across_devices and num_items_in_batch is not None
        return loss * self.accelerator.num_processes if shared else loss


class Chooser(_InHalf, DPOTrainer):  # type: ignore[misc, unused-ignore]
    """TRL's DPO over rows that are ids already."""

    def __init__(self, *, precision: str, **told: Any) -> None:
        self.precision = precision
        super().__init__(**told)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


@dataclass
class Job:
    """What reinforcement needs to know beyond TRL's arguments. ``first``: the steps taken before this process began.

    ``every``: the ids of all replies that a prompt has, which then stand in place of draws. ``entropy``: the weight of the
    replies' entropy beside the reward. ``credit``: what each passage's score adds; tokens are then credited by the
    passage that they score.
    """

    tokens: ChatTokens
    score: Score
    drawing: Drawing
    seed: int
    samples: int
    advantage: str
    beta: float = 0.0
    precision: str = "none"
    packed: bool = True
    first: int = 0
    reference: Any = None
    every: Sequence[Sequence[int]] = ()
    entropy: float = 0.0
    credit: Credit | None = None
    drawn: int = field(default=0, init=False)


class Reinforcer(_InHalf, GRPOTrainer):  # type: ignore[misc, unused-ignore]
    """TRL's GRPO with our prompts, draws, rewards and advantages."""

    _buffered_inputs: Any
    _logps: Sequence[float] = ()
    """Of the replies drawn last, by this process; none where another engine drew."""
    _advantages: Sequence[Any] = ()
    """Of the replies of the whole step: a number each; with ``job.credit`` what :func:`by_passage` gives."""
    _before: Sequence[float] = ()
    """Theirs by the model before training, where every reply is told and beta asks for it."""

    def __init__(self, *, job: Job, **told: Any) -> None:
        self.job, self.precision = job, job.precision
        super().__init__(reward_funcs=[_reward], **told)
        self.beta = (
            0.0 if job.every else job.beta
        )  # set after the constructor, which would load the reference from a path
        if job.beta and job.reference is not None:
            add_fused_lm_head(job.reference, temperature=self.temperature)
            self.ref_model = self.accelerator.prepare_model(job.reference, evaluation_mode=True)

    # -------------------------------------------------------------------------------------------- prompts

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.job.tokens.prompt(prompt) for prompt in prompts], None, {}

    # -------------------------------------------------------------------------------------------- draws

    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **more: Any) -> Any:
        if self.use_vllm or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            if self.job.every or self.job.entropy or self.job.drawing.holding:
                raise InvalidInput(
                    "sampling.every, sampling.constrain and loss.entropy need replies drawn here: no vLLM, no sharded weights"
                )
            return super()._generate_single_turn(prompt_ids, *rest, **more)
        model = self.accelerator.unwrap_model(self.model_wrapped)
        start = self.accelerator.process_index * len(prompt_ids)
        rows = seeds(self.job.seed, self.job.first + self.job.drawn + 1, range(start, start + len(prompt_ids)))
        with evaluating(model):
            if self.job.every:
                found = every(model, prompt_ids, self.job.every, self.job.drawing)
            else:
                found = draw(model, prompt_ids, rows, self.job.drawing)
        if self.job.every and self.job.beta:
            before = every(self.ref_model, prompt_ids, self.job.every, self.job.drawing)
            self._before = [math.fsum(row) for row in before[1]]
        self._logps = [math.fsum(row) for row in found[1]]
        return found

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL's, without the shuffle: a step's gradient is a sum, and replies of a prompt belong together."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        every = self.args.steps_per_generation * self.num_iterations
        if self._step % every == 0 or self._buffered_inputs is None:
            drawn = self._generate_and_score_completions(generation_batch)
            self.job.drawn += 1
            self._buffered_inputs = split_tensor_dict(drawn, self.args.steps_per_generation)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    # -------------------------------------------------------------------------------------------- rewards, advantages

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:  # noqa: ARG002
        """All replies of the step in one call, by the first process; NaN where one cannot be scored."""
        places = gather_object([row["lesson"] for row in inputs])
        texts = gather_object([self.job.tokens.text(self._whole(ids)) for ids in completion_ids_list])
        lengths = gather_object([len(ids) for ids in completion_ids_list])
        logps = gather_object(self._logps or [0.0] * len(lengths))
        weights = [math.exp(logp) if self.job.every else 1.0 for logp in logps]
        told: list[Any] = [None, None]
        if self.accelerator.is_main_process:
            credited = None if self.job.credit is None else list(self.job.credit(places, texts))
            told = [list(self.job.score(places, texts, lengths, weights)), credited]
        rewards, credited = broadcast_object_list(told)
        learnt = with_surprise(rewards, logps, self.job.entropy) if self.job.entropy else rewards
        if self.job.every:
            before = [math.exp(logp) for logp in gather_object(self._before)] if self.job.beta else weights
            self._advantages = expected(learnt, weights, self.job.samples, before=before, beta=self.job.beta)
        elif credited is not None:
            self._advantages = by_passage(learnt, credited, self.job.samples)
        else:
            self._advantages = advantages(learnt, self.job.samples, self.job.advantage)
        values = [float("nan") if reward is None else reward for reward in rewards]
        return torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)[:, None]

    def _whole(self, ids: Sequence[int]) -> list[int]:
        return list(ids[:-1]) if ids and ids[-1] in self.job.drawing.ends else list(ids)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        drawn: dict[str, Any] = super()._generate_and_score_completions(inputs)
        start = self.accelerator.process_index * len(inputs)
        mine: Sequence[Any] = self._advantages[start : start + len(inputs)]
        if self.job.credit is not None:
            mine = self._by_token(drawn["completion_ids"], drawn["completion_mask"], mine)
        drawn["advantages"] = torch.tensor(mine, dtype=torch.float32, device=self.accelerator.device)
        return drawn

    def _by_token(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, credited: Any) -> list[list[float]]:
        """One advantage a token of this process's replies, 0 behind their ends."""
        rows: list[list[float]] = []
        for row, mask, (at_large, passages) in zip(ids_BT.tolist(), mask_BT.tolist(), credited, strict=True):
            ids = row[: sum(mask)]
            pieces = [self.job.tokens.text(self._whole(ids[: end + 1])) for end in range(len(ids))]
            told = spread(at_large, passages, owners(pieces, len(passages)))
            rows.append(told + [0.0] * (len(row) - len(told)))
        return rows

    # -------------------------------------------------------------------------------------------- log-probabilities

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **more: Any,
    ) -> Any:
        with autocast(self.accelerator.device, self.precision):
            if not self.job.packed:
                rows = (model, input_ids, attention_mask, logits_to_keep)
                return super()._get_per_token_logps_and_entropies(*rows, batch_size=batch_size, **more)
            size = batch_size or len(input_ids)
            how = self.job.drawing
            told = {"temperature": self.temperature, "share": how.share, "holding": how.holding}
            parts = [
                packed_logps(model, ids, mask, logits_to_keep, **told)
                for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
            ]
        return torch.cat([logps for logps, _ in parts]), torch.cat([entropy for _, entropy in parts]), None


def _reward(**_: Any) -> list[float]:
    """Never asked: rewards come from the job."""
    raise AssertionError("rewards come from the job")


__all__ = [
    "Chooser",
    "DPOConfig",
    "GRPOConfig",
    "Imitator",
    "Job",
    "Reinforcer",
    "SFTConfig",
    "Score",
]
