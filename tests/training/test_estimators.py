"""Is the policy gradient right? A toy small enough to enumerate: 5 documents, k = 3, with and without stopping.

Every ranking's probability, score vectors (d log pi_t / d u) and levels are known, so the expectation and the variance of
an update are sums, not estimates; only the tests of drawing itself sample.
"""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest

from shortlist.training import advantages as adv

torch = pytest.importorskip("torch")
pl = pytest.importorskip("shortlist.training.plackett_luce")
losses = pytest.importorskip("shortlist.training.losses")

N, K = 5, 3
U = torch.tensor([0.8, -0.4, 0.5, 0.1, -0.9, 0.2], dtype=torch.float64)  # the last is the null document's, with stop
REFERENCE = [2, 3, 0]
BOTH = pytest.mark.parametrize("stop", [False, True])


def rows(*, stop):
    """Every row of picks, the null document last."""
    made = [list(p) for p in permutations(range(N), K)]
    if stop:
        made += [[*p, N, *[-1] * (K - n - 1)] for n in range(K) for p in permutations(range(N), n)]
    return torch.tensor(made)


def two_evidence(listed):
    """A reader that needs documents 0 and 1, is confused by 4, and minds the order a little."""
    found = len({0, 1} & set(listed))
    return [0.1, 0.35, 0.9][found] - 0.15 * (4 in listed) + 0.05 * (listed[:1] == [0])


def levels_of(picks, reader=two_evidence):
    """Levels of prefixes, finished lists carried on."""
    listed = [[c for c in row if 0 <= c < N] for row in np.asarray(picks).tolist()]
    table = [[reader(kept[: t + 1]) if t < len(kept) else np.nan for t in range(K)] for kept in listed]
    return adv.carry(table, [len(kept) for kept in listed], before=reader([]))


def toy(*, stop, u=U, reader=two_evidence):
    """Everything there is to know: picks, probabilities p_R, score vectors g_RKN, levels r_RK."""
    u = u if stop else u[:N]
    picks = rows(stop=stop)
    p_R = pl.step_log_probs(u, picks).sum(-1).exp().numpy()
    g_RKN = torch.autograd.functional.jacobian(lambda v: pl.step_log_probs(v, picks), u).numpy()
    return SimpleNamespace(u=u, picks=picks, stop=stop, p=p_R, g=g_RKN, r=levels_of(picks, reader))


def exact_gradient(world, values_R):
    """Of E[values] with respect to the scores, by differentiating the sum over all rankings."""
    u = world.u.clone().requires_grad_()
    p_R = pl.step_log_probs(u, world.picks).sum(-1).exp()
    (p_R * torch.as_tensor(values_R)).sum().backward()
    return u.grad.numpy()


def singles(world, advantage):
    """Update vectors of samples that are credited on their own: (R, N)."""
    return np.einsum("rkn,rk->rn", world.g, advantage(world.r))


def pairs(world, advantage):
    """Update vectors of all groups of two samples, mean over the group, with probabilities: (R·R, N), (R·R,)."""
    first, second = (side.ravel() for side in np.indices((len(world.p),) * 2))
    made = [advantage(world.r[[a, b]]) for a, b in zip(first, second, strict=True)]
    both_GSK = np.stack(made)
    of_first, of_second = (
        np.einsum("gkn,gk->gn", world.g[side], both_GSK[:, s]) for s, side in enumerate((first, second))
    )
    return (of_first + of_second) / 2, world.p[first] * world.p[second]


def mean(vectors, p):
    return p @ vectors


def variance(vectors, p):
    """Total over coordinates."""
    return p @ (vectors**2).sum(1) - (mean(vectors, p) ** 2).sum()


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def worlds():
    return {stop: toy(stop=stop) for stop in (False, True)}


def reference_levels():
    return levels_of([REFERENCE])[0]


def current_levels(world):
    return levels_of(pl.greedy(world.u, K, stop=world.stop)[None])[0]


# ------------------------------------------------------------------------------------------------ the sampled gradient


