"""Two processes give the curve of one: replies are seeded by row, rewards are given by the first, gradients are summed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import worker_processes

from shortlist.training.log import read_metrics


def two_processes(worker, *told):
    here = Path(__file__).parent
    job = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(here / worker)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here)}
    done = subprocess.run([*job, *told], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_sharded_weights_are_told_saved_and_gone_on_from_as_whole_ones(qwen, tmp_path):
    two_processes("worker_shards.py", str(qwen), str(tmp_path))


@pytest.mark.parametrize("method", ["grpo", "sft", "dpo"])
def test_two_processes_give_the_curve_of_one(method, qwen, tmp_path):
    worker_processes.main(str(qwen), str(tmp_path / "one"), method)
    two_processes("worker_processes.py", str(qwen), str(tmp_path / "two"), method)
    one, two = (list(read_metrics(tmp_path / name)) for name in ("one", "two"))
    assert [line["step"] for line in one] == [line["step"] for line in two] == [0, 1, 2]
    for line, other in zip(one[1:], two[1:], strict=True):
        assert other["norm"] == pytest.approx(line["norm"], rel=1e-3)
        if method == "grpo":
            assert (other["reward"], other["length"]) == pytest.approx((line["reward"], line["length"]))
