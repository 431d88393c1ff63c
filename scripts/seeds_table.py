"""What training gained, seeds apart and together: one table of an evaluation in which systems are seeds of one another.

    shortlist evaluate --data D --run R --reranker sft=runs/sft/checkpoints/best --reranker rl@0=runs/rl-0/checkpoints/last \
        --reranker rl@1=runs/rl-1/checkpoints/last --json found.json
    python scripts/seeds_table.py found.json [more.json …] [--against sft]

Systems are named NAME or NAME@SEED. Beside each mean: the difference from the first stage and from --against, with the p of
a paired t-test over queries; the seeds of a system are averaged query by query, and told one by one as well.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from shortlist.evaluation import Experiment
from shortlist.evaluation.significance import paired_t_test


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("files", nargs="+", type=Path)
    told.add_argument("--against", default="sft")
    told.add_argument("--measure", default="nDCG@10")
    asked = told.parse_args()
    for path in asked.files:
        print(f"\n{path.stem}")
        table(Experiment.read(path), asked.against, asked.measure)


def table(experiment: Experiment, against: str, measure: str) -> None:
    values = {system.name: np.asarray(system.columns[measure]) for system in experiment.systems}
    first = experiment.systems[0].name
    seeds: dict[str, list[str]] = defaultdict(list)
    for name in values:
        seeds[name.partition("@")[0]].append(name)
    means = {name: np.mean([values[seed] for seed in all_], axis=0) for name, all_ in seeds.items()}
    form = {system.name: 1 - system.format_failure_rate for system in experiment.systems}
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