@BOTH
def test_the_enumeration_is_whole(worlds, stop):
    world = worlds[stop]
    assert world.p.sum() == pytest.approx(1)
    assert len(world.p) == (60 + 1 + 5 + 20 if stop else 60)


@BOTH
def test_the_sampled_gradient_agrees_with_the_exact_one(worlds, stop):
    world = worlds[stop]
    exact = exact_gradient(world, world.r.sum(1))
    u = world.u.clone().requires_grad_()
    picks = pl.draw(u, K, 12_000, torch.Generator().manual_seed(11), stop=stop)
    credit = torch.as_tensor(adv.to_go(levels_of(picks), adv.reference_greedy(reference_levels()), 1.0))
    logp = pl.step_log_probs(u, picks)
    loss = losses.clipped(losses.ratio(logp, logp), credit, 0.2, losses.live(picks, credit))
    (K * losses.masked_mean(loss, losses.live(picks, credit))).backward()
    spread = variance(singles(world, lambda r: adv.to_go(r, reference_levels(), 1.0)), world.p)
    error = np.linalg.norm(-u.grad.numpy() - exact)
    assert error < 3 * np.sqrt(spread / 12_000)
    assert error < 0.2 * np.linalg.norm(exact)


# ------------------------------------------------------------------------------------------------ bias


@BOTH
def test_to_go_with_eta_1_is_the_gradient_of_all_rewards(worlds, stop):
    world = worlds[stop]
    got = mean(singles(world, lambda r: adv.to_go(r, adv.none(), 1.0)), world.p)
    np.testing.assert_allclose(got, exact_gradient(world, world.r.sum(1)), atol=1e-12)


@BOTH
@pytest.mark.parametrize(
    "advantage",
    [
        lambda r: adv.terminal(r, 0.3),
        lambda r: adv.to_go(adv.marginal(r, two_evidence([])), 0.3, 1.0),
    ],
    ids=["terminal", "marginal gains to go"],
)
def test_both_forms_of_the_last_reward_are_its_gradient(worlds, stop, advantage):
    world = worlds[stop]
    got = mean(singles(world, advantage), world.p)
    np.testing.assert_allclose(got, exact_gradient(world, world.r[:, -1]), atol=1e-12)


@BOTH
@pytest.mark.parametrize("eta", [0.0, 0.5, 0.95, 1.0])
def test_greedy_baselines_leave_the_gradient_where_it_is(worlds, stop, eta):
    world = worlds[stop]
    plain = mean(singles(world, lambda r: adv.to_go(r, adv.none(), eta)), world.p)
    for v in (adv.reference_greedy(reference_levels()), adv.current_greedy(current_levels(world))):
        got = mean(singles(world, lambda r, v=v: adv.to_go(r, v, eta)), world.p)
        np.testing.assert_allclose(got, plain, atol=1e-12)


@BOTH
@pytest.mark.parametrize("eta", [0.0, 0.95])
def test_leave_one_out_and_mixtures_leave_the_gradient_where_it_is(worlds, stop, eta):
    world = worlds[stop]
    plain = mean(singles(world, lambda r: adv.to_go(r, adv.none(), eta)), world.p)
    v = adv.reference_greedy(reference_levels())
    for baseline in (adv.leave_one_out, lambda r: adv.mixed(adv.leave_one_out(r), v)):
        got = mean(*pairs(world, lambda r, b=baseline: adv.to_go(r, b(r), eta)))
        np.testing.assert_allclose(got, plain, atol=1e-12)


def test_the_group_mean_shrinks_the_gradient_by_one_over_the_group(worlds):
    world = worlds[False]
    plain = mean(singles(world, lambda r: adv.to_go(r, adv.none(), 1.0)), world.p)
    got = mean(*pairs(world, lambda r: adv.to_go(r, adv.group_mean(r), 1.0)))
    np.testing.assert_allclose(got, plain / 2, atol=1e-12)


