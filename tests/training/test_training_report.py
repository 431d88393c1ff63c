"""The report of a run says what happened in it, question by question."""

from __future__ import annotations

import re
from html import unescape

import pytest

pytest.importorskip("torch")
from shortlist.training.report import RunFacts, render


def record(name, reward, kept, answer="", golds=("gold",)):
    passages = [{"id": f"{name}-{i}", "title": f"Title {i}", "text": f"words of {name} {i}"} for i in range(kept)]
    return {
        "id": name,
        "query": f"ask {name}",
        "golds": list(golds),
        "reward": reward,
        "kept": passages,
        "answer": answer,
    }


def step(number, reward, **more):
    return {"step": number, "loss": 1.0 / number, "reward": reward, "parts": {"f1": reward, "likelihood": 0.5}, **more}


COSTS = {"made": 10, "saved": 30, "failed": 1, "tokens": 12345, "seconds": 8.0, "waiting": 2.0, "reading": 4.0}
FACTS = RunFacts(
    name="my-run",
    steps=[
        {"step": 0, "dev": {"reward": 0.25, "f1": 0.25}},
        step(1, 0.1, k={"3": 4}),
        step(2, 0.2, k={"3": 4}, alarms=["entropy 0.01 is below 0.05"]),
        step(3, 0.3, k={"3": 4}),
        step(4, 0.4, k={"1": 5, "2": 2}, dev={"reward": 0.5, "f1": 0.5}),
    ],
    costs=[COSTS, COSTS],
    before=[record("won", 0.0, 3, "wrong"), record("same", 0.5, 3), record("lost", 1.0, 2, "<b>right</b>")],
    best=[record("won", 1.0, 1, "gold"), record("same", 0.5, 3), record("lost", 0.25, 2, None)],
    values={"reward": (0.5, 0.5833), "f1": (None, 0.25)},
    about={"seed": 7, "model": "minilm"},
    recipe="name: my-run  # a recipe",
)


def section(name, facts=FACTS):
    """A section as HTML, and as words alone."""
    html = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', render(facts), re.DOTALL)
    return html and (html[1], " ".join(unescape(re.sub(r"<[^>]+>", " ", html[1])).split()))


def test_what_it_brought():
    _, words = section("results")
    assert "reward 0.5000 0.5833 +0.0833" in words
    assert "f1 – 0.2500 –" in words
    assert "4 steps. On 3 dev questions the reward went from 0.5000 to 0.5833." in render(FACTS)


def test_curves_hold_every_step_and_every_alarm():
    html, words = section("curves")
    for number, reward in ((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)):
        assert f"step {number}: reward {reward:g}" in words
    assert "step 0: f1 0.2500" in words
    assert "step 4: f1 0.5000" in words
    assert "step 2: entropy 0.01 is below 0.05" in words
    assert "Parts of the reward" in words
    assert html.count("<figure") == 4  # dev, reward, loss, parts; nothing is drawn of what was not measured


def test_how_many_are_kept():
    html, words = section("kept")
    assert html.count("<figure") == 3
    drawn = [" ".join(unescape(re.sub(r"<[^>]+>", " ", part)).split()) for part in html.split("<figure")[1:]]
    assert "1 kept 2, 2 kept 3" in drawn[0]
    assert "1 kept 1, 1 kept 2, 1 kept 3" in drawn[1]
    assert "5 kept 1, 2 kept 2" in drawn[2]
    assert "kept 3" not in drawn[2]  # the last quarter of the steps alone
    assert "sampled" in words


def test_wins_and_losses_with_passages_and_answers():
    _, told = section("queries")
    assert "1 better, 1 equal, 1 worse" in told
    assert "won: +1.0000" in told
    html, words = section("examples")
    assert words.index("+1.000 ask won") < words.index("-0.750 ask lost")
    assert "ask same" not in words
    assert "Gold: gold" in words
    won = words[words.index("ask won") : words.index("ask lost")]
    assert re.search(r"before · 0\.0000, keeps 3 wrong Title 0 words of won 0", won)
    assert re.search(r"best · 1\.0000, keeps 1 gold Title 0 words of won 0 won-0$", won.rsplit(" -0.750", 1)[0])
    assert "no answer" in words
    assert "&lt;b&gt;right&lt;/b&gt;" in html


def test_what_it_cost_and_how_it_was_made():
    _, words = section("cost")
    assert "readings asked of the reader 20" in words
    assert "saved by the cache 60 (75%)" in words
    assert "tokens read and written 24,690" in words
    _, made = section("recipe")
    assert "seed 7" in made
    assert "name: my-run # a recipe" in made
