"""What a recipe needs before it starts: parameters, memory, tokens, steps, rough hours.

The formulas, so that they can be argued with (N parameters in all, M of them trained, b bytes a weight):

* weights N·b, split over the devices (ZeRO-3 / FSDP), as are gradients M·t and AdamW 2·M·t (t is 4: what is trained is
  float32, adapters always; 2 where all weights are trained in bfloat16, which loses updates below 1/256 of a weight);
  a reference for KL or DPO N·b, none with adapters;
* activations: with checkpointing layers·tokens·hidden·b, else 17 times that (Korthikanti et al. 2022, without the
  attention matrix), of the layers that are trained; logits tokens·vocabulary·4, for the tokens of a micro-batch (with
  ``packed`` the prompt counts once a group);
* cache of a drawing: 2·layers·kv heads·head size·b for each token of the rows drawn at a time (64; vLLM: up to 256),
  prompts counted once;
* work: 6·N' FLOP a token trained (2 forward, 4 backward: 2·N + 2·N + 2·M), 2·N a token drawn or scored by a reference;
  training reaches ``utilisation`` of the peak, drawing an eighth of that (it is bound by memory, not by arithmetic).

Rewards (a reader, a judge), dev measurements, loading and waiting between nodes are not counted. Expect a factor of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shortlist.data.lessons import Lesson, read_lessons
from shortlist.errors import InvalidInput
from shortlist.text.base import GOLDEN
from shortlist.text.truncation import approximate_count, cut_slate
from shortlist.training.text.forms import fitted_lessons, prompt_of, reply_tokens
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.sizes import Shape, shape_of
from shortlist.types import Candidate, Document, Query, Slate

GIB = 2**30
_DRAWING_SHARE = 0.125
_SPLIT = "weights, gradients and AdamW split over the devices (accelerate launch --use_fsdp --fsdp_version 2); "
_TYPICAL_REASONING = 800  # tokens: what published policies write once trained, where the prompt allows more


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """``memory`` in GiB a device, ``tflops``: the peak of each, ``utilisation``: the share of it that training reaches."""

    gpus: int = 1
    memory: float = 80.0
    tflops: float = 990.0
    utilisation: float = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is read and written: lessons, and the mean tokens of a prompt and of a reply."""

    lessons: int
    prompt: float
    reply: float
    most_reply: int
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Memory in GiB a device, by part; tokens over the whole run; hours on the hardware."""

    recipe: str
    method: str
    model: str
    parameters: int
    trained: int
    memory: dict[str, float]
    fits: bool
    steps: int
    tokens: dict[str, int]
    hours: dict[str, float]
    load: Load
    hardware: Hardware

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def text(self) -> str:
        """As the command prints it."""
        told, machine = self.load, self.hardware
        by = "counted" if told.counted else "guessed"
        whole = sum(self.memory.values())
        verdict = "fits" if self.fits else f"does NOT fit into {machine.memory:g} GiB"
        lines = [
            f"{self.recipe}: {self.method} of {self.model}",
            f"  parameters   {self.parameters / 1e9:.2f} B, {self.trained / 1e9:.3f} B of them trained",
            (
                f"  lessons      {told.lessons:,}; prompts of {told.prompt:,.0f} tokens, replies of {told.reply:,.0f} "
                f"({by}; at most {told.most_reply:,})"
            ),
            f"  steps        {self.steps:,}",
            "  tokens       " + ", ".join(f"{name} {count / 1e6:,.1f} M" for name, count in self.tokens.items()),
            f"  memory       {whole:.1f} GiB a device, {verdict}: "
            + ", ".join(f"{name} {size:.1f}" for name, size in self.memory.items()),
            f"  hours        {sum(self.hours.values()):,.1f} on {machine.gpus} × {machine.tflops:g} TFLOPS: "
            + ", ".join(f"{name} {hours:,.1f}" for name, hours in self.hours.items()),
            (
                f"  assumed      {machine.utilisation:.0%} of the peak in training, "
                f"{machine.utilisation * _DRAWING_SHARE:.1%} in drawing; {_SPLIT if machine.gpus > 1 else ''}"
                "rewards and dev not counted"
            ),
        ]
        return "\n".join(lines)


def make_plan(recipe: TextRecipe, load: Load, hardware: Hardware) -> Plan:
    """The plan of a recipe; raises :class:`InvalidInput` for a model whose shape is not known."""
    shape = shape_of(recipe.model)
    if recipe.llm.keep_layers is not None:
        shape = replace(shape, layers=min(recipe.llm.keep_layers, shape.layers))
    trained = _trained(recipe, shape)
    steps = recipe.steps(load.lessons)
    tokens = _tokens(recipe, load, steps)
    memory = _memory(recipe, shape, trained, load, hardware)
    return Plan(
        recipe=recipe.name,
        method=recipe.method,
        model=recipe.model,
        parameters=shape.parameters,
        trained=trained,
        memory=memory,
        fits=sum(memory.values()) <= 0.92 * hardware.memory,
        steps=steps,
        tokens=tokens,
        hours=_hours(shape, trained, tokens, hardware),
        load=load,
        hardware=hardware,
    )


def _trained(recipe: TextRecipe, shape: Shape) -> int:
    if recipe.llm.lora_rank is not None:
        return shape.adapters(recipe.llm.lora_rank)
    if recipe.llm.train_layers is not None:
        return min(recipe.llm.train_layers, shape.layers) * shape.layer
    return shape.parameters


def _tokens(recipe: TextRecipe, load: Load, steps: int) -> dict[str, int]:
    rows = steps * recipe.optimiser.lessons
    prompt, reply = load.prompt, load.reply
    if recipe.method == "sft":
        return {"trained": round(rows * (prompt + reply))}
    if recipe.method == "dpo":
        told = {"trained": round(rows * 2 * (prompt + reply)), "reference": round(rows * 2 * (prompt + reply))}
        drawn = load.lessons * (prompt + recipe.sampling.samples * reply) if recipe.loss.own_pairs else 0
        return {**told, **({"drawn": round(drawn)} if drawn else {})}
    group = recipe.sampling.samples
    once = prompt + group * reply if recipe.sampling.packed else group * (prompt + reply)
    told = {"drawn": round(rows * (prompt + group * reply)), "trained": round(rows * once * recipe.loss.iterations)}
    return {**told, **({"reference": round(rows * once)} if recipe.loss.beta else {})}


def _memory(recipe: TextRecipe, shape: Shape, trained: int, load: Load, hardware: Hardware) -> dict[str, float]:
    size = 4 if recipe.llm.dtype == "float32" else 2
    moved = 2 if size == 2 and recipe.llm.lora_rank is None else 4
    shared = hardware.gpus
    keeps_reference = recipe.llm.lora_rank is None and (
        recipe.method == "dpo" or (recipe.method == "grpo" and recipe.loss.beta > 0)
    )
    longest = load.prompt + load.most_reply
    micro, rows = recipe.optimiser.micro, longest * recipe.optimiser.micro
    if recipe.method == "grpo" and recipe.sampling.packed:
        groups = max(1, micro // recipe.sampling.samples)
        rows = groups * load.prompt + micro * load.most_reply
    if recipe.method == "dpo":
        rows *= 2
    wide = 2 if recipe.llm.autocast == "bfloat16" else size
    layers = min(recipe.llm.train_layers or shape.layers, shape.layers)  # frozen ones below keep nothing
    activations = rows * layers * shape.hidden * wide * (1 if recipe.llm.checkpointing else 17)
    scored = rows if recipe.method != "grpo" else micro * load.most_reply
    told = {
        "weights": shape.parameters * size / shared,
        "gradients": trained * moved / shared,
        "AdamW": 2 * trained * moved / shared,
        "activations": activations,
        "logits": scored * shape.vocabulary * 4.0,
    }
    if keeps_reference:
        told["reference"] = shape.parameters * size / shared
    if recipe.method == "grpo" or recipe.loss.own_pairs:
        group = recipe.sampling.samples
        at_once = 256 if recipe.sampling.engine == "vllm" else 64
        drawn = max(1, min(recipe.optimiser.lessons // shared, at_once // group))
        told["cache"] = drawn * (load.prompt + group * load.most_reply) * shape.cache * min(size, wide)
    return {name: value / GIB for name, value in told.items()}


def _hours(shape: Shape, trained: int, tokens: dict[str, int], hardware: Hardware) -> dict[str, float]:
    whole, learnt = shape.parameters, trained
    work = {"trained": 2 * whole + 2 * whole + 2 * learnt, "reference": 2 * whole, "drawn": 2 * whole}
    speed = hardware.gpus * hardware.tflops * 1e12 * hardware.utilisation
    share = {"drawn": _DRAWING_SHARE}
    return {name: work[name] * count / (speed * share.get(name, 1.0)) / 3600 for name, count in tokens.items()}


# ------------------------------------------------------------------------------------------------ what is read and written


def load_for(recipe: TextRecipe, path: Path | None, *, count: int = 10_000, passages: int = 20) -> Load:
    """Counted on up to 200 of the lessons of a file, else of ``count`` lessons of full passages."""
    prompt = prompt_of(recipe.prompt)
    if path is None:
        slates = [_typical(prompt, passages)]
        lessons = count * (passages if prompt.slate_size == 1 else 1)
    else:
        found = fitted_lessons(prompt, read_lessons(path))
        if not found:
            raise InvalidInput(f"{path} holds no lessons")
        slates, lessons = _spread(found), len(found)
    lengths = [_length(prompt, slate) for slate in slates]
    most = max(reply_tokens(recipe, prompt, slate) for slate in slates)
    return Load(
        lessons=lessons,
        prompt=sum(lengths) / len(lengths),
        reply=float(min(most, _TYPICAL_REASONING)),
        most_reply=most,
        counted=path is not None,
    )


def _spread(lessons: Sequence[Lesson]) -> list[Slate]:
    step = max(1, len(lessons) // 200)
    return [lesson.slate for lesson in lessons[::step]]


def _typical(prompt: Any, passages: int) -> Slate:
    words = " ".join(["words"] * prompt.passage_tokens)
    n = prompt.slate_size or passages
    query = Query(id=GOLDEN.query.id, text=" ".join(["word"] * 12))
    return Slate(query, tuple(Candidate(Document(id=str(i), text=words)) for i in range(n)))


def _length(prompt: Any, slate: Slate) -> int:
    shown = cut_slate(slate, prompt.passage_tokens, query_tokens=prompt.query_tokens)
    return sum(approximate_count(message.content) + 4 for message in prompt.render(shown))