def test_group_z_scores_turn_the_gradient(worlds):
    world = worlds[False]
    exact = exact_gradient(world, world.r[:, -1])
    got = mean(*pairs(world, lambda r: adv.group_z_score(adv.terminal(r, 0.0))))
    assert cosine(got, exact) < 0.99
    plain = mean(*pairs(world, lambda r: adv.terminal(r, adv.leave_one_out(r))))
    assert cosine(plain, exact) == pytest.approx(1)


@BOTH
def test_terminal_gae_is_to_go_and_the_literal_one_loses_the_last_reward(worlds, stop):
    world = worlds[stop]
    v = reference_levels()
    to_go = mean(singles(world, lambda r: adv.to_go(r, adv.none(), 0.95)), world.p)
    whole = mean(singles(world, lambda r: adv.terminal_gae(r, v, 1.0, 0.95)), world.p)
    literal = mean(singles(world, lambda r: adv.literal_gae(r, v, 1.0, 0.95)), world.p)
    np.testing.assert_allclose(whole, to_go, atol=1e-12)
    assert np.linalg.norm(literal - to_go) > 0.2 * np.linalg.norm(to_go)
    without_last = adv.to_go(world.r, 0.0, 0.95) - 0.95 ** np.arange(K - 1, -1, -1) * world.r[:, -1:]
    np.testing.assert_allclose(literal, mean(np.einsum("rkn,rk->rn", world.g, without_last), world.p), atol=1e-12)


# ------------------------------------------------------------------------------------------------ variance


@BOTH
def test_a_query_that_is_always_right_is_noise_without_a_baseline_and_silent_with_one(stop):
    world = toy(stop=stop, reader=lambda listed: 1.0)
    ones = np.ones(K)
    assert variance(singles(world, lambda r: adv.to_go(r, adv.none(), 1.0)), world.p) > 1
    assert variance(singles(world, lambda r: adv.to_go(r, ones, 1.0)), world.p) == pytest.approx(0)
    assert variance(*pairs(world, lambda r: adv.to_go(r, adv.leave_one_out(r), 1.0))) == pytest.approx(0)


@BOTH
def test_every_baseline_steadies_queries_of_mixed_difficulty(stop):
    """Three queries, easy, hopeless and solvable, two samples each; the variance of the summed update."""
    readers = [lambda listed: 0.95, lambda listed: 0.0, two_evidence]
    told = [spreads(reader, REFERENCE, stop=stop) for reader in readers]
    plain, greedy, alone, both = np.sum(told, axis=0)
    assert max(greedy, alone, both) < 0.5 * plain


@BOTH
@pytest.mark.parametrize("reference", [REFERENCE, [0, 1, 2], [4, 3, 2]], ids=["fair", "best", "worst"])
def test_a_mixture_is_steadier_than_the_worse_of_its_two_whatever_the_reference(stop, reference):
    _, greedy, alone, both = spreads(two_evidence, reference, stop=stop)
    assert both < max(greedy, alone)
    assert np.sqrt(both) <= (np.sqrt(greedy) + np.sqrt(alone)) / 2 + 1e-12  # as the norm is convex


def spreads(reader, reference, *, stop):
    """Variance of an update of two samples: no baseline, reference-greedy, leave-one-out, half of each."""
    world, v = toy(stop=stop, reader=reader), levels_of([reference], reader)
    return [
        variance(singles(world, lambda r: adv.to_go(r, adv.none(), 1.0)), world.p) / 2,
        variance(singles(world, lambda r: adv.to_go(r, v, 1.0)), world.p) / 2,
        variance(*pairs(world, lambda r: adv.to_go(r, adv.leave_one_out(r), 1.0))),
        variance(*pairs(world, lambda r: adv.to_go(r, adv.mixed(adv.leave_one_out(r), v), 1.0))),
    ]


