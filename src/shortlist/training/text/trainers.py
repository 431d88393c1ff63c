"""From rows to one of TRL's trainers behind the adapter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainingArguments

from shortlist.backends.torch_trie import TESTED
from shortlist.data.lessons import Lesson
from shortlist.errors import InvalidInput
from shortlist.rewards.text.shaping import SHAPES
from shortlist.training.networks import without_adapters
from shortlist.training.parallel import Processes
from shortlist.training.text import adapter, rows
from shortlist.training.text.control import Control
from shortlist.training.text.forms import reply_tokens
from shortlist.training.text.holding import Holding, check_room
from shortlist.training.text.lesson_order import places, unit_of
from shortlist.training.text.models import TextModel
from shortlist.training.text.pairs import own_pairs, remembered
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.rows import Renderer
from shortlist.training.text.sampling import Drawing
from shortlist.training.text.scoring import StepScorer, tools_needed, unscorable
from shortlist.training.text.tools import Rewarding

_NEW, _OLD = "activation_checkpointing", "gradient_checkpointing"
_CHECKPOINTING = _NEW if _NEW in TrainingArguments.__dataclass_fields__ else _OLD  # transformers is renaming it


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What is learnt from, and with what. ``limit``: the most tokens of a reply."""

    recipe: TextRecipe
    text: TextModel
    renderer: Renderer
    lessons: Sequence[Lesson]
    limit: int
    rewarding: Rewarding
    folder: Path
    note: Callable[[str], None]
    processes: Processes

    def laid_out(self) -> list[dict[str, Any]]:
        """The rows of all steps, in the order in which they are learnt from; lessons that give none are told of."""
        made, told = self._made(), self.recipe.optimiser
        units = [unit_of(self.lessons[row["lesson"]], i) for i, row in enumerate(made)]
        order = places(units, self.recipe.steps(len(made)), told.lessons, self.recipe.seed)
        return [made[place] for place in order]

    def _made(self) -> list[dict[str, Any]]:
        recipe, most = self.recipe, self.recipe.data.prompt_tokens
        if recipe.method == "dpo" and recipe.loss.own_pairs:
            return remembered(self.folder / "pairs.jsonl", self._own_pairs)
        if recipe.method == "sft":
            found = rows.imitation(self.renderer, self.lessons, most=most, hints=recipe.data.hints)
        else:
            make = {"dpo": rows.preference, "grpo": rows.reinforcement}[recipe.method]
            found = make(self.renderer, self.lessons, most=most)
        if recipe.method == "grpo":
            found = self._scorable(found)
        found.check(recipe.method)
        if found.left_out:
            self.note(
                f"{len(found.left_out)} of {len(self.lessons)} lessons are left out; the first: {found.left_out[0]}"
            )
        more = rows.answering(self.renderer, self.lessons) if recipe.data.answers and recipe.method == "sft" else []
        return found.rows + more

    def _scorable(self, found: rows.Rows) -> rows.Rows:
        """Without the lessons that the reward can make nothing of; one that asks models is not asked for that."""
        if tools_needed(self.recipe.reward.parts):
            return found
        lessons = [self.lessons[row["lesson"]] for row in found.rows]
        lost = set(unscorable(self.renderer.prompt, lessons, self.rewarding.reward()))
        told = [
            f"query {lessons[i].slate.query.id!r}: nothing in it that the reward could score by" for i in sorted(lost)
        ]
        return rows.Rows([row for i, row in enumerate(found.rows) if i not in lost], [*found.left_out, *told])

    def _own_pairs(self) -> list[dict[str, Any]]:
        return own_pairs(self.text, self.renderer, self.scorer(), self.drawing(self.lessons), seed=self.recipe.seed)

    def scorer(self) -> StepScorer:
        """Scores replies by the recipe's reward."""
        told = self.recipe
        shape = None if told.reward.shaping is None else SHAPES[told.reward.shaping]
        return StepScorer(self.lessons, self.renderer.prompt, self.rewarding.reward, told.sampling.samples, shape)

    def drawing(self, lessons: Sequence[Lesson]) -> Drawing:
        """How replies to these lessons are drawn."""
        told = self.recipe.sampling
        return Drawing(
            limit=self.limit,
            ends=self.text.ends,
            padding=self.text.tokens.padding,
            temperature=told.temperature,
            top_p=told.top_p,
            precision=self.recipe.llm.autocast,
            share=self.shares,
            holding=self._holding(lessons) if told.constrain else None,
        )

    def _holding(self, lessons: Sequence[Lesson]) -> Holding:
        languages, limits, prompt = {}, {}, self.renderer.prompt
        for lesson in lessons:
            asked = self.renderer.ask(lesson.slate)
            language, limit = prompt.language(asked.shown), reply_tokens(self.recipe, prompt, asked.shown)
            if language is not None:
                check_room(language, limit)
                languages[asked.ids], limits[asked.ids] = language, limit
        return Holding(
            constraints=self.text.tokens.constraints, languages=languages, limits=limits, ends=self.text.ends
        )

    def every(self) -> list[list[int]]:
        """The ids of all replies that a prompt has; raises :class:`InvalidInput` where they are not so many as samples."""
        prompt, samples = self.renderer.prompt, self.recipe.sampling.samples
        asked = self.renderer.ask(self.lessons[0].slate)
        labels = prompt.labels(asked.shown) if hasattr(prompt, "labels") else ()
        if len(labels) != samples or getattr(prompt, "reasoning", False):
            raise InvalidInput(
                f"prompt {prompt.kind!r} has {len(labels)} replies and sampling.samples is {samples}; sampling.every is for "
                "prompts whose reply is one of a few labels, with as many samples"
            )
        return [self.renderer.reply(asked, label) for label in labels]

    @property
    def shares(self) -> bool:
        """Whether what prompts begin with is read once: two forward passes in a step, which wrapped models do not take."""
        plain = without_adapters(self.text.model).config.model_type in TESTED
        return plain and self.processes.world == 1 and not self.recipe.llm.checkpointing


