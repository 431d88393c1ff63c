import pytest
import torch
from tiny_models import bert, llama, requests

from shortlist.backends.store import Store
from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.cutoffs import NullDocument
from shortlist.training.opening import LoRA
from shortlist.training.policy import PolicyOptions, ScorePolicy
from shortlist.types import RerankRequest

SMALL = {"max_length": 32, "batch_tokens": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return llama(tmp_path_factory.mktemp("llama"))


def opened(folder, **options):
    return ScorePolicy.open(folder, **{**SMALL, **options})


def gradients(policy):
    return {name: None if p.grad is None else p.grad.clone() for name, p in policy.trained().items()}


def plain_backward(policy, batch, loss):
    """The same by autograd alone, everything in one graph."""
    policy.zero_grad()
    value = loss(policy(batch))
    value.backward()
    found = gradients(policy)
    policy.zero_grad()
    return float(value.detach()), found


def square(scores):
    return sum((u**2).sum() + u.prod() for u in scores)


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("train_layers", [None, 0, 1, 2])
def test_micro_batches_give_the_whole_gradient(folder, stop, train_layers):
    policy = opened(folder, stop=stop, train_layers=train_layers)
    batch = requests()
    value, wanted = plain_backward(policy, batch, square)
    told = policy.scores_and_backward(batch, square)
    assert told.loss == pytest.approx(value, rel=1e-5)
    found = gradients(policy)
    assert found.keys() == wanted.keys()
    assert any(g is not None and g.abs().max() > 1e-4 for g in found.values())
    for name, gradient in wanted.items():
        if gradient is not None:
            scale = max(1.0, float(gradient.abs().max()))
            assert torch.allclose(found[name] / scale, gradient / scale, atol=2e-5), name


def test_gradient_by_finite_differences(folder):
    policy = opened(folder, train_layers=1)
    policy.scores_and_backward(requests(2, 3), square)
    bias = policy.trained()["model.classifier.bias"]
    values = []
    for shift in (1e-2, -2e-2):
        with torch.no_grad():
            bias += shift
        values.append(float(square(policy.scores(requests(2, 3)))))
    assert float(bias.grad) == pytest.approx((values[0] - values[1]) / 2e-2, rel=2e-2)


def test_scores_are_those_of_the_served_reranker(folder):
    policy = opened(folder)
    served = open_reranker(f"cross-encoder:{folder}?engine=transformers&max_length=32")
    batch = requests(3, 6, longest=50)
    for scores, ranking in zip(policy.scores(batch), served.rerank(batch), strict=True):
        assert scores[list(ranking.order)].tolist() == pytest.approx(ranking.scores, abs=1e-5)
        assert ranking.truncated  # some were longer than 32 tokens: both cut alike


def test_a_request_is_scored_by_itself(folder):
    policy = opened(folder, train_layers=1)
    batch = requests(4, 5)
    together = policy.scores(batch)
    alone = [policy.scores([request])[0] for request in reversed(batch)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


def test_frozen_layers_run_once_and_change_nothing(folder):
    kept, never = opened(folder, train_layers=1), opened(folder, train_layers=1, trunk_megabytes=0)
    batch = requests()
    for _ in range(2):
        for a, b in zip(kept.scores(batch), never.scores(batch), strict=True):
            assert torch.allclose(a, b, atol=1e-6)
    assert (kept._trunk.misses, kept._trunk.hits) == (3, 3)
    assert never._trunk is None
    kept.scores_and_backward(batch, square)
    never.scores_and_backward(batch, square)
    for name, gradient in gradients(kept).items():
        if gradient is not None:
            assert torch.allclose(gradient, gradients(never)[name], atol=1e-4), name


def test_the_kept_states_stay_within_their_room(folder):
    policy = opened(folder, train_layers=1, trunk_megabytes=1)
    policy._trunk._room = 3000  # bytes: a request or two
    batch = requests(4, 3)
    first = policy.scores(batch)
    assert len(policy._trunk._kept) < 4
    assert all(torch.equal(a, b) for a, b in zip(first, policy.scores(batch), strict=True))


def test_something_trained_below_keeps_nothing(folder, caplog):
    policy = opened(folder, train_layers=1)
    policy.model.bert.embeddings.LayerNorm.weight.requires_grad_(True)
    scores = policy.scores(requests(1))
    assert "not kept" in caplog.text
    assert torch.equal(scores[0], opened(folder).scores(requests(1))[0])


def test_what_is_frozen(folder):
    names = set(opened(folder, train_layers=1).trained())
    assert any(".layer.1." in name for name in names)
    assert "model.classifier.weight" in names
    assert not any(".layer.0." in name or "embeddings" in name for name in names)
    assert any("embeddings" in name for name in opened(folder).trained())
    with pytest.raises(InvalidInput, match="0 to 2"):
        opened(folder, train_layers=3)


def test_skipping_pairs_with_hardly_any_gradient(folder, monkeypatch):
    policy = opened(folder, skip_below=0.5)
    (request,) = requests(1, 5)
    seen = []
    plain = policy.network.scores
    monkeypatch.setattr(policy.network, "scores", lambda rows: seen.extend(rows) or plain(rows))
    policy.backward([request], [torch.tensor([1.0, 0.4, -0.6, 0.0, 0.1])])
    rows = policy.network.rows(request)
    assert sorted(seen) == sorted([rows[0], rows[2]])


def test_the_null_document(folder):
    policy = opened(folder, stop=True)
    (scores,) = policy.scores(requests(1))
    own = scores[:-1].double()
    assert float(scores[-1]) == pytest.approx(float(own.mean() + own.std(correction=0)), abs=1e-5)
    assert policy.rule(at_most=4) == NullDocument(at_most=4)
    assert policy.rule().score(own.tolist()) == pytest.approx(float(scores[-1]), abs=1e-5)
    policy.scores_and_backward(requests(1), lambda u: u[0][-1] * 3)
    assert policy.null.grad.tolist() == pytest.approx(
        [3 * float(own.max()), 3 * float(own.mean()), 3 * float(own.std(correction=0)), 3.0], rel=1e-4
    )
    assert all(p.grad is None or not p.grad.any() for n, p in policy.trained().items() if n != "null")
    assert opened(folder).rule() is None


def test_no_candidates(folder):
    empty = RerankRequest.of("cat", [])
    assert [u.tolist() for u in opened(folder, stop=True).scores([empty])] == [[0.0]]
    policy = opened(folder, train_layers=1)
    assert [u.tolist() for u in policy.scores([empty])] == [[]]
    policy.backward([empty], [torch.zeros(0)])
    assert policy.scores([]) == []


def test_gradients_of_another_shape(folder):
    with pytest.raises(InvalidInput, match=r"q0.*\(5,\) for 5 candidates"):
        opened(folder, stop=True).backward(requests(1), [torch.zeros(5)])


@pytest.mark.parametrize("options", [{}, {"stop": True, "train_layers": 1}])
def test_the_reference_never_changes(folder, tmp_path, options):
    policy = opened(folder, **options)
    batch = requests()
    before = policy.scores(batch)
    reference = policy.reference(Store(tmp_path / "reference.sqlite"))
    first = reference.scores(batch[:1])
    with torch.no_grad():
        for value in policy.trained().values():
            value.add_(0.3)
    assert not torch.allclose(policy.scores(batch)[1], before[1], atol=1e-3)
    after = policy.scores(batch)
    assert torch.equal(first[0], before[0])
    for found in (reference, policy.reference(), opened(folder, **options).reference(reference._store)):
        assert all(torch.equal(a, b) for a, b in zip(found.scores(batch), before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(policy.scores(batch), after, strict=True))  # and is put back


def test_a_head_that_was_drawn_is_told_from_another(folder, tmp_path):
    """The model's files do not tell which one it was."""
    store = Store(tmp_path / "reference.sqlite")
    policy = opened(folder)
    first = policy.reference(store).scores(requests())
    with torch.no_grad():
        policy.start["model.classifier.bias"] += 1.0
    moved = policy.reference(store).scores(requests())
    assert not torch.equal(first[0], moved[0])


def test_the_reference_is_computed_once(folder, tmp_path, monkeypatch):
    store = Store(tmp_path / "reference.sqlite")
    policy = opened(folder)
    policy.reference(store).scores(requests())
    reference = policy.reference(store)
    monkeypatch.setattr(reference, "_score", lambda request: pytest.fail("it is stored"))
    reference.scores(requests())
    reference.scores(requests())
    other = opened(folder, max_length=12)
    assert other.identity != policy.identity
    assert not torch.equal(other.reference(store).scores(requests())[0], policy.scores(requests())[0])


def test_state_goes_round(folder):
    policy, other = opened(folder, stop=True), opened(folder, stop=True)
    with torch.no_grad():
        for value in policy.trained().values():
            value.mul_(1.1)
    other.load_state(policy.state())
    assert torch.equal(policy.scores(requests(1))[0], other.scores(requests(1))[0])
    with pytest.raises(InvalidInput, match="open it alike"):
        opened(folder).load_state(policy.state())


def test_parameter_groups(folder):
    policy = opened(folder, stop=True)
    groups = policy.groups(1e-5, weight_decay=0.1)
    assert sum(len(group["params"]) for group in groups) == len(policy.trained())
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0, 0.0]
    assert [group["lr"] for group in groups] == [1e-5, 1e-5, 1e-3]
    assert groups[2]["params"] == [policy.null]
    torch.optim.AdamW(groups)
    assert opened(folder, stop=True).groups(1e-5, null_lr=0.5)[2]["lr"] == 0.5


def test_half_precision_keeps_the_logits_fine(folder):
    full, half = opened(folder, train_layers=1), opened(folder, train_layers=1, dtype="bfloat16")
    batch = requests(1, 12)
    (a,), (b,) = full.scores(batch), half.scores(batch)
    assert b.dtype == torch.float32
    assert not torch.equal(a, b)
    assert torch.allclose(a, b, atol=0.1 * float(a.abs().max()))
    assert not torch.equal(b, b.bfloat16().float())  # finer than bfloat16
    half.scores_and_backward(batch, square)
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in half.trained().values())


def test_it_learns(folder):
    """Scores of the first candidate rise, those of the others fall."""
    policy = opened(folder, train_layers=1, stop=True)
    batch = requests(4, 4)
    optimiser = torch.optim.AdamW(policy.groups(3e-3))

    def loss(scores):
        return -sum(u[:-1].log_softmax(0)[0] for u in scores)

    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        losses.append(policy.scores_and_backward(batch, loss).loss)
        optimiser.step()
    assert losses[-1] < 0.3 * losses[0]


# ---------------------------------------------------------------------------------------------- adapters, chat models


def test_adapters_start_at_nothing_and_are_all_that_is_trained(folder):
    policy = opened(folder, lora=LoRA(rank=2, targets=("query", "value")))
    assert torch.allclose(policy.scores(requests(1))[0], opened(folder).scores(requests(1))[0], atol=1e-6)
    assert all("lora_" in name for name in policy.trained())
    again = opened(folder, lora=LoRA(rank=2, targets=("query", "value")))
    assert all(torch.equal(a, b) for a, b in zip(policy.state().values(), again.state().values(), strict=True))
    assert not torch.equal(
        opened(folder, lora=LoRA(rank=2), seed=1).start[
            "model.base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.default.weight"
        ],
        policy.start["model.base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.default.weight"],
    )
    with pytest.raises(InvalidInput, match="nonsense"):
        opened(folder, lora=LoRA(targets=("nonsense",)))


def test_a_chat_model_scores_as_it_is_served(chat):
    policy = ScorePolicy.open(chat, max_length=8, stop=True, train_layers=1, batch_tokens=128)
    batch = requests(2, 4, longest=5)
    served = open_reranker(f"pointwise:{chat}?passage_tokens=8")
    for scores, ranking in zip(policy.scores(batch), served.rerank(batch), strict=True):
        shares = scores[:-1].sigmoid()[list(ranking.order)]
        assert shares.tolist() == pytest.approx(ranking.scores, abs=1e-5)
    assert policy.rule().of_shares
    assert policy._trunk.misses == 2


def test_a_chat_model_has_the_whole_gradient(chat):
    policy = ScorePolicy.open(chat, max_length=8, lora=LoRA(rank=2), train_layers=1, batch_tokens=128)
    batch = requests(2, 3, longest=5)
    with torch.no_grad():
        for value in policy.trained().values():
            value.add_(0.05)
    value, wanted = plain_backward(policy, batch, square)
    assert policy.scores_and_backward(batch, square).loss == pytest.approx(value, rel=1e-5)
    found = gradients(policy)
    assert found
    assert all(".layers.1." in name for name in found)
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"dtype": "float16"}, UnknownName),
        ({"batch_tokens": 0}, InvalidInput),
        ({"trunk_megabytes": -1}, InvalidInput),
        ({"skip_below": 1.0}, InvalidInput),
    ],
)
def test_options_are_checked(wrong, error):
    with pytest.raises(error):
        PolicyOptions(**wrong)


def test_other_options_are_checked(folder, tmp_path):
    with pytest.raises(InvalidInput, match="max_length"):
        opened(folder, max_length=2)
    with pytest.raises(InvalidInput, match="rank"):
        LoRA(rank=0)
    with pytest.raises(InvalidInput, match="3 labels"):
        opened(bert(tmp_path, labels=3))


def test_two_labels_count_by_their_difference(tmp_path):
    policy = opened(bert(tmp_path, labels=2))
    served = open_reranker(f"cross-encoder:{tmp_path}?engine=transformers&max_length=32")
    (scores,), (ranking,) = policy.scores(requests(1)), served.rerank(requests(1))
    assert scores[list(ranking.order)].tolist() == pytest.approx(ranking.scores, abs=1e-5)