def test_a_soft_policy_is_below_its_greedy_list_and_the_mean_is_the_better_baseline():
    """§1.5 (b) and (a): on a soft policy greedy overestimates; on a peaked one it is nearly the mean."""

    def reader(listed):  # the better the list's scores, the better the answer
        return float(np.mean([c in {0, 2} for c in listed])) if listed else 0.0

    excess = {}
    for name, scale in (("soft", 0.3), ("peaked", 6.0)):
        world = toy(stop=False, u=U * scale, reader=reader)
        expected_K = world.p @ world.r
        greedy_K = levels_of(pl.greedy(world.u, K)[None], reader)[0]
        assert (greedy_K >= expected_K).all()
        by_greedy, by_mean = (
            variance(singles(world, lambda r, v=v: adv.to_go(r, v, 1.0)), world.p) for v in (greedy_K, expected_K)
        )
        excess[name] = by_greedy / by_mean
    assert excess["soft"] > 2
    assert excess["peaked"] < 1.25


@BOTH
def test_credit_to_go_is_steadier_than_crediting_every_pick_with_everything(worlds, stop):
    world = worlds[stop]
    whole = np.repeat(world.r.sum(1, keepdims=True), K, axis=1)
    everything = np.einsum("rkn,rk->rn", world.g, whole)
    to_go = singles(world, lambda r: adv.to_go(r, 0.0, 1.0))
    np.testing.assert_allclose(mean(everything, world.p), mean(to_go, world.p), atol=1e-12)
    assert variance(to_go, world.p) < 0.9 * variance(everything, world.p)


@BOTH
def test_prefix_rewards_carry_more_signal_than_the_last_one_alone(worlds, stop):
    world = worlds[stop]

    def signal(of):
        vectors, p = pairs(world, lambda r: of(r, adv.leave_one_out(r)))
        return (mean(vectors, p) ** 2).sum() / variance(vectors, p)

    assert signal(lambda r, v: adv.to_go(r, v, 1.0)) > signal(adv.terminal)


def test_more_samples_steady_leave_one_out(worlds):
    """Groups of four against two groups of two, the same number of reads: four know the mean better."""
    world, rng = worlds[False], np.random.default_rng(0)
    drawn = rng.choice(len(world.p), size=(4000, 4), p=world.p)

    def update(group):
        credit = adv.to_go(world.r[group], adv.leave_one_out(world.r[group]), 1.0)
        return np.einsum("skn,sk->n", world.g[group], credit) / len(group)

    fours = np.stack([update(group) for group in drawn])
    twos = np.stack([(update(group[:2]) + update(group[2:])) / 2 for group in drawn])
    assert fours.var(axis=0).sum() < 0.95 * twos.var(axis=0).sum()


# ------------------------------------------------------------------------------------------------ divergences


@BOTH
def test_k1_in_the_reward_is_the_gradient_of_the_divergence_and_in_the_loss_it_is_none(worlds, stop):
    world = worlds[stop]
    ref_logp = pl.step_log_probs(torch.zeros_like(world.u), world.picks)
    k1_RK = losses.kl_k1(pl.step_log_probs(world.u, world.picks), ref_logp).numpy()

    u = world.u.clone().requires_grad_()
    logp = pl.step_log_probs(u, world.picks)
    (logp.sum(-1).exp() * (logp - ref_logp).sum(-1)).sum().backward()
    in_reward = mean(np.einsum("rkn,rk->rn", world.g, adv.to_go(k1_RK, 0.0, 1.0)), world.p)
    np.testing.assert_allclose(in_reward, u.grad.numpy(), atol=1e-12)

    in_loss = mean(world.g.sum(1), world.p)  # d k1 / d u is the score vector itself
    np.testing.assert_allclose(in_loss, 0, atol=1e-12)


@BOTH
def test_exact_step_divergences_add_up_to_that_of_whole_rankings(worlds, stop):
    world = worlds[stop]
    w = torch.zeros_like(world.u)
    total = world.p @ pl.step_kl(world.u, w, world.picks).sum(-1).numpy()
    log_ratio = (pl.step_log_probs(world.u, world.picks) - pl.step_log_probs(w, world.picks)).sum(-1).numpy()
    assert total == pytest.approx(world.p @ log_ratio)
    entropy = world.p @ pl.step_entropy(world.u, world.picks).sum(-1).numpy()
    assert entropy == pytest.approx(-(world.p @ np.log(world.p)))
