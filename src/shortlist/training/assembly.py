"""From a recipe and a data folder to a run: what is opened, what is filtered, and what is written at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shortlist.backends.store import Store
from shortlist.data.files import atomic_writer
from shortlist.errors import BudgetSpent, InvalidFile, InvalidInput
from shortlist.reading.base import Reader
from shortlist.rerankers.calibration import Platt
from shortlist.rewards.answer import ReaderReward, ReplyRead
from shortlist.rewards.base import PrefixReward, WeightedReward
from shortlist.rewards.cost import PassageCost, TokenCost
from shortlist.rewards.counters import Streak
from shortlist.rewards.environment import ReaderEnvironment
from shortlist.rewards.noise import flipped
from shortlist.training.card import CardFacts, Result
from shortlist.training.checkpoint import fit_platt, save_checkpoint
from shortlist.training.data import TrainingData, following, load_training
from shortlist.training.development import Development, Measured, watched
from shortlist.training.experience import Sampler
from shortlist.training.opening import LoRA
from shortlist.training.parallel import Processes
from shortlist.training.policy import ScorePolicy
from shortlist.training.progress import write_measured
from shortlist.training.recipe import Recipe
from shortlist.training.reward_parts import reward_parts
from shortlist.training.rrpo import Task
from shortlist.training.solvable import solvable
from shortlist.training.state import States
from shortlist.types import RerankRequest

Told = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

# what a run may be gone on with: it changes what a step costs, not what it does
FREE = ("reward.batch", "reward.workers", "reward.budget", "policy.trunk_megabytes", "save_every")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a run needs from outside: data, policy, reader. ``store`` keeps what models said."""

    recipe: Recipe
    run: Path
    data: TrainingData
    policy: ScorePolicy
    reader: Reader | None
    store: Store
    processes: Processes = Processes()


def load_data(recipe: Recipe, folder: str | Path) -> TrainingData:
    """The training and dev requests that a recipe asks for."""
    told = recipe.data
    data = load_training(
        folder,
        run=_inside(folder, told.run),
        depth=told.depth,
        train=_inside(folder, told.train) or "train",
        dev=_inside(folder, told.dev) or "dev",
        dev_share=told.dev_share,
        seed=recipe.seed,
        limit=told.limit,
        dev_limit=recipe.dev.queries,
        needs=recipe.learns_from,
    )
    return following(data, told.found, words=told.words) if told.found else data


def open_policy(recipe: Recipe) -> ScorePolicy:
    """The model to start from."""
    told = recipe.policy
    lora = None if told.lora_rank is None else LoRA(rank=told.lora_rank, alpha=told.lora_alpha)
    return ScorePolicy.open(
        recipe.model,
        stop=told.stop,
        max_length=told.max_length,
        lora=lora,
        seed=recipe.seed,
        train_layers=told.train_layers,
        dtype=told.dtype,
        batch_tokens=told.tokens,
        trunk_megabytes=told.trunk_megabytes,
        skip_below=told.skip_below,
    )


def assemble(opened: Opened, *, resume: bool = False, told: Told | None = None) -> Task:
    """The run: rewards, environments, the solvability filter, and what is written when there is something better.

    Raises:
        InvalidInput: the folder holds a run already, or, to go on with, a run of another recipe or other data; or
            no training query's reward varies.
    """
    recipe, processes = opened.recipe, opened.processes
    if processes.first:
        check_run(opened, resume=resume)
    processes.wait()
    parts, streak = reward_parts(recipe, opened.reader, opened.data.qrels), Streak()
    noisy = tuple((_noisy(part, recipe), weight) for part, weight in parts)
    environment = _environment(opened, WeightedReward(noisy), streak, budget=recipe.reward.budget)
    reward, heard = watched(parts, _watched(opened))
    development = Development(
        requests=opened.data.dev,
        environment=_environment(opened, reward, streak, budget=None),
        weights=recipe.weights,
        sampler=Sampler(recipe.sampling, opened.policy.stops),
        qrels=opened.data.qrels,
        heard=heard,
        processes=processes,
    )
    return Task(
        recipe=recipe,
        run=opened.run,
        requests=_chosen(opened, environment, told),
        policy=opened.policy,
        environment=environment,
        development=development,
        publish=lambda name, before, now: publish(opened, name, before, now),
        labels=opened.data.qrels if recipe.learns_from == "judgements" else None,
        store=opened.store,
        processes=processes,
    )


