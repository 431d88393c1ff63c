"""Rerankers by name: ``KIND:MODEL?options``, checkpoints, and chains of them.

Checkpoints are folders with a ``reranker_config.json`` that holds a kind, options, and the prompt they were trained with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, cast

from shortlist.backends.base import Backend
from shortlist.backends.cache import Store
from shortlist.backends.shared import Opened
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.rerankers.base import Ranker, Reranker
from shortlist.rerankers.compose import Cascade, Gate, Keep
from shortlist.rerankers.configuration import CONFIG
from shortlist.rerankers.cutoffs import parse_rule
from shortlist.rerankers.drivers import Driver, Freely, Rounds
from shortlist.rerankers.fusion import METHODS, Fused
from shortlist.rerankers.kinds import KINDS, Made, Order
from shortlist.rerankers.spec import Options, Spec, links
from shortlist.text.base import PromptBase


def open_reranker(
    name: str, *, store: Store | None = None, on_error: str = "report", opened: Opened | None = None
) -> Ranker:
    """The reranker that a name stands for: ``KIND:MODEL?options``, a checkpoint folder, or a chain of them.

    In a chain ``A >> B?depth=20`` the second reranks the first 20 of the first's order; alone, ``depth`` is how many of
    the candidates are reranked. ``gate=RULE`` spares the reranker those that the rule does not keep of the order before
    it (``gate=threshold:S`` the obvious negatives). Options of every kind:
    ``fuse=rrf|z-score|min-max`` with ``weight`` (the first stage's share), ``keep=top:K|threshold:S|gap|tokens:N``.
    Rerankers opened with the same ``opened`` share a model that they run alike.
    """
    stages = [(_open_link(link, store, on_error, opened)) for link in links(name)]
    if len(stages) == 1 and stages[0][1] is None:
        return stages[0][0]
    return Cascade(tuple(stages), name=name)


def _open_link(
    link: str, store: Store | None, on_error: str, opened: Opened | None
) -> tuple[Ranker, int | Gate | None]:
    if _checkpoint(link) is not None:
        spec, prompt = _read_checkpoint(link)
    else:
        spec, prompt = Spec.parse(link, KINDS), None
    options = Options(spec.text, spec.options, spec.idle)
    if not spec.model:
        raise InvalidInput(f"{link!r} names no model; write {spec.kind}:MODEL, as in cross-encoder:minilm-l12")
    made = KINDS[spec.kind](Order(spec.model, options, store, prompt, opened))
    ranker = _dressed(_reranker(link, made, options, on_error), options)
    depth, gate = options.maybe_whole("depth"), options.text("gate", "")
    options.done()
    return ranker, Gate(parse_rule(gate), depth) if gate else depth


def _reranker(link: str, made: Made, options: Options, on_error: str) -> Ranker:
    told = options.text("on_error", on_error, ("report", "raise"))
    name = options.text("name", link)
    on_error_checked = cast("Literal['report', 'raise']", told)
    return Reranker(
        policy=made.policy, strategy=made.strategy, name=name, driver=_driver(made.backend), on_error=on_error_checked
    )


def _driver(backend: Backend) -> Driver:
    """Backends with calls of uneven latency say how many they take at a time; the others get whole rounds."""
    concurrency = getattr(backend, "concurrency", None)
    return Rounds() if concurrency is None else Freely(concurrency)


def _dressed(ranker: Ranker, options: Options) -> Ranker:
    """With fusion and cutoff, if the options say so."""
    method = options.text("fuse", "", ("", *METHODS))
    weight = options.number("weight", 0.2)
    if not method and "weight" in options.values:
        raise InvalidInput(f"{options.owner}: weight goes with fuse, one of {', '.join(METHODS)}")
    if method:
        ranker = Fused(ranker, METHODS[method], weight=weight)
    rule = options.text("keep", "")
    return Keep(ranker, parse_rule(rule)) if rule else ranker


def _checkpoint(link: str) -> Path | None:
    path = Path(link.partition("?")[0]).expanduser()
    return path / CONFIG if (path / CONFIG).is_file() else None


def _read_checkpoint(link: str) -> tuple[Spec, PromptBase | None]:
    path = _checkpoint(link)
    assert path is not None  # noqa: S101 - the caller has looked
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        options = {name: str(value) for name, value in told.get("options", {}).items() if value is not None}
        prompt = _trained_with(told, path)
        name = told["kind"]
    except InvalidFile:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidFile(path, f"not a reranker's configuration: {problem}") from problem
    if name not in KINDS:
        raise UnknownName("reranker kind", name, KINDS)
    given = Spec.parse(f"{name}:x?{link.partition('?')[2]}" if "?" in link else f"{name}:x", KINDS).options
    return Spec(name, str(path.parent), {**options, **given}, link, frozenset(options) - frozenset(given)), prompt


def _trained_with(told: dict[str, Any], path: Path) -> PromptBase | None:
    """The prompt of a checkpoint; one that no longer shows what it showed in training is an error, not a surprise."""
    prompt = PromptBase.from_json(told["prompt"]) if told.get("prompt") else None
    wanted = told.get("prompt_sha256")
    found = None if prompt is None else prompt.fingerprint
    if wanted is not None and wanted != found:
        problem = (
            f"its prompt is not the one it was trained with (sha256 {wanted[:12]}…, here {(found or 'none')[:12]}…)"
        )
        raise InvalidFile(path, f"{problem}; use the version of shortlist that trained it")
    return prompt


def save_checkpoint_config(folder: Path, kind_name: str, options: dict[str, Any], prompt: PromptBase | None) -> None:
    """Write the ``reranker_config.json`` that makes a model folder a reranker."""
    if kind_name not in KINDS:
        raise UnknownName("reranker kind", kind_name, KINDS)
    told = {"kind": kind_name, "options": options, "prompt": prompt.to_json() if prompt else None}
    if prompt is not None:
        told["prompt_sha256"] = prompt.fingerprint
    (folder / CONFIG).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
