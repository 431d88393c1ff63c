"""`shortlist scaling`: one reranker under several values of its options, by the real kinds and a scripted model."""

from __future__ import annotations

import json
import random
import re

import pytest

from shortlist.backends.scripted import ScriptedCompleter
from shortlist.cli import run
from shortlist.evaluation import Experiment, open_settings, settings
from shortlist.rerankers import kinds as kinds_module

GROUPS = "groupwise:any?size=2&design=balanced"


class Grader:
    """Grades right on the whole, with noise of the call; counts the models that were opened and what was asked."""

    def __init__(self, bomb):
        self.bomb, self.opened = bomb, 0
        self.reply = self.grade  # one object: a backend equals another by it

    def open(self, model, options):
        self.opened += 1
        return ScriptedCompleter(self.reply, identity=model)

    def grade(self, ask):
        shown = "\n".join(message.content for message in ask.messages)
        self.bomb.tick(shown)
        passages = re.findall(r"^\[(\d+)\](.*(?:\n(?!\[).*)*)", shown, flags=re.MULTILINE)
        rng = random.Random(shown)
        grades = {f"[{i}]": 4 + 2 * ("The capital of" in text) + rng.choice((-2, 0, 2)) for i, text in passages}
        return json.dumps(grades)


@pytest.fixture
def grader(bomb, monkeypatch):
    made = Grader(bomb)
    monkeypatch.setattr(kinds_module, "open_llm", made.open)
    return made


def scale(collection, *more, reranker=GROUPS):
    base = ["scaling", "--data", str(collection), "--run", str(collection / "run.first.trec"), "--reranker", reranker]
    return run([*base, *map(str, more)])


def test_a_row_a_setting_with_its_calls_and_its_difference_from_the_first(collection, grader, tmp_path, capsys):
    out, page = tmp_path / "curve.json", tmp_path / "curve.html"
    assert scale(collection, "--vary", "repeat=1,2,8", "--json", out, "--html", page) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["setting", "nDCG@10", "difference"]
    assert [line[0] for line in lines[1:5]] == ["first", "repeat=1", "repeat=2", "repeat=8"]
    told = json.loads(out.read_text())
    rows = told["settings"]
    assert [(row["label"], row["calls"]) for row in rows] == [("repeat=1", 3.0), ("repeat=2", 6.0), ("repeat=8", 24.0)]
    assert rows[2]["options"] == {"repeat": "8"}
    assert rows[0]["comparison"] is None
    assert rows[2]["comparison"]["baseline"] == rows[0]["system"] == f"{GROUPS}&repeat=1"
    assert rows[2]["comparison"]["difference"] == pytest.approx(rows[2]["value"] - rows[0]["value"])
    assert rows[2]["value"] > rows[0]["value"]  # a noisy grader gains by being asked again
    assert told["manifest"]["vary"] == ["repeat=1,2,8"]
    assert [system["ranked"] for system in told["systems"]] == [6] * 4
    assert len(Experiment.read(out).systems) == 4
    assert "repeat=8" in page.read_text()


def test_several_options_give_every_combination(collection, grader, tmp_path):
    out = tmp_path / "curve.json"
    assert scale(collection, "--vary", "repeat=1,2", "--vary", "size=2,5", "--measure", "MRR@10", "--json", out) == 0
    rows = json.loads(out.read_text())["settings"]
    assert [row["label"] for row in rows] == [
        "repeat=1 size=2",
        "repeat=2 size=2",
        "repeat=1 size=5",
        "repeat=2 size=5",
    ]
    assert [row["calls"] for row in rows] == [3.0, 6.0, 1.0, 2.0]


