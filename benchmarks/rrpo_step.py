"""Policy-gradient steps a second on this machine: scores, draws, loss and the way back, no reader.

    python benchmarks/rrpo_step.py [--queries 4] [--candidates 20] [--steps 3]

The model is MiniLM-L-12 as float32; text is the demo's, passages of 300 characters and more, cut at 128 tokens; 8
shortlists of 3 a query. "cold" is the first step of a query, when its frozen layers are run; "warm" every later one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RESULTS = Path(__file__).parent / "results" / "rrpo_step.json"
KINDS = (("float32", None), ("bfloat16", None), ("float32", 4), ("bfloat16", 4))


def requests(queries: int, candidates: int) -> list:
    from shortlist.data.demo import demo_passages
    from shortlist.types import RerankRequest

    texts = [passage.text for passage in demo_passages() if len(passage.text) > 300]
    parts = [texts[i * candidates : (i + 1) * candidates] for i in range(queries)]
    return [RerankRequest.of(f"what is said of {part[0].split()[0]}", part) for part in parts]


def step(policy, batch: list, seed: int) -> None:
    import torch

    from shortlist.training.plackett_luce import draw, logits, step_log_probs

    generator = torch.Generator().manual_seed(seed)

    def loss(scores):
        told = []
        for one in scores:
            u = logits(one, 1.0, standardise=True)
            picks = draw(u, 3, 8, generator)
            advantages = torch.randn(picks.shape, generator=generator)
            told.append(-(step_log_probs(u, picks) * advantages).mean())
        return torch.stack(told).mean()

    policy.zero_grad(set_to_none=True)
    policy.scores_and_backward(batch, loss)


def measure(dtype: str, layers: int | None, batch: list, steps: int) -> dict[str, float]:
    from shortlist.training.policy import ScorePolicy

    policy = ScorePolicy.open("minilm-l12", max_length=128, dtype=dtype, train_layers=layers, batch_tokens=640)
    taken = []
    for seed in range(steps + 1):
        wall, used = time.perf_counter(), time.process_time()
        step(policy, batch, seed)
        taken.append((time.perf_counter() - wall, time.process_time() - used))
    warm = min(taken[1:])
    return {
        "cold_seconds": round(taken[0][0], 2),
        "warm_seconds": round(warm[0], 2),
        "warm_cpu_seconds": round(warm[1], 2),
        "steps_per_second": round(1 / warm[0], 3),
    }


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3)
    told = parser.parse_args()
    batch = requests(told.queries, told.candidates)
    rows = {}
    for dtype, layers in KINDS:
        name = f"{dtype}, {'all layers' if layers is None else f'top {layers} layers'}"
        rows[name] = measure(dtype, layers, batch, told.steps)
        print(f"{name:26s} {rows[name]}", flush=True)
    asked = " ".join(f"--{name} {value}" for name, value in vars(told).items())
    facts = {
        "command": f"python benchmarks/rrpo_step.py {asked}",
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "results": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
