"""Training's way in and out with the real cross-encoder."""

import pytest
import torch

from shortlist.backends.dequantise import dequantise_minilm
from shortlist.rerankers.catalog import open_reranker
from shortlist.training import opening
from shortlist.training.checkpoint import save_checkpoint
from shortlist.training.export import export_onnx
from shortlist.training.policy import ScorePolicy
from shortlist.types import RerankRequest

PASSAGES = [
    "Water boils at 100 degrees Celsius at sea level.",
    "The Danube flows through ten countries. " * 9,
    "A kettle brings water to its boiling point.",
    "Pasta is cooked in salted, boiling water for ten minutes.",
    "At the top of Mount Everest, water boils at about 71 degrees.",
]
REQUESTS = [RerankRequest.of("what is the boiling point of water", PASSAGES)]


@pytest.mark.models
def test_from_the_catalog_to_a_checkpoint_and_its_onnx_copy(model_minilm, model_minilm_torch, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "home", lambda: tmp_path)
    monkeypatch.setattr(opening, "dequantise_minilm", lambda *_: model_minilm_torch.path)
    policy = ScorePolicy.open("minilm-l12", stop=True, train_layers=4, max_length=64)
    (scores,) = policy.scores(REQUESTS)
    (ranking,) = open_reranker("cross-encoder:minilm-l12?max_length=64&threads=1").rerank(REQUESTS)
    near = pytest.approx(ranking.scores, abs=1.0)  # float32 against int8, whose sums saturate without VNNI
    assert scores[list(ranking.order)].tolist() == near

    optimiser = torch.optim.AdamW(policy.groups(1e-5))
    before = policy.scores_and_backward(REQUESTS, lambda u: -u[0][:-1].log_softmax(0)[4]).loss
    optimiser.step()
    assert policy.scores_and_backward(REQUESTS, lambda u: -u[0][:-1].log_softmax(0)[4]).loss < before

    folder = save_checkpoint(policy, tmp_path / "best")
    assert "cross-encoder/ms-marco-MiniLM-L12-v2" in (folder / "README.md").read_text()
    (after,) = open_reranker(str(folder)).rerank(REQUESTS)
    (scores,) = policy.scores(REQUESTS)
    assert scores[list(after.order)].tolist() == pytest.approx(after.scores, abs=1e-4)
    assert after.cutoff == int((scores[:-1] >= scores[-1]).sum())

    found = export_onnx(folder, REQUESTS, max_length=64, threads=1)
    assert found.tau > 0.9
    assert found.largest < 0.8
    assert (folder / "onnx" / "model.onnx").stat().st_size < 40e6


@pytest.mark.models
def test_the_copy_is_made_once(model_minilm, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(opening, "home", lambda: tmp_path)
    monkeypatch.setattr(
        opening, "dequantise_minilm", lambda local, folder: made.append(local) or dequantise_minilm(local, folder)
    )
    first, second = opening.trainable(model_minilm), opening.trainable("minilm-l12")
    assert first == second
    assert first.identity == second.identity
    assert (first.path / "model.safetensors").is_file()
    assert not opening.is_causal(first)
