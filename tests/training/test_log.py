"""Metrics reach TensorBoard as they reach the lines."""

from __future__ import annotations

import pytest

from shortlist.training.log import Log, read_metrics


def test_scalars_reach_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Log(tmp_path) as log:
        log.metrics({"step": 1, "reward": 0.25, "parts": {"f1": 0.5}})
        log.metrics({"step": 2, "reward": 0.75, "parts": {"f1": 1.0}})
    assert [line["reward"] for line in read_metrics(tmp_path)] == [0.25, 0.75]
    (events,) = tmp_path.rglob("events.out.tfevents*")
    found = EventAccumulator(str(events.parent))
    found.Reload()
    tags = found.Tags()["scalars"]
    assert {"metrics/reward", "metrics/parts/f1"} <= set(tags)
    assert [(e.step, e.value) for e in found.Scalars("metrics/reward")] == [(1, 0.25), (2, 0.75)]
