"""Settings from texts, and what a scaling tells: rows, lines, its page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report import checked
from toy_systems import QRELS, REQUESTS, Scripted, to_front

from shortlist.errors import InvalidInput
from shortlist.evaluation import Experiment, Scaling, compare, evaluate, settings
from shortlist.evaluation.scaling_report import notes, render_scaling, write_scaling_report
from shortlist.rerankers.spec import CHAIN, read_options, with_options
from shortlist.types import Ranking, Usage

SPEC = "groupwise:m?size=10"


def as_it_was(one, usage):
    return Ranking.of(one, range(len(one)), usage=usage)


def experiment(chosen, *, cached=0):
    """Every setting but the first finds the answer; the n-th takes n calls."""
    rankers = [
        Scripted(
            lambda one, n=n: to_front(one) if n > 1 else as_it_was(one, Usage(1, 10, 5, cached, 0.5)), setting.spec
        )
        for n, setting in enumerate(chosen, start=1)
    ]
    return evaluate(rankers, REQUESTS, QRELS, ["nDCG@10"], examples=0, about={"data": "toy"})


def scaling(*vary, cached=0):
    chosen = settings(SPEC, vary)
    return Scaling(experiment(chosen, cached=cached), chosen, "nDCG@10")


def test_settings_are_every_combination_the_first_option_fastest():
    made = settings(SPEC, ["repeat=1, 2", "anchors=0,2"])
    assert [setting.label for setting in made] == [
        "repeat=1 anchors=0",
        "repeat=2 anchors=0",
        "repeat=1 anchors=2",
        "repeat=2 anchors=2",
    ]
    assert made[1].spec == f"{SPEC}&repeat=2&anchors=0"


def test_a_value_overrules_the_names_own_and_may_hold_commas_if_parted_by_bars():
    one, other = settings("cross-encoder:m?keep=top:3", ["keep=null:1,2,3,4|gap"])
    assert (one.spec, other.spec) == ("cross-encoder:m?keep=null:1,2,3,4", "cross-encoder:m?keep=gap")


NAMES = st.text("abc_", min_size=1, max_size=5)
VALUES = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() and text.strip() == text)


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3))
def test_options_that_are_set_are_read_back(before, given_):
    spec = with_options(with_options("cross-encoder:a >> groupwise:m@http://h/v1", before), given_)
    first, _, last = spec.partition(f" {CHAIN} ")
    assert first == "cross-encoder:a"
    body, _, query = last.partition("?")
    assert body == "groupwise:m@http://h/v1"
    assert read_options(query, last) == {**before, **given_}


def test_rows_compare_with_the_first_setting_and_not_with_the_first_stage():
    told = scaling("repeat=1,2,4")
    assert told.first_stage.calls == 0
    assert told.first_stage.comparison is None
    first, second, third = told.rows
    assert first.comparison is None
    assert second.comparison.baseline == third.comparison.baseline == first.system
    assert second.comparison.difference == pytest.approx(second.value - first.value) == third.comparison.difference
    settings_alone = Experiment(told.experiment.manifest, told.experiment.systems[1:])
    assert tuple(row.comparison for row in told.rows[1:]) == compare(settings_alone)


def test_lines_run_along_the_first_option():
    lines = dict(scaling("repeat=1,2", "anchors=0,2").lines())
    assert list(lines) == ["anchors=0", "anchors=2"]
    assert [row.options[0] for row in lines["anchors=2"]] == [("repeat", "1"), ("repeat", "2")]
    assert list(dict(scaling("repeat=1,2").lines())) == [""]


def test_what_the_cache_answered_counts_as_calls_and_is_told():
    told = scaling("repeat=1,2", cached=4)
    assert (told.rows[0].calls, told.rows[0].cached, told.rows[0].tokens) == (5.0, 4.0, 15.0)
    assert any("the cache answered" in line for line in notes(told))
    assert "tokens a query" not in render_scaling(told)
    assert not any("the cache answered" in line for line in notes(scaling("repeat=1,2")))


def test_the_page_is_valid_and_the_same_each_time(tmp_path):
    told = scaling("repeat=1,2", "anchors=0,2")
    html = render_scaling(told)
    page = checked(html)
    text = "".join(page.text)
    assert {"curve", "settings", "manifest"} <= set(page.ids)
    assert page.tags.count("svg") == 3
    assert page.tags.count("polyline") == 6
    assert "repeat=2 anchors=0 takes nDCG@10 from" in text
    assert html == render_scaling(told)
    write_scaling_report(told, tmp_path / "curve.html")
    assert (tmp_path / "curve.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_no_better_setting_is_said_so():
    chosen = settings(SPEC, ["repeat=1,2"])
    same = [Scripted(lambda one: to_front(one), setting.spec) for setting in chosen]
    told = Scaling(evaluate(same, REQUESTS, QRELS, ["nDCG@10"], examples=0), chosen, "nDCG@10")
    assert "No setting does better than repeat=1 on nDCG@10." in render_scaling(told)


def test_other_systems_or_no_judgements_are_refused():
    chosen = settings(SPEC, ["repeat=1,2"])
    with pytest.raises(InvalidInput, match="are not the settings"):
        Scaling(experiment(chosen), chosen[:1], "nDCG@10")
    with pytest.raises(InvalidInput, match="no query has a value of RR"):
        Scaling(experiment(chosen), chosen, "RR")
