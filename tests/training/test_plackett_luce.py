"""The policy's draws and probabilities: numbers by hand, agreement with enumeration, properties, extremes."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import InvalidInput

torch = pytest.importorskip("torch")
pl = pytest.importorskip("shortlist.training.plackett_luce")

quick = settings(max_examples=25, deadline=None)
scores = st.lists(st.floats(-8, 8), min_size=2, max_size=7).map(lambda u: torch.tensor(u, dtype=torch.float64))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------ logits


def test_logits_by_hand():
    u = torch.tensor([4.0, 0.0, 2.0])
    assert pl.logits(u, 4.0, standardise=False).tolist() == [1.0, 0.0, 0.5]
    root = math.sqrt(8 / 3)
    assert pl.logits(u, 0.5, standardise=True).tolist() == pytest.approx([4 / root, -4 / root, 0.0])


def test_standardising_leaves_the_null_document_out_of_mean_and_spread():
    with_null = pl.logits(torch.tensor([4.0, 0.0, 1000.0]), 1.0, standardise=True, stop=True)
    assert with_null.tolist() == pytest.approx([1.0, -1.0, 499.0])


@quick
@given(scores, st.floats(0.5, 20), st.floats(-50, 50))
def test_standardised_logits_ignore_the_scale_of_the_scores(u, scale, shift):
    if u.var(correction=0) < 0.01:
        return
    torch.testing.assert_close(
        pl.logits(u * scale + shift, 1.0, standardise=True), pl.logits(u, 1.0, standardise=True), rtol=1e-6, atol=1e-6
    )


def test_equal_scores_standardise_to_zero_with_a_finite_gradient():
    u = torch.zeros(4, requires_grad=True)
    made = pl.logits(u, 1.0, standardise=True)
    made[0].backward()
    assert made.tolist() == [0.0] * 4
    assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_temperature_is_positive(temperature):
    with pytest.raises(InvalidInput, match="temperature"):
        pl.logits(torch.zeros(2), temperature, standardise=False)


# ------------------------------------------------------------------------------------------------ draws


@quick
@given(scores, st.integers(0, 1000), st.booleans(), st.data())
def test_a_draw_is_a_ranking_cut_at_the_null_document(u, seed, stop, data):
    n = len(u) - int(stop)
    k = data.draw(st.integers(1, n))
    for row in pl.draw(u, k, 5, generator(seed), stop=stop).tolist():
        assert len(row) == k
        picked = [c for c in row if c != pl.ENDED]
        assert len(set(picked)) == len(picked)
        assert all(0 <= c < len(u) for c in picked)
        if stop and n in picked:
            assert picked[-1] == n
        else:
            assert len(picked) == k


@pytest.mark.parametrize("stop", [False, True])
def test_draws_are_as_frequent_as_their_probability_says(stop):
    u, count = torch.tensor([0.5, -0.5, 1.0, 0.0]), 40_000
    drawn = pl.draw(u, 2, count, generator(3), stop=stop)
    rows, counts = drawn.unique(dim=0, return_counts=True)
    p = pl.step_log_probs(u.double(), rows).sum(-1).exp()
    assert len(rows) == (3 * 2 + 3 + 1 if stop else 12)
    assert p.sum().item() == pytest.approx(1)
    deviation = (counts / count - p).abs() / (p * (1 - p) / count).sqrt()
    assert deviation.max() < 4


def test_a_seed_gives_the_same_picks_and_another_gives_others():
    u = torch.zeros(30)
    first = pl.draw(u, 5, 4, generator(1))
    assert torch.equal(first, pl.draw(u, 5, 4, generator(1)))
    assert not torch.equal(first, pl.draw(u, 5, 4, generator(2)))


def test_draws_of_many_queries_at_once_have_their_shape():
    drawn = pl.draw(torch.zeros(3, 6), 2, 4, generator())
    assert drawn.shape == (3, 4, 2)
    assert pl.step_log_probs(torch.zeros(3, 6), drawn).shape == (3, 4, 2)


def test_huge_logits_draw_the_greedy_list_and_keep_small_differences():
    u = torch.tensor([1e4, -1e4, 0.0, 9e3])
    assert pl.draw(u, 3, 10, generator()).unique(dim=0).tolist() == [[0, 3, 2]]
    near = torch.tensor([1e4, 1e4])
    share = (pl.draw(near, 1, 4000, generator()) == 0).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.04)


def test_greedy_by_hand():
    u = torch.tensor([1.0, 3.0, 3.0, 2.0, 2.0])
    assert pl.greedy(u, 4).tolist() == [1, 2, 3, 4]
    assert pl.greedy(u, 4, stop=True).tolist() == [1, 2, 3, 4]  # the null document is picked fourth
    assert pl.greedy(torch.tensor([1.0, 2.0, 3.0, 9.0]), 3, stop=True).tolist() == [3, -1, -1]


def test_greedy_is_the_limit_of_draws_at_a_low_temperature():
    u = torch.randn(8, generator=generator(5))
    cold = pl.logits(u, 1e-4, standardise=False)
    for stop in (False, True):
        assert torch.equal(pl.draw(cold, 4, 1, generator(), stop=stop)[0], pl.greedy(u, 4, stop=stop))


def test_lengths_and_greedy_share():
    picks = torch.tensor([[0, 1, 2], [2, 3, -1], [3, -1, -1]])
    assert pl.lengths(picks, 3).tolist() == [3, 1, 0]
    assert pl.lengths(picks, 4).tolist() == [3, 2, 1]
    assert pl.greedy_share(picks, torch.tensor([2, 1, 0])) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("k", "stop"), [(0, False), (4, False), (3, True)])
def test_k_beyond_the_candidates_is_refused(k, stop):
    with pytest.raises(InvalidInput, match="k is"):
        pl.draw(torch.zeros(3), k, 1, generator(), stop=stop)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(bad):
    for pick in (lambda u: pl.draw(u, 1, 1, generator()), lambda u: pl.greedy(u, 1)):
        with pytest.raises(InvalidInput, match="finite"):
            pick(torch.tensor([0.0, bad]))


# ------------------------------------------------------------------------------------------------ probabilities


def test_log_probabilities_by_hand():
    u = torch.tensor([1.0, 2.0, 3.0]).log()
    told = pl.step_log_probs(u, torch.tensor([[2, 0, 1], [0, 1, 2], [1, -1, -1]])).exp()
    expected = [[3 / 6, 1 / 3, 1], [1 / 6, 2 / 5, 1], [2 / 6, 1, 1]]
    torch.testing.assert_close(told, torch.tensor(expected))


@quick
@given(scores, st.data())
def test_probabilities_of_all_rankings_sum_to_one(u, data):
    u = u[:5]
    k = data.draw(st.integers(1, len(u)))
    every = torch.tensor(list(permutations(range(len(u)), k)))
    assert pl.step_log_probs(u, every).sum(-1).exp().sum().item() == pytest.approx(1)


@quick
@given(scores, st.floats(-1e3, 1e3))
def test_adding_a_constant_changes_nothing(u, shift):
    picks = pl.draw(u, len(u), 3, generator())
    for of in (pl.step_log_probs, pl.step_entropy, lambda v, p: pl.step_kl(v, u.flip(0), p)):
        torch.testing.assert_close(of(u + shift, picks), of(u, picks), rtol=1e-6, atol=1e-6)


@quick
@given(scores)
def test_samples_together_are_as_one_by_one(u):
    picks = pl.draw(u, len(u) - 1, 4, generator(), stop=True)
    for of in (pl.step_log_probs, pl.step_entropy):
        torch.testing.assert_close(of(u, picks), torch.cat([of(u, row[None]) for row in picks]))


def test_the_gradient_is_the_pick_less_the_softmax_of_what_is_left():
    u = torch.tensor([0.3, -1.0, 0.7, 0.0], dtype=torch.float64, requires_grad=True)
    (pl.step_log_probs(u, torch.tensor([[2, 0, -1]]))[0, 1]).backward()
    rest = torch.tensor([0.3, -1.0, 0.0], dtype=torch.float64).softmax(0)
    expected = torch.tensor([1 - rest[0], -rest[1], 0.0, -rest[2]], dtype=torch.float64)
    torch.testing.assert_close(u.grad, expected)


def test_derivatives_agree_with_finite_differences():
    u = torch.randn(5, dtype=torch.float64, generator=generator(1), requires_grad=True)
    w = torch.randn(5, dtype=torch.float64, generator=generator(2))
    picks = torch.tensor([[4, 0, 2], [1, 4, -1], [3, 2, 1]])
    for of in (pl.step_log_probs, pl.step_entropy, lambda v, p: pl.step_kl(v, w, p)):
        assert torch.autograd.gradcheck(lambda v, of=of: of(v, picks), (u,))


def test_huge_logits_give_finite_numbers_and_gradients():
    u = torch.tensor([1e4, -1e4, 0.0, 9e3], requires_grad=True)
    picks = torch.tensor([[0, 3, 2, 1], [1, 2, 3, 0]])
    logp = pl.step_log_probs(u, picks)
    assert logp[0].tolist() == [0, 0, 0, 0]  # where 1 - sum(p) would be 0 and its logarithm infinite
    assert logp[1].tolist() == pytest.approx([-2e4, -1e4, -1e3, 0])
    (logp.sum() + pl.step_entropy(u, picks).sum() + pl.step_kl(u, -u.detach(), picks).sum()).backward()
    assert torch.isfinite(u.grad).all()


def test_entropy_and_kl_by_hand():
    p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.2, 0.4, 0.4])
    picks = torch.tensor([[0, 1], [1, -1]])
    entropy = pl.step_entropy(p.log(), picks)
    first = 1.5 * math.log(2)
    torch.testing.assert_close(entropy, torch.tensor([[first, math.log(2)], [first, 0.0]]))
    divergence = pl.step_kl(p.log(), q.log(), picks)
    expected = 0.5 * math.log(2.5) + 0.5 * math.log(0.625)
    torch.testing.assert_close(divergence, torch.tensor([[expected, 0.0], [expected, 0.0]]))


@quick
@given(scores)
def test_kl_is_not_negative_and_zero_against_itself(u):
    picks = pl.draw(u, len(u), 3, generator())
    assert (pl.step_kl(u, u.flip(0), picks) > -1e-9).all()
    assert pl.step_kl(u, u, picks).abs().max() < 1e-9
    assert (pl.step_entropy(u, picks) > -1e-9).all()


def test_sampled_log_ratios_average_to_the_exact_kl():
    u, w = torch.tensor([0.0, 1.0, -1.0, 0.5]), torch.tensor([0.5, 0.0, 0.0, -0.5])
    picks = pl.draw(u, 1, 20_000, generator(4))
    log_ratios = pl.step_log_probs(u, picks) - pl.step_log_probs(w, picks)
    error = 4 * log_ratios.std() / math.sqrt(len(picks))
    assert abs(log_ratios.mean() - pl.step_kl(u, w, picks)[0, 0]) < error


def test_a_column_picked_twice_is_refused():
    with pytest.raises(InvalidInput, match="twice"):
        pl.step_log_probs(torch.zeros(3), torch.tensor([[1, 1]]))
