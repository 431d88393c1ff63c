"""Every recipe that comes along: it loads, its parts are known, it plans; the paper-scale ones take a step in small."""

from __future__ import annotations

import json

import pytest
from tiny_writers import lessons, writer

from shortlist.cli import run as shortlist
from shortlist.cli.train_common import shipped
from shortlist.data.lessons import write_lessons
from shortlist.errors import InvalidInput, UnknownName
from shortlist.training.log import read_metrics
from shortlist.training.text.forms import prompt_of, served
from shortlist.training.text.plan import Hardware, load_for, make_plan
from shortlist.training.text.recipe import TextRecipe
from shortlist.training.text.run import TextRun, lessons_of, train_text
from shortlist.training.text.scoring import read_parts, tools_needed, weighted
from shortlist.training.text.sizes import SHAPES, shape_of

TEXT = {name: path for name, path in shipped().items() if not name.startswith("rrpo")}
PAPERS = [name for name in TEXT if not name.endswith("-tiny")]


def test_there_is_a_recipe_for_each_method_and_its_tiny_twin():
    assert {"rearank", "grouprank-sft", "grouprank-grpo", "dynamicrag-sft", "dynamicrag-dpo", "dynamicrag-grpo"} <= {
        *TEXT
    }
    assert {"erank-sft", "erank-grpo", "rank-r1"} <= {*TEXT}
    assert all(f"{name}-tiny" in TEXT for name in PAPERS)


@pytest.mark.parametrize("name", TEXT)
def test_a_recipe_loads_validates_and_plans(name):
    recipe = TextRecipe.read(TEXT[name])
    assert recipe.name == name
    assert TextRecipe.of(__import__("yaml").safe_load(recipe.text())) == recipe
    served(recipe, prompt_of(recipe.prompt))
    if not tools_needed(recipe.reward.parts):
        weighted(recipe.reward.parts)
    plan = make_plan(recipe, load_for(recipe, None, count=2000), Hardware(gpus=8, memory=141))
    assert plan.fits
    assert plan.steps > 0
    assert all(count > 0 for count in plan.tokens.values())
    assert "hours" in plan.text()


SMALL = {
    "optimiser.steps": 1, "optimiser.lessons": 1, "optimiser.micro": 4, "sampling.samples": 2,
    "sampling.engine": "transformers",
    "prompt.reply_tokens": 3, "prompt.passage_tokens": 16, "llm.checkpointing": True, "dev.every": 1, "dev.queries": 1,
    "data.prompt_tokens": None, "reward.embedder": None, "reward.judge": None, "optimiser.lr": 1e-4,
}  # fmt: skip
READ = {"dynamicrag-dpo": "1.0 signs + 0.2 f1", "dynamicrag-grpo": "1.0 f1 + 0.1 signs"}


@pytest.mark.parametrize("name", PAPERS)
def test_the_first_step_of_a_paper_recipe_runs_on_a_tiny_model_of_its_architecture(name, tmp_path):
    paper = TextRecipe.read(TEXT[name])
    family = "Qwen3" if "Qwen3" in paper.model else "Llama" if "Llama" in paper.model else "Qwen2"
    model = writer(tmp_path / "model", family)
    changes = {**SMALL, "model": str(model)}
    if name in READ:
        changes |= {"reward.parts": READ[name], "reward.reader": "policy"}
    elif paper.method == "grpo":  # and what tells babble from babble, or there is nothing to learn from
        changes["reward.parts"] = f"1.0 signs + {paper.reward.parts}"
    if name == "erank-grpo":
        changes |= {"optimiser.lessons": 4, "optimiser.micro": 8}
    if name == "dynamicrag-dpo":
        changes["sampling.samples"] = 6
    recipe = TextRecipe.of({**paper.flat(), **changes})
    run = TextRun(recipe=recipe, folder=tmp_path / "run", lessons=lessons_of(recipe, lessons(4, size=2), []))
    assert train_text(run).steps == 1
    (step,) = [line for line in read_metrics(tmp_path / "run") if line["step"]]
    assert step["norm"] > 0
    assert paper.method != "grpo" or {part for _, part, _ in read_parts(recipe.reward.parts)} == set(step["parts"])
    assert (tmp_path / "run" / "checkpoints" / "best" / "reranker_config.json").is_file()


def test_shapes_count_parameters_as_published():
    published = {
        "smollm2-135m": 0.1345,
        "Qwen/Qwen2.5-7B-Instruct": 7.62,
        "Qwen/Qwen3-4B": 4.02,
        "Qwen/Qwen3-32B": 32.8,
    }
    for name, billions in published.items():
        assert SHAPES[name].parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_a_shape_is_read_from_a_folder(qwen):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(qwen)
    assert shape_of(str(qwen)).parameters == pytest.approx(model.num_parameters(), rel=0.03)
    with pytest.raises(InvalidInput, match="is not known; give a folder"):
        shape_of("nobody/nothing")


def test_more_devices_need_less_memory_each_and_fewer_hours():
    recipe = TextRecipe.read(TEXT["grouprank-sft"])
    load = load_for(recipe, None)
    one, many = (make_plan(recipe, load, Hardware(gpus=gpus)) for gpus in (1, 64))
    assert not one.fits
    assert many.memory["weights"] == pytest.approx(one.memory["weights"] / 64)
    assert sum(many.hours.values()) == pytest.approx(sum(one.hours.values()) / 64)


def test_the_plan_counts_the_lessons_at_hand(tmp_path, capsys):
    write_lessons(tmp_path / "lessons.jsonl", lessons(6))
    job = ["train", "plan", "grouprank-grpo-tiny", "--lessons", str(tmp_path / "lessons.jsonl")]
    assert shortlist([*job, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["load"]["lessons"] == 6
    assert told["load"]["counted"]
    assert shortlist(job) == 0
    assert "assumed" in capsys.readouterr().out


def test_a_reward_in_words():
    assert read_parts("0.8 relative-ndcg?k=10&failed=-0.5 + rbo") == [
        (0.8, "relative-ndcg", {"k": 10, "failed": -0.5}),
        (1.0, "rbo", {}),
    ]
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_parts("ndcg and more")
    with pytest.raises(InvalidInput, match="comes twice"):
        weighted("1 ndcg + 1 ndcg?k=3")
    assert len(weighted("1 ndcg + 1 ndcg?k=3&name=head").parts) == 2
    with pytest.raises(UnknownName, match="reward"):
        weighted("1 nothing")
