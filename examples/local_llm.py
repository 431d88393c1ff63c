"""Rerank listwise with a language model in this process, behind a cross-encoder, with every reply cached.

The model here is tiny, so that the example runs anywhere; it will often not keep to the form, and the ranking says so.
Put the path of a GGUF file of a larger chat model in its place.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from shortlist import Shortlist

SPEC = "cross-encoder:minilm-l12 >> listwise:smollm2-135m?depth=3&window=3&stride=1"

with TemporaryDirectory() as folder:
    reranker = Shortlist(SPEC, cache=Path(folder) / "cache.sqlite")
    for attempt in ("first", "second"):
        ranking = reranker.rank(
            "at what temperature does yeast die",
            [
                "Steam keeps a crust soft.",
                "Yeast dies at about 55 °C.",
                "Bread is baked at 230 °C.",
                "Rice needs water.",
            ],
        )
        usage = ranking.usage
        print(
            f"{attempt} time: {ranking.ids}, {ranking.status}, {usage.calls} calls, {usage.cached_calls} from the cache"
        )
        for problem in ranking.problems:
            print(f"  problem: {problem}")