def make_trainer(
    learning: Learning, control: Control, laid: Sequence[dict[str, Any]], *, first: int, steps: int
) -> Any:
    """TRL's trainer for what is left of the steps."""
    rest = list(laid[first * learning.recipe.optimiser.lessons :])
    make = {"sft": _imitator, "dpo": _chooser, "grpo": _reinforcer}[learning.recipe.method]
    trainer = make(learning, control, rest, first, steps - first)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _imitator(learning: Learning, control: Control, rest: list[dict[str, Any]], first: int, steps: int) -> Any:  # noqa: ARG001
    told = _arguments(learning, steps, learning.recipe.optimiser.lessons)
    args = adapter.SFTConfig(**told, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True})
    common = _common(learning, control, args, _columns(rest, "input_ids", "labels"))
    return adapter.Imitator(**common, share=learning.shares)


def _chooser(learning: Learning, control: Control, rest: list[dict[str, Any]], first: int, steps: int) -> Any:  # noqa: ARG001
    told, recipe = _arguments(learning, steps, learning.recipe.optimiser.lessons), learning.recipe
    args = adapter.DPOConfig(**told, beta=recipe.loss.dpo_beta, max_length=None)
    common = _common(learning, control, args, _columns(rest, "prompt_ids", "chosen_ids", "rejected_ids"))
    return adapter.Chooser(**common, ref_model=_reference(learning, control))


def _reinforcer(learning: Learning, control: Control, rest: list[dict[str, Any]], first: int, steps: int) -> Any:
    recipe, scorer = learning.recipe, learning.scorer()
    scorer.facts = control.facts
    told = _arguments(learning, steps * recipe.loss.iterations, recipe.replies)
    args = adapter.GRPOConfig(
        **told,
        num_generations=recipe.sampling.samples,
        max_completion_length=learning.limit,
        steps_per_generation=told["gradient_accumulation_steps"],
        num_iterations=recipe.loss.iterations,
        temperature=recipe.sampling.temperature,
        top_p=recipe.sampling.top_p,
        beta=0.0,
        epsilon=recipe.loss.clip,
        loss_type=recipe.loss.kind,
        scale_rewards="none",
        shuffle_dataset=False,
        use_vllm=recipe.sampling.engine == "vllm",
    )
    job = adapter.Job(
        tokens=learning.text.tokens,
        score=scorer,
        drawing=learning.drawing([learning.lessons[place] for place in dict.fromkeys(row["lesson"] for row in rest)]),
        seed=recipe.seed,
        samples=recipe.sampling.samples,
        advantage=recipe.loss.advantage,
        beta=recipe.loss.beta,
        precision=recipe.llm.autocast,
        packed=recipe.sampling.packed,
        first=first,
        every=learning.every() if recipe.sampling.every else (),
        entropy=recipe.loss.entropy,
        credit=_credit(learning, scorer),
        reference=_reference(learning, control) if recipe.loss.beta else None,
    )
    common = _common(learning, control, args, _columns(rest, "prompt", "lesson"))
    del common["precision"]
    return adapter.Reinforcer(job=job, **common)


def _credit(learning: Learning, scorer: StepScorer) -> adapter.Credit | None:
    if learning.recipe.loss.credit == "reply":
        return None
    if not learning.rewarding.reward().knows_passages:
        raise InvalidInput(
            f"loss.credit is passage, and no part of the reward {learning.recipe.reward.parts!r} knows what single "
            "passages add: give ndcg or relative-ndcg, or loss.credit=reply"
        )
    return scorer.credit


def _common(learning: Learning, control: Control, args: Any, data: Dataset) -> dict[str, Any]:
    told = {"args": args, "train_dataset": data, "callbacks": [control], "precision": learning.recipe.llm.autocast}
    return {**told, "model": learning.text.model, "processing_class": learning.text.tokens.tokenizer}


def _columns(rest: list[dict[str, Any]], *names: str) -> Dataset:
    return Dataset.from_list([{name: row[name] for name in names} for row in rest])


def _reference(learning: Learning, control: Control) -> Any:
    """The model before training; with adapters it is the model without them."""
    if learning.recipe.llm.lora_rank is not None:
        return None
    frozen = copy.deepcopy(learning.text.model)
    if control.now.step:  # a run that goes on: its weights have moved already
        from shortlist.training.text.models import open_text_model

        frozen = open_text_model(learning.recipe.model, learning.recipe.llm, seed=learning.recipe.seed).model
    return frozen.requires_grad_(requires_grad=False).eval()


def _arguments(learning: Learning, steps: int, size: int) -> dict[str, Any]:
    """What TRL is told alike by all three methods; ``size``: rows a step, over all processes."""
    recipe, world = learning.recipe, learning.processes.world
    micro = min(recipe.optimiser.micro, size // world)
    if micro < 1 or size % (micro * world):
        raise InvalidInput(f"{size} rows a step are not shared out by {world} processes × optimiser.micro {micro}")
    return {
        "output_dir": str(learning.folder),
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": size // (micro * world),
        "learning_rate": recipe.optimiser.lr,
        "lr_scheduler_type": "constant",  # the rate is set before every step, by control
        "weight_decay": recipe.optimiser.weight_decay,
        "max_grad_norm": recipe.optimiser.clip_norm,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,
        _CHECKPOINTING: recipe.llm.checkpointing,
        "train_sampling_strategy": "sequential",
        "use_cpu": learning.text.model.device.type == "cpu",
        "dataloader_pin_memory": False,
        "seed": recipe.seed,
    }
