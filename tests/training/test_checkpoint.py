import json
import math

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import bert, llama, requests

from shortlist.errors import InvalidFile, InvalidInput
from shortlist.rerankers.calibration import Platt, read_calibration
from shortlist.rerankers.catalog import CONFIG, open_reranker
from shortlist.rerankers.cutoffs import NullDocument
from shortlist.training import checkpoint
from shortlist.training.card import CardFacts, Result
from shortlist.training.checkpoint import average, fit_platt, restore_interrupted, save_checkpoint
from shortlist.training.opening import LoRA
from shortlist.training.policy import ScorePolicy
from shortlist.types import RerankRequest


def changed(policy, by=1.3):
    """As after training."""
    with torch.no_grad():
        for value in policy.trained().values():
            value.mul_(by)
    return policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def saved(folder, tmp_path_factory):
    policy = changed(ScorePolicy.open(folder, max_length=24, stop=True))
    facts = CardFacts(
        title="A test",
        licence="apache-2.0",
        datasets=("toy",),
        recipe="steps: 3",
        seeds=(1, 2),
        results=(
            Result(dataset="Toy | set", measure="F1@3", value=0.5, before=0.25, setting="BM25 top-20", queries=9),
        ),
        limits=("Only words.",),
    )
    target = save_checkpoint(
        policy, tmp_path_factory.mktemp("out") / "best", card=facts, calibration=Platt(2.0, -1.0), at_most=3
    )
    return policy, target


def test_it_opens_in_shortlist_and_stops_where_the_policy_stops(saved):
    policy, target = saved
    batch = requests(6, 8, longest=40)
    served = open_reranker(str(target))
    for scores, ranking in zip(policy.scores(batch), served.rerank(batch), strict=True):
        own = scores[:-1]
        assert own[list(ranking.order)].tolist() == pytest.approx(ranking.scores, abs=1e-5)
        assert ranking.cutoff == min(3, int((own >= scores[-1]).sum()))
        assert ranking.truncated
    assert open_reranker(f"{target}?keep=top:7").rerank(batch[:1]).__next__().cutoff == 7


def test_it_opens_in_transformers(saved):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    policy, target = saved
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(target), AutoTokenizer.from_pretrained(target)
    told = tokenizer("the cat", "sat on the mat", return_tensors="pt")
    with torch.no_grad():
        logit = float(model.eval()(**told).logits)
    (scores,) = policy.scores([RerankRequest.of("the cat", ["sat on the mat"])])
    assert logit == pytest.approx(float(scores[0]), abs=1e-5)


def test_it_opens_in_sentence_transformers_with_raw_logits(saved):
    from sentence_transformers import CrossEncoder

    policy, target = saved
    found = CrossEncoder(str(target), max_length=24, device="cpu").predict([("the cat", "sat on the mat")])
    (scores,) = policy.scores([RerankRequest.of("the cat", ["sat on the mat"])])
    assert float(found[0]) == pytest.approx(float(scores[0]), abs=1e-5)


def test_what_the_folder_holds(saved):
    _, target = saved
    assert {path.name for path in target.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "reranker_config.json", "README.md",
    }  # fmt: skip
    told = json.loads((target / CONFIG).read_text())
    assert told["kind"] == "cross-encoder"
    assert told["options"]["max_length"] == 24
    assert read_calibration(str(target)) == Platt(2.0, -1.0)  # as serving reads it
    assert [path.name for path in target.parent.iterdir()] == ["best"]


def test_training_goes_on_from_it(saved):
    policy, target = saved
    again = ScorePolicy.open(target, max_length=24, stop=True)
    assert again.null.tolist() == pytest.approx(policy.null.tolist())
    assert again.null.tolist() != [0, 1, 1, 0]
    assert torch.equal(again.scores(requests(1))[0], policy.scores(requests(1))[0])


def test_the_card(saved):
    _, target = saved
    text = (target / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["pipeline_tag"] == "text-ranking"
    assert told["license"] == "apache-2.0"
    assert {"reranker", "cross-encoder", "rrpo"} <= set(told["tags"])
    (result,) = told["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "f1@3", "value": 0.5, "name": "F1@3, BM25 top-20"}]
    assert r"| Toy \| set | BM25 top-20 | F1@3 | 9 | 0.2500 | 0.5000 |" in body
    assert "steps: 3" in body
    assert "Only words." in body
    assert "Seeds: 1, 2." in body


def test_the_card_of_a_checkpoint_of_which_nothing_is_known(folder, tmp_path):
    save_checkpoint(ScorePolicy.open(folder), tmp_path / "plain")
    text = (tmp_path / "plain" / "README.md").read_text()
    assert "None recorded." in text
    assert "license" not in text
    assert "keep" not in json.loads((tmp_path / "plain" / CONFIG).read_text())["options"]


def test_adapters_are_merged_and_stay_at_work(folder, tmp_path):
    policy = ScorePolicy.open(folder, max_length=24, lora=LoRA(rank=2, targets=("query", "value")))
    with torch.no_grad():
        for value in policy.trained().values():
            value.add_(0.1)
    before = policy.scores(requests(2))
    save_checkpoint(policy, tmp_path / "merged")
    assert all(torch.equal(a, b) for a, b in zip(policy.scores(requests(2)), before, strict=True))
    assert all("lora_" in name for name in policy.trained())
    plain = ScorePolicy.open(tmp_path / "merged", max_length=24)
    assert not any("lora_" in name for name, _ in plain.named_parameters())
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain.scores(requests(2)), before, strict=True))


