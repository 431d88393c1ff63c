"""A trained policy as a folder that transformers, sentence-transformers and Shortlist open.

Beside weights, configuration and tokenizer lie ``reranker_config.json`` (what kind of reranker it is, where it cuts,
how many it keeps, what its scores mean) and ``README.md``, its model card.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from shortlist.errors import InvalidFile, InvalidInput
from shortlist.rerankers.calibration import Platt
from shortlist.rerankers.catalog import save_checkpoint_config
from shortlist.rerankers.configuration import CONFIG
from shortlist.training.card import CardFacts, Checkpoint, model_card
from shortlist.training.policy import ScorePolicy

_NEWTON_STEPS = 100


def fit_platt(scores: Sequence[float], relevant: Sequence[bool]) -> Platt:
    """Maximum likelihood with Platt's targets, which shrink from 0 and 1 (Platt 1999; Newton as in Lin et al. 2007).

    Scores of development data, never of the training data. Raises :class:`InvalidInput` unless there are relevant and
    other passages.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(relevant, bool)
    if len(x) != len(y) or not y.any() or y.all() or not np.isfinite(x).all():
        raise InvalidInput(
            f"{int(y.sum())} of {len(x)} scores are of relevant passages; give finite ones of both kinds"
        )
    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
    spread = float(x.std()) or 1.0
    design = np.stack([(x - x.mean()) / spread, np.ones_like(x)], axis=1)
    weights = np.array([0.0, math.log((y.sum() + 1) / ((~y).sum() + 1))])
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(design, target, weights)
        weights += step
        if np.abs(step).max() < 1e-10:
            break
    slope = float(weights[0] / spread)
    return Platt(slope, float(weights[1] - slope * x.mean()))


def _newton_step(design: Any, target: Any, weights: Any) -> Any:
    """One step up the log-likelihood, halved until it does go up."""
    z = design @ weights
    p = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
    hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
    step = np.linalg.solve(hessian, design.T @ (target - p))
    while (
        _likelihood(design, target, weights + step) < _likelihood(design, target, weights)
        and np.abs(step).max() > 1e-10
    ):
        step = step / 2
    return step


def _likelihood(design: Any, target: Any, weights: Any) -> float:
    z = design @ weights
    return float((target * z - np.logaddexp(0, z)).sum())


# ------------------------------------------------------------------------------------------------ saving


def save_checkpoint(
    policy: ScorePolicy,
    folder: str | Path,
    *,
    card: CardFacts | None = None,
    calibration: Platt | None = None,
    at_most: int | None = None,
) -> Path:
    """Write the policy as it is now into ``folder``; what was there before is replaced when all is written.

    ``at_most``: the most passages that its null document may keep. A process killed in the midst leaves the old
    checkpoint or the new one: see :func:`restore_interrupted`. Raises :class:`InvalidFile` if it cannot be written.
    """
    with replaced(Path(folder)) as staged:
        _write(policy, staged, card or CardFacts(), calibration, at_most)
    return Path(folder)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A new folder to write a checkpoint into; at the end it takes the place of ``folder``.

    Raises :class:`InvalidFile` if the disk will not have it; what was there before is then kept.
    """
    restore_interrupted(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            staged = Path(scratch) / "checkpoint"
            staged.mkdir()
            yield staged
            _swap(staged, folder)
    except OSError as problem:
        raise InvalidFile(
            folder,
            f"the checkpoint cannot be written ({problem}); the one before is kept. Mend that, then go on with --resume",
        ) from problem


def restore_interrupted(folder: Path) -> bool:
    """Put a checkpoint back that a kill left under its old name, while the new one was about to take its place."""
    old = _previous(folder)
    if not old.is_dir():
        return False
    if folder.exists():
        shutil.rmtree(old)
        return False
    old.rename(folder)
    return True


def average(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several :meth:`ScorePolicy.state`, for :meth:`ScorePolicy.load_state`."""
    if not states or any(set(state) != set(states[0]) for state in states):
        raise InvalidInput(f"{len(states)} states of unlike policies, or none; give one or more of the same policy")
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}


def _write(policy: ScorePolicy, folder: Path, card: CardFacts, calibration: Platt | None, at_most: int | None) -> None:
    network, rule = policy.network, policy.rule(at_most=at_most)
    network.save(folder)
    options: dict[str, Any] = {"engine": "transformers"}  # also where an ONNX copy is put beside it later
    if network.kind == "cross-encoder":
        options["max_length"] = network.max_length
        _raw_logits(folder / "config.json")
    if rule is not None:
        options["keep"] = rule.spec
    save_checkpoint_config(folder, network.kind, options, network.prompt)
    told: dict[str, Any] = {"base": base_of(policy), "method": card.method}
    if calibration is not None:
        told["calibration"] = {"method": "platt", "a": calibration.a, "b": calibration.b}
    _amend(folder / CONFIG, told)
    facts = Checkpoint(kind=network.kind, options=options, prompt=network.prompt, base=base_of(policy))
    text = model_card(card, facts, calibrated=calibration is not None)
    (folder / "README.md").write_text(text, encoding="utf-8")


def base_of(policy: ScorePolicy) -> str:
    """What the policy was before training: a hub id where one is known."""
    local = policy.network.local
    return local.card.hub.repo if local.card is not None and local.card.hub is not None else local.name


def _raw_logits(path: Path) -> None:
    """Have sentence-transformers give the logits as they are."""
    _amend(path, {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}})


def _amend(path: Path, told: Mapping[str, Any]) -> None:
    known = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**known, **told}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _swap(staged: Path, folder: Path) -> None:
    """Two renames: between them the old checkpoint lies under its other name, where it is found again."""
    if folder.exists():
        folder.rename(_previous(folder))
    staged.rename(folder)
    shutil.rmtree(_previous(folder), ignore_errors=True)