def _watched(opened: Opened) -> list[PrefixReward]:
    """What dev is told beside the reward: how good the reader's answers are, and how many of its replies can be read."""
    if opened.reader is None or not opened.recipe.asks_reader:
        return []
    rule = opened.recipe.reward.unanswerable
    answers = [ReaderReward(opened.reader, measure, unanswerable=rule) for measure in ("f1", "em")]
    return [*answers, ReplyRead(opened.reader)]


def _noisy(part: PrefixReward, recipe: Recipe) -> PrefixReward:
    """The part as a noisy supervisor tells it; what a passage costs is no matter of opinion."""
    if not recipe.reward.noise or isinstance(part, PassageCost | TokenCost):
        return part
    return flipped(part, recipe.reward.noise, recipe.seed)


def publish(opened: Opened, name: str, before: Measured, now: Measured) -> Path:
    """Write the policy as it is to ``checkpoints/NAME``, with its card."""
    if name == "best":
        write_measured(opened.run, "best", now)
    calibration = _calibration(now) if opened.policy.network.kind == "cross-encoder" else None
    folder = opened.run / "checkpoints" / name
    at_most = opened.recipe.sampling.k if opened.policy.stops else None
    return save_checkpoint(
        opened.policy, folder, card=_card(opened, before, now), calibration=calibration, at_most=at_most
    )


def check_run(opened: Opened, *, resume: bool) -> None:
    """See that the run folder is new, or that of the same run; write what the run is.

    ``recipe.yaml`` and ``data.json`` must agree with what is there, but for what changes no result.
    """
    recipe_path, data_path = opened.run / "recipe.yaml", opened.run / "data.json"
    told = {"name": opened.data.name, "train": len(opened.data.train), **_hashes(opened)}
    told |= {"dev": len(opened.data.dev), "notes": list(opened.data.notes)}
    if recipe_path.exists() and not resume:
        raise InvalidInput(f"{opened.run} holds a run already; go on with --resume, or give another folder")
    if recipe_path.exists():
        _check_same(opened, recipe_path, data_path)
    opened.run.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (data_path, json.dumps(told, ensure_ascii=False, indent=1) + "\n"),
        (recipe_path, opened.recipe.text()),
    ):
        with atomic_writer(path) as file:
            file.write(text.encode())


def _check_same(opened: Opened, recipe_path: Path, data_path: Path) -> None:
    old, new = Recipe.read(recipe_path).flat(), opened.recipe.flat()
    changed = [name for name, value in new.items() if value != old[name] and name not in FREE]
    if changed:
        told = "; ".join(f"{name} was {old[name]!r}, is {new[name]!r}" for name in changed)
        raise InvalidInput(
            f"{opened.run} is a run of another recipe ({told}); go on with its own, or give another folder"
        )
    try:
        known = json.loads(data_path.read_text(encoding="utf-8"))
        changed = [name for name, value in _hashes(opened).items() if known.get(name, value) != value]
    except (OSError, ValueError, AttributeError) as problem:
        raise InvalidFile(data_path, f"not what a run writes ({problem}); start anew in another folder") from problem
    if changed:
        what = (
            "queries or candidates" if "fingerprint" in changed else "gold answers or judgements, or in another order"
        )
        raise InvalidInput(f"{opened.run} was begun with other {what}; give it the data it began with")


def _hashes(opened: Opened) -> dict[str, str]:
    """What tells one data set from another."""
    return {"fingerprint": opened.data.fingerprint, "supervision": opened.data.supervision}


def _chosen(opened: Opened, environment: ReaderEnvironment, told: Told | None) -> Sequence[RerankRequest]:
    """The training queries that can be learnt from; found once, by the first process, and remembered in the folder."""
    path, recipe = opened.run / "solvable.json", opened.recipe
    asked = recipe.data.solvable and recipe.objective != "supervised"
    if not asked:
        return opened.data.train
    if opened.processes.first and not _trusted(path, opened.run):
        tell = (lambda done, total: told("which queries can be learnt from", done, total)) if told else None
        kept = _filtered(opened, environment, tell)
        with atomic_writer(path) as file:
            file.write(json.dumps(kept, ensure_ascii=False).encode())
    opened.processes.wait()
    known = json.loads(path.read_text(encoding="utf-8"))
    if opened.processes.first and "asked" in known:  # a run that was killed before its first state has spent it, too
        environment.load_state_dict(known["asked"])
    wanted = set(known["kept"])
    return [request for request in opened.data.train if request.query.id in wanted]