@pytest.mark.parametrize(("lora", "dtype", "near"), [(None, "bfloat16", 2.0), (LoRA(rank=2), "float32", 1e-4)])
def test_a_chat_model(tmp_path, lora, dtype, near):
    policy = ScorePolicy.open(llama(tmp_path / "base"), max_length=8, stop=True, lora=lora, dtype=dtype)
    with torch.no_grad():
        for value in policy.trained().values():
            value.add_(0.02)
    save_checkpoint(policy, tmp_path / "chat")
    plain = ScorePolicy.open(tmp_path / "chat", max_length=8, stop=True)
    assert plain.network.kind == "pointwise"
    batch = requests(3, 5, longest=12)
    for scores, ranking in zip(plain.scores(batch), open_reranker(str(tmp_path / "chat")).rerank(batch), strict=True):
        assert scores[:-1].sigmoid()[list(ranking.order)].tolist() == pytest.approx(ranking.scores, abs=1e-5)
        assert ranking.cutoff == int((scores[:-1] >= scores[-1]).sum())
    for a, b in zip(plain.scores(batch), policy.scores(batch), strict=True):
        assert torch.allclose(a, b, atol=near)
    assert json.loads((tmp_path / "chat" / CONFIG).read_text())["prompt"]["kind"] == "pointwise-yes-no"
    assert "pointwise-yes-no" in (tmp_path / "chat" / "README.md").read_text()


# ---------------------------------------------------------------------------------------------- kills and full disks


def test_a_new_checkpoint_takes_the_old_ones_place(folder, tmp_path):
    policy = ScorePolicy.open(folder)
    save_checkpoint(policy, tmp_path / "best")
    (tmp_path / "best" / "left over").touch()
    save_checkpoint(changed(policy), tmp_path / "best")
    assert not (tmp_path / "best" / "left over").exists()
    assert torch.equal(ScorePolicy.open(tmp_path / "best").scores(requests(1))[0], policy.scores(requests(1))[0])
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("point", ["_write", "_swap", "rename"])
def test_a_failure_at_any_point_leaves_the_old_one(folder, tmp_path, monkeypatch, point):
    policy = ScorePolicy.open(folder)
    save_checkpoint(policy, tmp_path / "best")
    before = policy.scores(requests(1))[0]

    def full(*_):
        raise OSError(28, "No space left on device")

    def after_the_first_rename(staged, target):
        target.rename(checkpoint._previous(target))
        full()

    name, replacement = ("_swap", after_the_first_rename) if point == "rename" else (point, full)
    monkeypatch.setattr(checkpoint, name, replacement)
    with pytest.raises(InvalidFile, match="No space left"):
        save_checkpoint(changed(policy), tmp_path / "best")
    assert restore_interrupted(tmp_path / "best") == (point == "rename")
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert torch.equal(ScorePolicy.open(tmp_path / "best").scores(requests(1))[0], before)


def test_a_kill_after_the_swap_leaves_the_new_one(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / ".best.previous").mkdir()
    assert not restore_interrupted(tmp_path / "best")
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_average(folder):
    policy = ScorePolicy.open(folder, stop=True)
    first = policy.state()
    mean = average([first, changed(policy, 3.0).state()])
    assert all(torch.allclose(mean[name], 2 * first[name]) for name in first)
    with pytest.raises(InvalidInput, match="unlike"):
        average([first, {}])
    with pytest.raises(InvalidInput):
        average([])


# ---------------------------------------------------------------------------------------------- calibration


def test_platt_finds_the_logistic_that_made_the_labels():
    draw = np.random.default_rng(0)
    scores = draw.normal(3, 5, size=20_000)
    labels = draw.random(20_000) < 1 / (1 + np.exp(-(0.7 * scores - 2)))
    found = fit_platt(scores, labels)
    assert found.a == pytest.approx(0.7, rel=0.05)
    assert found.b == pytest.approx(-2, rel=0.05)


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_platt_is_at_a_maximum_and_keeps_the_base_rate(rows):
    scores, labels = zip(*rows, strict=True)
    if len(set(labels)) < 2:
        with pytest.raises(InvalidInput):
            fit_platt(scores, labels)
        return
    found = fit_platt(scores, labels)
    positive, negative = sum(labels), len(labels) - sum(labels)
    target = sum((positive + 1) / (positive + 2) if label else 1 / (negative + 2) for label in labels)
    assert sum(map(found, scores)) == pytest.approx(target, abs=1e-4)  # the gradient with respect to the offset
    assert 0 <= found(1e4) <= 1
    assert math.isfinite(found(-1e4))


def test_platt_on_two_separate_groups():
    found = fit_platt([5.0, 6.0, -5.0, -6.0], [True, True, False, False])
    assert 0.5 < found(5.5) < 0.9  # two of a kind prove little
    assert found(5.5) == pytest.approx(0.75, abs=0.02)


# ---------------------------------------------------------------------------------------------- the null document


@given(
    st.lists(st.floats(-40, 40), max_size=12),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.none() | st.integers(0, 9),
)
def test_the_rule_goes_round_its_spec(scores, weights, most):
    rule = NullDocument(of_max=weights[0], of_mean=weights[1], of_std=weights[2], bias=weights[3], at_most=most)
    name, _, numbers = rule.spec.partition(":")
    assert (name, NullDocument.parse(numbers)) == ("null", rule)
    assert math.isfinite(rule.score(scores))