def test_options_of_every_reranker_and_of_other_kinds_vary_too(collection, grader, kinds, tmp_path):
    out = tmp_path / "curve.json"
    chain = "scripted-pairs:any >> groupwise:any?size=2"
    assert scale(collection, "--vary", "depth=2,4", "--json", out, reranker=chain) == 0
    rows = json.loads(out.read_text())["settings"]
    assert [row["system"] for row in rows] == [f"{chain}&depth=2", f"{chain}&depth=4"]
    assert [row["calls"] for row in rows] == [5 + 1, 5 + 2]
    window = "listwise:any?window=2&stride=1"
    assert scale(collection, "--vary", "passes=1,2", "--json", out, reranker=window) == 0
    assert [row["calls"] for row in json.loads(out.read_text())["settings"]] == [4.0, 8.0]


def test_settings_share_one_model_unless_it_is_opened_otherwise(grader):
    one, other = open_settings(settings(GROUPS, ["repeat=1,2"]))
    assert one.policy.completer is other.policy.completer
    first, *_, last = open_settings(settings("groupwise:a >> groupwise:b", ["repeat=1,2"]))
    models = [ranker.policy.completer for cascade in (first, last) for ranker, _ in cascade.stages]
    assert models[0] is models[2]
    assert models[1] is models[3]
    assert models[0] is not models[1]


def test_the_cache_is_shared(collection, grader, bomb, tmp_path, capsys):
    out = tmp_path / "curve.json"
    assert scale(collection, "--vary", "repeat=1,2,4", "--json", out, "--cache", tmp_path / "cache.sqlite") == 0
    rows = json.loads(out.read_text())["settings"]
    assert [row["calls"] for row in rows] == [3.0, 6.0, 12.0]
    assert [row["cached"] for row in rows[:2]] == [0.0, 3.0]  # more repeats hold the groups of fewer
    assert 6.0 <= rows[2]["cached"] <= 7.0  # in lists as short as these a group may come twice
    assert len(bomb.asked) == round(6 * sum(row["calls"] - row["cached"] for row in rows))
    assert "Calls that the cache answered" in capsys.readouterr().out


def test_it_goes_on_after_a_stop(collection, grader, bomb, tmp_path):
    out, whole = tmp_path / "curve.json", tmp_path / "whole.json"
    vary = ["--vary", "repeat=1,2"]
    assert scale(collection, *vary, "--json", whole) == 0
    kept = ["--save", tmp_path / "kept", "--json", out]
    bomb.asked.clear()
    bomb.left = 6 * 3 + 2
    assert scale(collection, *vary, *kept) == 130
    bomb.left = None
    bomb.asked.clear()
    assert scale(collection, *vary, *kept, "--resume") == 0
    assert len(bomb.asked) == 6 * 6  # the first setting was done
    left, right = (json.loads(path.read_text())["settings"] for path in (out, whole))
    assert [row["value"] for row in left] == [row["value"] for row in right]


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (["repeats=1,2"], "with repeats=1: unknown option of groupwise:any.*Did you mean 'repeat'"),
        (["anchors=0,1"], "with anchors=1: 1 anchors in groups of 2: at least two places must be free"),
        (["repeat=1,two"], "with repeat=two: .*repeat=two is not a whole number"),
        (["repeat=1", "merger=mean,nil"], "with repeat=1 merger=nil: unknown value for merger"),
        (["name=a,b"], "the name 'a' would be that of every setting"),
        (["repeat"], "'repeat' names no option with its values"),
        (["repeat=1,,2"], "names no option with its values"),
        (["repeat=2,2"], "has a value twice"),
        (["repeat=2"], "one setting only"),
        (["repeat=1,2", "repeat=4,8"], "an option varies twice"),
    ],
)
def test_what_cannot_vary_is_told_before_anything_is_asked(collection, grader, bomb, capsys, vary, words):
    assert scale(collection, *(part for text in vary for part in ("--vary", text))) == 3
    assert re.search(words, capsys.readouterr().err.replace("\n", " "))
    assert not bomb.asked


def test_without_vary_it_is_wrong_usage(collection, grader):
    assert scale(collection) == 2
