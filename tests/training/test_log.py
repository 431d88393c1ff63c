"""Metrics reach TensorBoard as they reach the lines."""

from __future__ import annotations

import pytest

from shortlist.training.log import COSTS, METRICS, Log, read_metrics


def test_lines_that_a_full_disk_tore_spoil_none_after_them(tmp_path):
    (tmp_path / METRICS).write_text('{"step": 1}\n{"step": 2}\n{"ste')
    (tmp_path / COSTS).write_text('{"step": 1}\n{"step": 2}\n{"st')
    with Log(tmp_path) as log:
        log.go_on_after(1)
        log.metrics({"step": 2})
        log.costs({"step": 2})
    assert (tmp_path / METRICS).read_text() == '{"step": 1}\n{"step": 2}\n'
    assert (tmp_path / COSTS).read_text() == '{"step": 1}\n{"step": 2}\n{"step": 2}\n'


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
