"""Where a number came from: versions, systems, candidates, judgements, seeds, command line."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from shortlist._version import __version__
from shortlist.types import Qrels

PACKAGES: Final = (
    "numpy",
    "bm25s",
    "httpx2",
    "torch",
    "transformers",
    "sentence-transformers",
    "onnxruntime",
    "tokenizers",
    "xllamacpp",
    "vllm",
)
"""Packages whose version can change a number."""

_SECRET: Final = re.compile(r"key|token$|secret|password", re.IGNORECASE)


def qrels_hash(qrels: Qrels) -> str:
    """SHA-256 over judgements, whatever order they are kept in."""
    sha = hashlib.sha256()
    for query_id in sorted(qrels):
        for document_id in sorted(qrels[query_id]):
            sha.update(repr((query_id, document_id, int(qrels[query_id][document_id]))).encode())
    return sha.hexdigest()


def environment() -> dict[str, Any]:
    """Versions, platform, command line and the time (UTC)."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "shortlist": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(PACKAGES),
        "command": [Path(sys.argv[0]).name, *without_secrets(sys.argv[1:])],
    }


def without_secrets(argv: Sequence[str]) -> list[str]:
    """A command line without the values of options such as ``--api-key``: a manifest is made to be passed on."""
    told: list[str] = []
    hide = False
    for word in argv:
        option, equals, _ = word.partition("=")
        secret = word.startswith("-") and _SECRET.search(option) is not None
        told.append("***" if hide else f"{option}=***" if secret and equals else word)
        hide = secret and not equals
    return told


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of those packages that are installed; none of them is imported."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def flat(manifest: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Key and value, nested keys with dots: a manifest as a table."""
    rows: list[tuple[str, str]] = []
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            rows.append((prefix + key, ", ".join(map(str, value))))
        else:
            rows.append((prefix + key, str(value)))
    return rows
