"""`shortlist doctor`: is the environment whole, and does a reranker do what it should on pairs that leave no doubt?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Annotated, Any, Optional

import typer
from rich.table import Table

from shortlist._version import __version__
from shortlist.backends.models import home, is_cached, known_models
from shortlist.cli import options
from shortlist.cli.common import open_store
from shortlist.cli.console import out, put_json, warn
from shortlist.errors import BackendError
from shortlist.rerankers.base import Ranker, Reranker
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.compose import Cascade, Keep
from shortlist.rerankers.fusion import Fused
from shortlist.types import RerankRequest

EXTRAS = {
    "onnx": ("onnxruntime", "tokenizers"),
    "gguf": ("xllamacpp",),
    "local": ("torch", "transformers", "accelerate", "gguf"),
    "encoder": ("sentence_transformers",),
    "eval": ("ir_measures", "pytrec_eval"),
    "datasets": ("ir_datasets",),
    "fast": ("numba",),
    "vllm": ("vllm",),
}
DISTRIBUTIONS = {"pytrec_eval": "pytrec-eval-terrier"}

GOLDEN = (
    (
        "what is the boiling point of water at sea level",
        "At sea level, water boils at 100 degrees Celsius.",
        ("The Danube flows through ten countries.", "Penguins live mostly in the southern hemisphere."),
    ),
    (
        "who painted the Mona Lisa",
        "The Mona Lisa was painted by Leonardo da Vinci in the early sixteenth century.",
        ("Photosynthesis turns light into chemical energy.", "The violin has four strings."),
    ),
    (
        "how do I undo the last git commit but keep my changes",
        "git reset --soft HEAD~1 removes the last commit and leaves your changes staged.",
        ("Bake the bread at 230 degrees for half an hour.", "The stock market closed higher on Friday."),
    ),
)
"""Queries with one passage that answers and two that have nothing to do with them."""


def doctor(
    reranker: Annotated[
        Optional[str],
        typer.Option("--reranker", metavar="SPEC", help="Test this reranker on three golden pairs."),
    ] = None,
    cache: options.Cache = None,
    json: options.Json = False,
) -> None:
    """Check the environment, and a reranker on pairs that leave no doubt.

    A reranker that fails here has the wrong prompt, chat template or files, or is not able to rank: do not trust its
    numbers. Exit code 5 if it fails.

    Example: `shortlist doctor --reranker listwise:smollm2-135m`
    """
    told: dict[str, Any] = {"environment": environment()}
    if reranker is not None:
        told["self_test"] = self_test(open_reranker(reranker, store=open_store(cache)))
    if json:
        put_json(told)
    else:
        _show(told)
    test = told.get("self_test")
    if test is not None and not test["passed"]:
        raise BackendError(f"{reranker} puts the answer first for {test['first']} of {test['of']} golden queries")


def environment() -> dict[str, Any]:
    """Versions, extras, models and the machine, as far as they decide what works."""
    packages = sorted({package for group in EXTRAS.values() for package in group} | {"numpy", "bm25s", "httpx2"})
    return {
        "shortlist": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {package: _version(package) for package in packages},
        "extras": {extra: all(importlib.util.find_spec(p) for p in needs) for extra, needs in EXTRAS.items()},
        "models_folder": str(home()),
        "models": {card.name: is_cached(card.name) for card in known_models()},
        "variables": {n: os.environ[n] for n in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS") if n in os.environ},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(package, package.replace("_", "-")))
    except importlib.metadata.PackageNotFoundError:
        return None


def self_test(ranker: Ranker) -> dict[str, Any]:
    """How a ranker does on the golden queries; the passage that answers stands last among the candidates."""
    requests = [RerankRequest.of(query, [*others, right]) for query, right, others in GOLDEN]
    rankings = list(ranker.rerank(requests))
    first = sum(ranking.order[0] == len(ranking) - 1 for ranking in rankings)
    prompt = _prompt(ranker)
    return {
        "reranker": ranker.name,
        "identity": getattr(ranker, "identity", None),
        "prompt_sha256": getattr(prompt, "fingerprint", None),
        "first": first,
        "of": len(GOLDEN),
        "passed": first == len(GOLDEN),
        "statuses": [ranking.status.value for ranking in rankings],
        "problems": sorted({problem for ranking in rankings for problem in ranking.problems}),
        "seconds": round(sum(ranking.usage.seconds for ranking in rankings), 3),
    }


def _prompt(ranker: Ranker) -> object:
    """The prompt of a reranker, or of the one inside; of a chain, the last one's."""
    if isinstance(ranker, Cascade):
        return _prompt(ranker.stages[-1][0])
    if isinstance(ranker, Keep | Fused):
        return _prompt(ranker.ranker)
    return getattr(ranker.policy, "prompt", None) if isinstance(ranker, Reranker) else None


def _show(told: dict[str, Any]) -> None:
    env = told["environment"]
    out.print(f"shortlist {env['shortlist']}, Python {env['python']}, {env['cores']} cores, {env['platform']}")
    table = Table("extra", "installed", "packages", box=None, pad_edge=False)
    for extra, there in env["extras"].items():
        versions = ", ".join(f"{p} {env['packages'][p] or '—'}" for p in EXTRAS[extra])
        table.add_row(extra, "yes" if there else "no", versions)
    out.print(table)
    out.print(f"models in {env['models_folder']}: " + ", ".join(n for n, there in env["models"].items() if there))
    if env["variables"].get("OMP_WAIT_POLICY", "").upper() != "PASSIVE":
        warn("OMP_WAIT_POLICY is not PASSIVE: two models at once will slow each other down tenfold")
    test = told.get("self_test")
    if test is not None:
        verdict = "passed" if test["passed"] else "FAILED"
        statuses = ", ".join(test["statuses"])
        out.print(f"self-test of {test['reranker']}: {verdict}, {test['first']} of {test['of']} first ({statuses})")
        out.print(f"prompt sha256 {test['prompt_sha256']}" if test["prompt_sha256"] else "no prompt", style="dim")
        for problem in test["problems"]:
            warn(problem)
