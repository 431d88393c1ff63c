"""Which baseline points an update the right way? A toy reader, and the true gradient known by enumeration.

    python benchmarks/estimators.py [--quick]

Queries have 20 candidates, two of which are evidence; a linear scorer ranks them, and a reader answers right or wrong (0/1,
one draw for each set of passages, whatever their order) with a chance that grows with the evidence in the prefix.
Rankings of k = 3 are drawn.

1. Direction: cosine between one update of 32 sampled rankings and the true gradient of the mean prefix reward (in the
   last column, "own", the reward of the full list, which is all that this one sees), mean over seeds and updates with
   the standard error over seeds. All 6,840 rankings of every query are enumerated for the truth.
2. Trust region: the policy's expected reward gained by 80 updates, with the ratio taken to the reference or to the
   old policy.

Prints two tables and writes benchmarks/results/estimators.json.
"""
# ruff: noqa: N803, N806, N815  (names carry their shape)

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shortlist._version import __version__
from shortlist.training import advantages as adv
from shortlist.training import losses
from shortlist.training import plackett_luce as pl

RESULTS = Path(__file__).parent / "results" / "estimators.json"
N, K, FEATURES, ROLLOUTS = 20, 3, 16, 32
CHANCE = np.array([0.1, 0.35, 0.85])  # of a right answer, by how much of the evidence is in the prefix
TRIVIAL, UNSOLVABLE = 0.97, 0.02
EVERY = torch.tensor(list(permutations(range(N), K)))
SETTINGS = [
    ("equal difficulty, logit sd 1", 1.0, 0.0, 0.0),
    ("equal difficulty, logit sd 2", 2.0, 0.0, 0.0),
    ("equal difficulty, logit sd 6", 6.0, 0.0, 0.0),
    ("35 % trivial, 25 % unsolvable, sd 2", 2.0, 0.35, 0.25),
    ("35 % trivial, 25 % unsolvable, sd 6", 6.0, 0.35, 0.25),
]


# ------------------------------------------------------------------------------------------------ the toy


@dataclass(frozen=True)
class Pool:
    """Queries: features x_QNF, the scorer's weights, and the reader's answers to every set of up to three."""

    x_QNF: torch.Tensor
    theta_F: torch.Tensor
    answers: tuple[np.ndarray, np.ndarray, np.ndarray]
    reference_QK: np.ndarray

    def levels(self, queries: np.ndarray, picks_QSK: torch.Tensor) -> np.ndarray:
        """Of every prefix, (Q, S, K)."""
        a, b, c = np.moveaxis(picks_QSK.numpy(), -1, 0)
        q = queries[:, None]
        one, two, three = self.answers
        return np.stack([one[q, a], two[q, a, b], three[q, a, b, c]], axis=-1)


def pool(seed: int, queries: int, sd: float, trivial: float, unsolvable: float) -> Pool:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=FEATURES)
    hidden /= np.linalg.norm(hidden)
    x = rng.normal(size=(queries, N, FEATURES))
    x[:, :2] += 1.2 * hidden  # the first two candidates are the evidence
    theta = 0.6 * hidden + 0.8 * rng.normal(size=FEATURES) / np.sqrt(FEATURES)  # a base ranker that knows something
    theta *= sd / (x @ theta).std()
    chance = np.tile(CHANCE, (queries, 1))
    kind = rng.random(queries)
    chance[kind < trivial] = TRIVIAL
    chance[kind >= 1 - unsolvable] = UNSOLVABLE
    x_QNF, theta_F = torch.as_tensor(x), torch.as_tensor(theta)
    answers = tuple(_answers(rng, chance, size) for size in (1, 2, 3))
    made = Pool(x_QNF, theta_F, answers, np.empty((queries, K)))
    first = pl.greedy(x_QNF @ theta_F, K)[:, None]
    made.reference_QK[:] = made.levels(np.arange(queries), first)[:, 0]
    return made


