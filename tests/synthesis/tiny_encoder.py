"""A tiny bi-encoder with random weights, as sentence-transformers saves it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))

import tiny


def encoder(folder: Path) -> Path:
    """Two layers and mean pooling, in ``folder / "model"``."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(tiny.bert(folder / "bert")))
    built = SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension())], device="cpu")
    built.save(str(folder / "model"), create_model_card=False)
    return folder / "model"
