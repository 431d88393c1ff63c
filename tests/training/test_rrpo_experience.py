"""From scores to advantages, with numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shortlist.rewards.environment import Levels
from shortlist.training.experience import (
    Experience,
    Sampler,
    asked_alone,
    asked_lists,
    credit,
    derive,
    lists_a_query,
    with_alone,
    with_k1,
    with_labels,
    with_levels,
)
from shortlist.training.objectives import METHODS
from shortlist.training.recipe import CreditRecipe, LossRecipe, SamplingRecipe
from shortlist.types import Document, Query, RerankRequest

REQUEST = RerankRequest.of(
    Query(id="q", text="?", answers=("gold",)),
    [Document(id=f"d{i}", text="some gold here" if i == 2 else "nothing") for i in range(4)],
)


def experience(picks, *, stop=False, scores=(0.0, 1.0, 2.0, 3.0)):
    known = torch.tensor([*scores, *([0.5] if stop else [])])
    return Experience(place=0, request=REQUEST, scores_N=known, reference_N=-known, picks_SK=torch.tensor(picks))


def sampler(k=2, *, stop=False, **told):
    return Sampler(SamplingRecipe(k=k, **told), stop)


def test_what_is_read_are_the_samples_then_the_greedy_lists():
    one = experience([[0, 1], [3, 2]])
    for baseline, greedy in (("current", [["d3", "d2"]]), ("mixed", [["d0", "d1"]]), ("leave_one_out", [])):
        lists = asked_lists(one, sampler(), credit := CreditRecipe(baseline=baseline))
        assert [[d.id for d in shown] for _, shown in lists] == [["d0", "d1"], ["d3", "d2"], *greedy]
        assert lists_a_query(SamplingRecipe(samples=2), credit) == len(lists)
    assert [shown[0].id for _, shown in asked_alone(one)] == ["d0", "d1", "d2", "d3"]


def test_a_list_that_stops_holds_what_stands_before_the_null_document():
    one = experience([[4, -1], [3, 4]], stop=True)
    lists = asked_lists(one, sampler(stop=True), CreditRecipe())
    assert [[d.id for d in shown] for _, shown in lists[:2]] == [[], ["d3"]]
    assert one.lengths_S.tolist() == [0, 1]


def test_advantages_of_a_policy_that_stops_credit_what_a_pick_added():
    one = experience([[4, -1], [3, 4], [3, 0]], stop=True)
    told = CreditRecipe(form="marginal", eta=1.0, baseline="none")
    empty, nan = 0.1, np.nan
    totals = np.array([[empty, nan, nan], [empty, 0.5, nan], [empty, 0.5, 0.3]])
    found = with_levels(one, Levels((0, 1, 2), totals, {"f1": totals}), sampler(stop=True), told)
    assert found.levels_SK.tolist() == [[0.1, 0.1], [0.5, 0.5], [0.5, 0.3]]
    np.testing.assert_allclose(found.advantages_SK, [[0, 0], [0.4, 0], [0.2, -0.2]])
    assert found.parts_SK["f1"].tolist() == [0.1, 0.5, 0.3]


def test_the_recipe_s_baselines_and_forms():
    levels, greedy = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.5, 0.5], [1.0, 0.0]])
    zero = np.zeros(2)

    def found(**told):
        row = greedy[1:] if told["baseline"] == "current" else greedy[:1]
        return credit(CreditRecipe(**told), levels, row, zero, zero[:1]).tolist()

    assert found(form="prefix", baseline="reference") == [[-0.5, 0.5], [0.5, 0.5]]
    assert found(form="prefix", baseline="current") == [[-1.0, 1.0], [0.0, 1.0]]
    assert found(form="prefix", baseline="leave_one_out") == [[-1.0, 0.0], [1.0, 0.0]]
    assert found(form="prefix", baseline="group_mean") == [[-0.5, 0.0], [0.5, 0.0]]
    assert found(form="prefix", baseline="mixed", share=0.5) == [[-0.75, 0.25], [0.75, 0.25]]
    assert found(form="to_go", eta=0.5, baseline="reference") == [[-0.25, 0.5], [0.75, 0.5]]
    assert found(form="terminal", baseline="none") == [[1.0, 1.0], [1.0, 1.0]]
    # delta_1 = r_1 + v_2 - v_1, delta_2 = r_2 - v_2; A_1 = delta_1 + delta_2
    assert found(form="gae_terminal", lam=1.0, baseline="reference") == [[0.5, 0.5], [1.5, 0.5]]
    assert found(form="gae_literal", lam=1.0, baseline="reference") == [[0.0, 0.0], [1.0, 0.0]]


def test_draws_depend_on_the_seed_alone():
    told, scores = sampler(k=3, samples=4), torch.randn(8, generator=torch.Generator().manual_seed(1))
    first = told.draw(scores, derive(0, 1, 2))
    assert torch.equal(first, told.draw(scores, derive(0, 1, 2)))
    assert not torch.equal(first, told.draw(scores, derive(0, 1, 3)))


def test_k1_takes_the_divergence_ahead_off_the_advantages():
    one = experience([[3, 2]])
    one = with_levels(
        one,
        Levels((1, 2), np.zeros((1, 2)), {}),
        sampler(standardise=False),
        CreditRecipe(baseline="none"),
    )
    found = with_k1(one, sampler(standardise=False), 0.5).advantages_SK
    u = np.array([0.0, 1, 2, 3])
    first = (3 - np.log(np.exp(u).sum())) - (-3 - np.log(np.exp(-u).sum()))
    second = (2 - np.log(np.exp(u[:3]).sum())) - (-2 - np.log(np.exp(-u[:3]).sum()))
    np.testing.assert_allclose(found, [[-0.5 * (first + second), -0.5 * second]], rtol=1e-5)


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_objective_raises_the_score_of_the_better_passage(name, stop):
    """Passage 2 is right: the loss's gradient pushes it up, and the sum of gradients over passages is about 0."""
    told, shape = CreditRecipe(), sampler(stop=stop, samples=2)
    one = experience([[2, 0], [1, 0]], stop=stop, scores=(0.3, 0.2, 0.1, 0.0))
    totals = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])[:, 0 if stop else 1 :]
    one = with_levels(one, Levels((0, 1, 2)[0 if stop else 1 :], totals, {}), shape, told)
    one = with_labels(with_alone(one, Levels((1,), np.array([[0.0], [0.0], [1.0]]), {})), None)
    leaf = one.scores_N.clone().requires_grad_()
    loss, _ = METHODS[name].objective(shape.logits(leaf), one, shape, LossRecipe(beta=0.0))
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert gradient[2] < 0
    assert gradient[1] > (gradient[2] if name == "list_mle" else 0)  # that one imitates passage 0 behind it as well
    assert abs(float(gradient[: 4 + stop].sum())) < 1e-5
