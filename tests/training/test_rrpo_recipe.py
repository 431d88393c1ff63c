"""Recipes: every field has words, a wrong one is told, and the two named ones differ only in what they should."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.training.fields import override, paths
from shortlist.training.recipe import OptimiserRecipe, Recipe
from shortlist.training.schedule import batch_places, schedule

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("rrpo-*.yaml"))


def test_a_recipe_written_and_read_again_is_the_same():
    told = Recipe.of({"policy.stop": True, "optimiser.lr": "3e-5", "reader": "openai:m@http://x?a=b#c: d"})
    assert Recipe.of(yaml.safe_load(told.text())) == told


def test_every_field_has_words_in_the_written_recipe():
    lines = [line for line in Recipe().text().splitlines() if line.strip()]
    assert all(line.partition("  # ")[2].strip() for line in lines), [x for x in lines if "  # " not in x]


def test_a_wrong_field_names_the_right_ones():
    with pytest.raises(UnknownName, match=r"loss\.bta.*Did you mean 'loss\.beta'"):
        Recipe.of({"loss": {"bta": 1}})


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("optimiser.steps=many", "optimiser.steps is 'many'; give int"),
        ("optimiser.steps=1.5", "optimiser.steps is 1.5"),
        ("credit.form=gae", "give one of prefix"),
        ("policy.stop=1", "policy.stop is 1; give bool"),
        ("credit.eta=2", "credit.eta is 2"),
        ("sampling.samples=1", "needs sampling.samples of 2 or more"),
        ("reward.f1=0", "all weights of reward are 0"),
        ("reader=null", "asks a reader and there is none"),
        ("optimiser.lr=0", "optimiser.lr is 0"),
    ],
)
def test_a_value_that_cannot_be_is_told(word, told):
    with pytest.raises(InvalidInput, match=told):
        Recipe.of(dict([override(word)]))


def test_a_file_that_is_no_recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("- 1\n")
    with pytest.raises(InvalidFile, match="a YAML list"):
        Recipe.read(tmp_path / "r.yaml")
    with pytest.raises(InvalidInput, match=r"section\.field=value"):
        Recipe.read(RECIPES[0], ["optimiser.steps"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_come_along_can_be_read(path):
    assert Recipe.read(path).name == path.stem
    assert Recipe.read(path, ["objective=dpo"]).objective == "dpo"


def test_paper_and_ours_differ_only_in_the_choices_that_the_paper_leaves_open():
    paper, ours = (Recipe.read(RECIPES[0].with_name(f"rrpo-{name}.yaml")).flat() for name in ("paper", "ours"))
    changed = {name for name in paper if paper[name] != ours[name]} - {"name"}
    assert changed == {"credit.form", "credit.baseline", "credit.normalise", "loss.ratio", "loss.kl"}


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_every_query_comes_once_an_epoch(count, size, seed):
    steps = -(-3 * count // size)
    places = [place for step in range(1, steps + 1) for place in batch_places(step, count, size, seed)]
    for epoch in range(3):
        assert sorted(places[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(st.integers(1, 50), st.integers(0, 60), st.sampled_from(["constant", "linear", "cosine"]))
def test_rates_go_up_to_the_peak_and_never_to_nothing(steps, warmup, decay):
    told = OptimiserRecipe(steps=steps, warmup=warmup, decay=decay)
    rates = [schedule(step, told) for step in range(1, steps + 1)]
    assert all(0 < rate <= 1 for rate in rates)
    top = min(warmup, steps)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_dotted_names_cover_the_recipe():
    names = [name for name, _ in paths(Recipe)]
    assert len(names) == len(set(names)) == len(Recipe().flat())


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ([], "answers"),
        (["reward.f1=0", "reward.has_answer=1"], "answers"),
        (["reward.f1=0", "reward.ndcg=1"], "judgements"),
        (["reward.f1=0", "reward.recall=1", "objective=supervised"], "judgements"),
    ],
)
def test_what_training_queries_must_have(changes, needs):
    assert Recipe.of(dict(map(override, changes))).learns_from == needs


@pytest.mark.parametrize(
    ("found", "name"),
    [(0, "run/best"), (1, '"hops:minilm-l12?later=run/best"'), (2, '"hops:minilm-l12?hops=3&later=run/best"')],
)
def test_a_later_look_is_used_as_a_part_of_hops(found, name):
    assert Recipe.of({"data.found": found}).reranker("run/best") == name