def _trusted(path: Path, run: Path) -> bool:
    """Whether it is known what can be learnt from; not if the reader fell silent then, and no state tells that it spoke."""
    if not path.exists():
        return False
    return not json.loads(path.read_text(encoding="utf-8")).get("silent") or States(run).last() is not None


def _filtered(
    opened: Opened, environment: ReaderEnvironment, tell: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """What there is to remember of the filter. Raises :class:`InvalidInput` if it keeps nothing."""
    recipe = opened.recipe
    samples, k = recipe.data.solvable_samples, recipe.sampling.k
    try:
        found = solvable(opened.data.train, environment, samples=samples, k=k, seed=recipe.seed, on_progress=tell)
    except BudgetSpent as spent:
        raise InvalidInput(
            f"the budget does not last to find out which queries can be learnt from ({spent}): up to {samples} shortlists "
            f"of each of {len(opened.data.train)} are read for it; raise reward.budget, or set data.solvable=false"
        ) from spent
    if not found.kept:
        raise InvalidInput(
            f"no training query can be learnt from: {found.summary}; try another reader or reward, or more data"
        )
    kept, silent = [request.query.id for request in found.kept], environment.streak.failures > 0
    return {"summary": found.summary, "kept": kept, "asked": environment.state_dict(), "silent": silent}


def _environment(opened: Opened, reward: WeightedReward, streak: Streak, *, budget: int | None) -> ReaderEnvironment:
    told, share = opened.recipe.reward, None if budget is None else budget // opened.processes.world
    more: dict[str, Any] = {"key": told.key, "budget": share, "batch": told.batch, "workers": told.workers}
    return ReaderEnvironment(reward, opened.store, streak=streak, **more)


def _inside(folder: str | Path, name: str | None) -> Path | None:
    """A file by its path, or by its name inside of the data folder."""
    if name is None:
        return None
    found = next((path for path in (Path(folder) / name, Path(name)) if path.is_file()), None)
    if found is None:
        raise InvalidInput(f"there is no file {name}, neither in {folder} nor as a path of its own")
    return found


def _calibration(now: Measured) -> Platt | None:
    """What scores mean, from dev passages that hold an answer, or are judged relevant.

    ``None`` if none or all do, or if higher scores mean less: a probability has to rank as its score does.
    """
    scores = [score for record in now.records for score in record["scores"]]
    labels = [label > 0 for record in now.records for label in record["labels"]]
    found = fit_platt(scores, labels) if any(labels) and not all(labels) else None
    return found if found is not None and found.a > 0 else None


def _card(opened: Opened, before: Measured, now: Measured) -> CardFacts:
    recipe, data = opened.recipe, opened.data
    setting = f"{recipe.data.depth} candidates, {recipe.sampling.k} kept" + (
        f", reader {recipe.reader}" if recipe.asks_reader else ""
    )
    results = tuple(
        Result(
            dataset=f"{data.name} (dev)",
            measure=name,
            value=value,
            before=before.values.get(name),
            setting=setting,
            queries=len(now.records),
        )
        for name, value in now.values.items()
        if name in {"reward", "f1", "em", "ndcg@10"} and value == value  # noqa: PLR0124 - not NaN
    )
    told = f"{len(data.train)} training queries of {data.name}, {len(data.dev)} to choose by. {'; '.join(data.notes)}."
    if recipe.data.found:
        told += f" It scores what to read beside what was found: open it as {recipe.reranker('path/to/this/folder')}."
    return CardFacts(
        title=recipe.name,
        method=recipe.objective,
        datasets=(data.name,),
        data=told,
        recipe=recipe.text(),
        seeds=(recipe.seed,),
        results=results,
    )


def manifest(opened: Opened, about: Mapping[str, Any]) -> None:
    """Write where the run's numbers come from."""
    told = {**about, "data": opened.data.name, "fingerprint": opened.data.fingerprint, "policy": opened.policy.identity}
    told["reader"] = None if opened.reader is None else opened.reader.identity
    with atomic_writer(opened.run / "manifest.json") as file:
        file.write(json.dumps(told, ensure_ascii=False, indent=1).encode())
