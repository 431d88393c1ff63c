"""What a model folder says of itself as a reranker: its ``reranker_config.json``."""

from __future__ import annotations

import json
from pathlib import Path

from shortlist.errors import InvalidFile
from shortlist.rerankers.cutoffs import NullDocument, parse_rule

CONFIG = "reranker_config.json"


def stored_null(folder: Path) -> NullDocument | None:
    """The null document of a checkpoint; ``None`` where the folder is none or does not stop."""
    path = folder / CONFIG
    if not path.is_file():
        return None
    try:
        keep = json.loads(path.read_text(encoding="utf-8"))["options"].get("keep") or "model"
    except (ValueError, KeyError, AttributeError, TypeError) as problem:
        raise InvalidFile(path, f"not a reranker's configuration: {problem}") from problem
    rule = parse_rule(keep)
    return rule if isinstance(rule, NullDocument) else None
