import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import bert, requests

from shortlist.errors import InvalidInput
from shortlist.rerankers.catalog import open_reranker
from shortlist.training import export
from shortlist.training.checkpoint import save_checkpoint
from shortlist.training.export import export_onnx, kendall, parity
from shortlist.training.policy import ScorePolicy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = bert(tmp_path_factory.mktemp("bert"))
    return save_checkpoint(ScorePolicy.open(base, max_length=32, stop=True), tmp_path_factory.mktemp("out") / "best")


def test_a_float32_copy_is_the_same_model(folder):
    found = export_onnx(folder, requests(4, 12, longest=50), quantise=False, max_length=32, threads=1)
    assert (found.requests, found.pairs) == (4, 48)
    assert found.largest < 1e-4
    assert found.tau == found.top10 == 1


def test_an_int8_copy_is_nearly(folder):
    found = export_onnx(folder, requests(4, 12), max_length=32, threads=1)
    assert 0.8 < found.tau <= 1
    assert found.top10 > 0.8
    assert 0 < found.mean <= found.largest < 0.6
    assert "Kendall's tau" in str(found)
    names = [path.name for path in (folder / "onnx").iterdir()]
    assert names == ["model.onnx"]


def test_the_checkpoint_opens_both_ways(folder):
    export_onnx(folder, requests(1), max_length=32, threads=1)
    plain, small = open_reranker(str(folder)), open_reranker(f"{folder}?engine=onnx&threads=1")
    assert "onnx" in small.identity
    assert "onnx" not in plain.identity  # the copy beside it changes nothing
    (a,), (b,) = plain.rerank(requests(1)), small.rerank(requests(1))
    assert a.scores != b.scores
    assert b.cutoff is not None


def test_it_is_compared_at_the_length_that_it_is_served_with(folder):
    """Longer passages would differ, if one of the two cut them elsewhere."""
    long = requests(2, 8, longest=200)
    found = export_onnx(folder, long, quantise=False, threads=1)
    served = [ranking.scores for ranking in open_reranker(str(folder)).rerank(long)]
    assert found.largest < 1e-4
    assert export._served_length(folder) == 32
    assert [len(scores) for scores in served] == [8, 8]


def test_a_language_model_is_not_exported(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(InvalidInput, match="only cross-encoders"):
        export_onnx(tmp_path, [])
    assert not (tmp_path / "onnx").exists()


def test_kendall_by_hand():
    assert kendall(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(4 / 6)
    assert kendall(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == -1
    assert math.isnan(kendall(np.array([1.0, 1]), np.array([1.0, 2])))


@given(st.lists(st.integers(0, 6), min_size=2, max_size=12), st.randoms())
@settings(deadline=None)
def test_kendall_agrees_with_scipy(values, draw):
    from scipy.stats import kendalltau

    other = draw.sample(values, len(values))
    ours = kendall(np.array(values, float), np.array(other, float))
    theirs = kendalltau(values, other).statistic
    assert ours == pytest.approx(float(theirs), abs=1e-9, nan_ok=True)


def test_parity_by_hand():
    found = parity([(3.0, 2.0), (1.0,), ()], [(2.0, 3.0), (1.0,), ()])
    assert (found.requests, found.pairs, found.tau, found.top10) == (3, 3, -1.0, 1.0)
    assert (found.largest, found.mean) == (1.0, pytest.approx(2 / 3))
    assert math.isnan(parity([], []).tau)
