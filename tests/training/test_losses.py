"""Losses: numbers by hand, masks, properties, gradients."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import InvalidInput

torch = pytest.importorskip("torch")
losses = pytest.importorskip("shortlist.training.losses")

NAN = math.nan
quick = settings(max_examples=40, deadline=None)
vectors = st.lists(st.floats(-5, 5), min_size=2, max_size=6).map(lambda u: torch.tensor(u, dtype=torch.float64))


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


# ------------------------------------------------------------------------------------------------ steps


def test_live_steps_are_picked_and_known():
    picks = torch.tensor([[1, 3, -1], [0, 2, 1]])
    known = torch.tensor([[0.5, NAN, 0.1], [0.0, 0.0, math.inf]])
    assert losses.live(picks, known).tolist() == [[True, False, False], [True, True, False]]


def test_the_mean_divides_a_short_list_by_k_and_leaves_out_what_could_not_be_scored():
    values = torch.tensor([[3.0, 3.0, 3.0], [6.0, NAN, NAN], [NAN, NAN, NAN]])
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    assert losses.masked_mean(values, mask).item() == pytest.approx((9 + 6) / (2 * 3))


def test_the_mean_of_nothing_is_zero_and_has_a_gradient_of_zero():
    values = torch.full((2, 2), NAN, requires_grad=True)
    mean = losses.masked_mean(values, torch.zeros(2, 2, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert values.grad.abs().sum() == 0


def test_ratio_by_hand_and_without_overflow():
    assert losses.ratio(t(0.5).log(), t(0.25).log()).item() == pytest.approx(2)
    assert torch.isfinite(losses.ratio(torch.tensor([0.0, -1e4]), torch.tensor([-1e4, 0.0]))).all()


@pytest.mark.parametrize(
    ("rho", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.0),
        (1.5, 2.0, -2.4, 0.0),  # gone far enough
        (0.5, 2.0, -1.0, -2.0),  # below, wanted more often: nothing clipped
        (0.5, -2.0, 1.6, 0.0),  # rare enough
        (1.5, -2.0, 3.0, 2.0),  # above, wanted less often
    ],
)
def test_clip_by_hand(rho, advantage, loss, slope):
    r = t(rho).requires_grad_()
    made = losses.clipped(r, t(advantage), 0.2, torch.tensor([True]))
    made.sum().backward()
    assert made.item() == pytest.approx(loss)
    assert r.grad.item() == pytest.approx(slope)


def test_the_dual_clip_bounds_the_loss_of_what_is_unwanted():
    on = torch.ones(3, dtype=torch.bool)
    made = losses.clipped(t(10, 10, 2), t(-1, 1, -1), 0.2, on, dual=3.0)
    assert made.tolist() == pytest.approx([3.0, -1.2, 2.0])


def test_masked_steps_lose_nothing_and_pull_nothing():
    r = t(2.0, 2.0).requires_grad_()
    made = losses.clipped(r, t(NAN, -1.0), 0.2, torch.tensor([False, True]))
    made.sum().backward()
    assert made.tolist() == [0.0, 2.0]
    assert r.grad.tolist() == [0.0, 1.0]


def test_clipped_share():
    mask = torch.tensor([True, True, True, True, False])
    assert losses.clipped_share(t(1.5, 0.5, 1.5, 1.0, 9), t(1, 1, -1, 1, 1), 0.2, mask) == 0.25
    assert losses.clipped_share(t(1.5), t(1), 0.2, torch.tensor([False])) == 0


def test_at_ratio_one_the_gradient_is_reinforce():
    logp = t(-0.3, -1.2).requires_grad_()
    advantages = t(0.7, -0.4)
    losses.clipped(losses.ratio(logp, logp), advantages, 0.2, torch.ones(2, dtype=torch.bool)).sum().backward()
    torch.testing.assert_close(logp.grad, -advantages)


def test_kl_estimates_by_hand():
    logp, ref = t(0.5).log(), t(0.25).log()
    assert losses.kl_k1(logp, ref).item() == pytest.approx(math.log(2))
    assert losses.kl_k3(logp, ref).item() == pytest.approx(0.5 + math.log(2) - 1)
    assert losses.kl_k3(t(-1e4), t(0.0)).item() == 10
    assert losses.kl_k3(t(0.0), t(-1e4)).item() == 10


@quick
@given(vectors, vectors)
def test_both_estimates_are_unbiased(u, w):
    n = min(len(u), len(w))
    log_p, log_q = (u[:n] / 4).log_softmax(0), (w[:n] / 4).log_softmax(0)
    exact = (log_p.exp() * (log_p - log_q)).sum()
    for estimate in (losses.kl_k1, losses.kl_k3):
        torch.testing.assert_close((log_p.exp() * estimate(log_p, log_q)).sum(), exact)
    assert (losses.kl_k3(log_p, log_q) >= 0).all()


# ------------------------------------------------------------------------------------------------ rankings and pairs


def test_list_mle_by_hand():
    u = t(1, 2, 3).log()
    assert losses.list_mle(u, torch.tensor([2, 1, 0])).item() == pytest.approx(-math.log(3 / 6 * 2 / 3))
    several = losses.list_mle(u, torch.tensor([[2, 1], [0, -1]]))
    assert several.tolist() == pytest.approx([math.log(3), math.log(6)])


def test_list_mle_is_least_where_the_scores_are_in_order():
    u = t(3, 1, 2)
    made = {order: losses.list_mle(u, torch.tensor(order)).item() for order in [(0, 2, 1), (0, 1, 2), (1, 2, 0)]}
    assert min(made, key=made.get) == (0, 2, 1)


def test_dpo_by_hand():
    made = losses.dpo(t(-1, 0), t(-3, 0), t(-2, 0), t(-2, 0), 0.5)
    assert made.tolist() == pytest.approx([math.log(1 + math.exp(-1)), math.log(2)])


def test_dpo_pulls_the_two_apart_and_leaves_the_reference_alone():
    w, l, ref = t(-1.0).requires_grad_(), t(-1.0).requires_grad_(), t(-1.0).requires_grad_()
    losses.dpo(w, l, ref, ref, 2.0).sum().backward()
    assert (w.grad.item(), l.grad.item(), ref.grad) == (-1.0, 1.0, None)
    assert torch.isfinite(losses.dpo(t(-1e4), t(1e4), t(0), t(0), 1.0)).all()


# ------------------------------------------------------------------------------------------------ supervision


def test_distillation_by_hand():
    policy, reader = t(1, 1).log(), t(3, 1).log()
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert losses.reader_distillation(policy, reader, 1.0).item() == pytest.approx(expected)
    assert losses.reader_distillation(policy, reader * 0.5, 0.5).item() == pytest.approx(expected)


def test_distillation_pulls_towards_the_reader_and_ends_there():
    reader = t(0.3, -1.0, 2.0)
    u = t(0, 0, 0).requires_grad_()
    losses.reader_distillation(u, reader, 0.5).backward()
    torch.testing.assert_close(u.grad, torch.full((3,), 1 / 3, dtype=torch.float64) - (reader / 0.5).softmax(0))
    assert losses.reader_distillation(reader / 0.5 + 7, reader, 0.5).item() == pytest.approx(0, abs=1e-12)


def test_passages_that_the_reader_could_not_score_are_left_out():
    u = t(0.5, 9.0, -0.5).requires_grad_()
    losses.reader_distillation(u, t(1.0, NAN, 2.0), 1.0).backward()
    assert u.grad[1] == 0
    assert losses.reader_distillation(t(1, 2), t(NAN, NAN), 1.0).item() == 0
    assert losses.reader_distillation(t(1, 2), t(0.0, -math.inf), 1.0).item() == pytest.approx(math.log(1 + math.e))


def test_answer_bce_by_hand():
    made = losses.answer_bce(t(0.0, math.log(3), 5.0), t(1.0, 0.0, NAN))
    assert made.item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert losses.answer_bce(t(1.0), t(NAN)).item() == 0


def test_answer_softmax_by_hand():
    u = t(1, 2, 5, 100).log()
    assert losses.answer_softmax(u, t(1, 0, 1, NAN)).item() == pytest.approx(-math.log(6 / 8))


def test_a_query_without_an_answer_says_nothing():
    for labels in (t(0, 0), t(0, NAN), t(1, 1)):
        u = t(1.0, 3.0).requires_grad_()
        loss = losses.answer_softmax(u, labels)
        loss.backward()
        assert loss.item() == pytest.approx(0)
        assert u.grad.abs().sum() == pytest.approx(0)


@quick
@given(vectors, st.floats(-100, 100))
def test_listwise_losses_ignore_the_level_of_the_scores(u, shift):
    order = torch.arange(len(u))
    reader = u.flip(0)
    labels = (order == 0).double()
    for loss in (
        lambda v: losses.list_mle(v, order),
        lambda v: losses.reader_distillation(v, reader, 0.7),
        lambda v: losses.answer_softmax(v, labels),
    ):
        torch.testing.assert_close(loss(u + shift), loss(u), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: losses.clipped(t(1), t(1), 0.0, torch.tensor([True])),
        lambda: losses.clipped(t(1), t(1), 0.2, torch.tensor([True]), dual=1.0),
        lambda: losses.dpo(t(0), t(0), t(0), t(0), 0.0),
        lambda: losses.reader_distillation(t(0, 1), t(0, 1), 0.0),
    ],
)
def test_bad_values_are_refused(call):
    with pytest.raises(InvalidInput):
        call()
