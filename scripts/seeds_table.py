"""What training gained, seeds apart and together: one table of an evaluation in which systems are seeds of one another.

    shortlist evaluate --data D --run R --json found.json --reranker runs/sft/checkpoints/best \
        --reranker runs/rl-0/checkpoints/last --reranker runs/rl-1/checkpoints/last
    python scripts/seeds_table.py found.json [more.json …] --names sft,rl@0,rl@1 [--against sft]

Several files are evaluations of the same candidates, joined. NAMEs go to the rerankers in their order; NAME@SEED are the seeds
of one system. Beside each mean: the difference from the first stage and from --against, with the p of a paired t-test over
queries; the seeds of a system are averaged query by query, and told one by one as well.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from shortlist.evaluation import Experiment
from shortlist.evaluation.experiment import System
from shortlist.evaluation.significance import paired_t_test


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("files", nargs="+", type=Path)
    told.add_argument("--names", type=lambda text: ["first", *text.split(",")], required=True)
    told.add_argument("--against", default="sft")
    told.add_argument("--measure", default="nDCG@10")
    asked = told.parse_args()
    experiments = [Experiment.read(path) for path in asked.files]
    if len({experiment.manifest["candidates"] for experiment in experiments}) > 1:
        told.error("the files are evaluations of different candidates; give those of one collection at a time")
    table([experiments[0].systems[0], *(s for e in experiments for s in e.systems[1:])], asked)


def table(found: list[System], asked: argparse.Namespace) -> None:
    names, against, measure = asked.names, asked.against, asked.measure
    systems = dict(zip(names, found, strict=True))
    values = {name: np.asarray(system.columns[measure]) for name, system in systems.items()}
    first = names[0]
    seeds: dict[str, list[str]] = defaultdict(list)
    for name in values:
        seeds[name.partition("@")[0]].append(name)
    means = {name: np.mean([values[seed] for seed in all_], axis=0) for name, all_ in seeds.items()}
    form = {name: 1 - system.format_failure_rate for name, system in systems.items()}
    for name, all_ in seeds.items():
        line = f"{name:10s} {means[name].mean():.4f}"
        for other in dict.fromkeys((first, against)):
            if other in means and other != name:
                line += f"   {other} {difference(means[name], means[other])}"
                if len(all_) > 1:
                    line += f" [{', '.join(difference(values[seed], means[other]) for seed in all_)}]"
        print(f"{line}   form {np.mean([form[s] for s in all_]):.3f}")
    print(f"{len(means[first])} queries")


def difference(ours: np.ndarray, others: np.ndarray) -> str:
    return f"{(ours - others).mean():+.4f} (p {paired_t_test(ours, others)[1]:.2g})"


if __name__ == "__main__":
    main()