def _answers(rng: np.random.Generator, chance_Q3: np.ndarray, size: int) -> np.ndarray:
    """0/1 for every prefix of ``size``, the same for all orders of a set."""
    members = np.sort(np.stack(np.indices((N,) * size)).reshape(size, -1), axis=0)
    places = np.ravel_multi_index(tuple(members), (N,) * size)
    evidence = (members < 2).sum(axis=0).clip(max=2)
    luck = rng.random((len(chance_Q3), N**size))[:, places]
    return (luck < chance_Q3[:, evidence]).astype(np.float64).reshape(-1, *(N,) * size)


def truth(toy: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Exact gradients over the pool: of the mean prefix reward, and of the full list's."""
    theta = toy.theta_F.clone().requires_grad_()
    dense, last = torch.zeros_like(theta), torch.zeros_like(theta)
    for q in range(len(toy.x_QNF)):
        r_RK = torch.as_tensor(toy.levels(np.array([q]), EVERY[None])[0])
        p_R = pl.step_log_probs(toy.x_QNF[q] @ theta, EVERY).sum(-1).exp()
        dense += torch.autograd.grad((p_R * r_RK.mean(-1)).sum(), theta, retain_graph=True)[0]
        last += torch.autograd.grad((p_R * r_RK[:, -1]).sum(), theta)[0]
    return dense.numpy(), last.numpy()


def expected_reward(toy: Pool, theta: torch.Tensor) -> float:
    """Of the mean prefix, over the pool, exact."""
    total = 0.0
    for q in range(len(toy.x_QNF)):
        r_RK = toy.levels(np.array([q]), EVERY[None])[0]
        p_R = pl.step_log_probs(toy.x_QNF[q] @ theta, EVERY).sum(-1).exp().numpy()
        total += float(p_R @ r_RK.mean(-1))
    return total / len(toy.x_QNF)


# ------------------------------------------------------------------------------------------------ estimators

Credit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Levels (Q, S, K) and the reference's (Q, K) to advantages (Q, S, K)."""


def each(credit: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Credit:
    return lambda r, v: np.stack([credit(r_SK, v_K) for r_SK, v_K in zip(r, v, strict=True)])


def half(r: np.ndarray, v: np.ndarray) -> np.ndarray:
    return adv.mixed(adv.leave_one_out(r), adv.reference_greedy(v))


ESTIMATORS: dict[str, tuple[int, Credit]] = {
    "none": (1, each(lambda r, _: adv.to_go(r, adv.none(), 1.0))),
    "batch mean": (1, lambda r, _: adv.to_go(r[:, 0], adv.group_mean(r[:, 0]), 1.0)[:, None]),
    "ref greedy": (1, each(lambda r, v: adv.to_go(r, adv.reference_greedy(v), 1.0))),
    "literal GAE": (1, each(lambda r, v: adv.literal_gae(r, adv.reference_greedy(v), 1.0, 0.95))),
    "LOO x4": (4, each(lambda r, _: adv.to_go(r, adv.leave_one_out(r), 1.0))),
    "half x2": (2, each(lambda r, v: adv.to_go(r, half(r, v), 1.0))),
    "half x4": (4, each(lambda r, v: adv.to_go(r, half(r, v), 1.0))),
    "terminal z x4": (4, each(lambda r, _: adv.group_z_score(adv.terminal(r, 0.0)))),
}


def update(toy: Pool, samples: int, credit: Credit, rng: np.random.Generator) -> np.ndarray:
    """The direction of one update from ``ROLLOUTS`` rankings."""
    queries = rng.choice(len(toy.x_QNF), ROLLOUTS // samples, replace=False)
    theta = toy.theta_F.clone().requires_grad_()
    u_QN = toy.x_QNF[queries] @ theta
    picks = pl.draw(u_QN, K, samples, torch.Generator().manual_seed(int(rng.integers(2**62))))
    advantages = torch.as_tensor(credit(toy.levels(queries, picks), toy.reference_QK[queries]))
    (pl.step_log_probs(u_QN, picks) * advantages).sum().backward()
    return theta.grad.numpy() / (ROLLOUTS * K)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale else 0.0


def directions(setting: tuple[str, float, float, float], seeds: int, queries: int, updates: int) -> dict[str, Any]:
    name, sd, trivial, unsolvable = setting
    told: dict[str, list[float]] = {estimator: [] for estimator in [*ESTIMATORS, "own"]}
    equal = []
    for seed in range(seeds):
        toy = pool(seed, queries, sd, trivial, unsolvable)
        dense, last = truth(toy)
        rng = np.random.default_rng(1000 + seed)
        for estimator, (samples, credit) in ESTIMATORS.items():
            made = [update(toy, samples, credit, rng) for _ in range(updates)]
            told[estimator].append(float(np.mean([cosine(g, dense) for g in made])))
        told["own"].append(float(np.mean([cosine(g, last) for g in made])))
        equal.append(greedy_share(toy, seed))
    row: dict[str, Any] = {"setting": name, "greedy share": round(float(np.mean(equal)), 3)}
    row |= {estimator: round(float(np.mean(values)), 3) for estimator, values in told.items()}
    row["s.e."] = round(max(float(np.std(v, ddof=1)) / seeds**0.5 for v in told.values()), 3) if seeds > 1 else None
    return row


def greedy_share(toy: Pool, seed: int) -> float:
    u_QN = toy.x_QNF @ toy.theta_F
    return pl.greedy_share(pl.draw(u_QN, K, 8, torch.Generator().manual_seed(seed)), pl.greedy(u_QN, K))


# ------------------------------------------------------------------------------------------------ trust region


def train(toy: Pool, ratio_to: str, epsilon: float, updates: int, seed: int) -> float:
    """Reward gained by plain clipped updates, half leave-one-out and half reference-greedy, eta .95."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    theta = toy.theta_F.clone().requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=0.02)
    for _ in range(updates):
        queries = rng.choice(len(toy.x_QNF), ROLLOUTS // 2, replace=False)
        u_QN = toy.x_QNF[queries] @ theta
        picks = pl.draw(u_QN, K, 2, generator)
        r = toy.levels(queries, picks)
        credit = each(lambda r, v: adv.to_go(r, half(r, v), 0.95))(r, toy.reference_QK[queries])
        logp = pl.step_log_probs(u_QN, picks)
        old = logp if ratio_to == "old" else pl.step_log_probs(toy.x_QNF[queries] @ toy.theta_F, picks)
        advantages = torch.as_tensor(credit)
        loss = losses.clipped(losses.ratio(logp, old), advantages, epsilon, losses.live(picks, advantages))
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
    return expected_reward(toy, theta.detach()) - expected_reward(toy, toy.theta_F)


def trust_regions(seeds: int, queries: int, updates: int) -> list[dict[str, Any]]:
    rows = []
    for ratio_to, epsilon in (("reference", 0.2), ("reference", 0.5), ("old", 0.2)):
        gains = [train(pool(s, queries, 2.0, 0.35, 0.25), ratio_to, epsilon, updates, s) for s in range(seeds)]
        error = round(float(np.std(gains, ddof=1)) / seeds**0.5, 3) if seeds > 1 else None
        gain = round(float(np.mean(gains)), 3)
        rows.append({"ratio to": ratio_to, "epsilon": epsilon, "updates": updates, "gain": gain, "s.e.": error})
    return rows


# ------------------------------------------------------------------------------------------------ the whole


def table(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few queries, and no file written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    seeds, queries, updates = (1, 32, 4) if options.quick else (5, 96, 20)
    cosines = [directions(setting, seeds, queries, updates) for setting in SETTINGS]
    table(f"Cosine of one update of {ROLLOUTS} rankings with the true gradient ({seeds} seeds)", cosines)
    gains = trust_regions(max(1, seeds - 1), queries, 8 if options.quick else 80)
    table("Expected reward gained, mixed difficulty, logit sd 2", gains)
    print(f"\n{time.perf_counter() - start:.0f} s")
    if not options.quick:
        told = {
            "date": datetime.now(UTC).date().isoformat(),
            "command": "python benchmarks/estimators.py",
            "shortlist": __version__,
            "torch": torch.__version__,
            "machine": f"{platform.system()} {platform.machine()}",
            "candidates": N,
            "k": K,
            "rankings_per_update": ROLLOUTS,
            "seeds": seeds,
            "updates_per_seed": updates,
            "queries": queries,
            "cosine": cosines,
            "trust_region": gains,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(f"written to {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
