"""A killed evaluation goes on where it stopped, and refuses to go on with another one."""

import json

import pytest
from toy_systems import QRELS, REQUESTS, Finder, Scripted, perfect, to_front

from shortlist.errors import InvalidFile, InvalidInput
from shortlist.evaluation import evaluate


class Killed(Exception):
    pass


def run(folder, *, kill_at=None, asked=None, **told):
    """The perfect ranker, which dies at a query."""

    def rank(one):
        if one.query.id == kill_at:
            raise Killed
        (asked if asked is not None else []).append(one.query.id)
        return to_front(one, cutoff=2)

    given = {"qrels": QRELS, "measures": ["RR", "nDCG@10"], "resume": True} | told
    return evaluate([Scripted(rank, "a/b system"), perfect()], REQUESTS, save=folder, **given)


def plain(experiment):
    """All that does not depend on how fast the machine was."""
    told = [system.summary() | {"per_query": system.per_query, "seconds": None} for system in experiment.systems]
    for system in told:
        if system["reader"]:
            system["reader"]["seconds"] = None
    return told


@pytest.mark.parametrize("kill_at", ["q1", "q2", "q3"])
def test_goes_on_where_it_stopped(tmp_path, kill_at):
    with pytest.raises(Killed):
        run(tmp_path, kill_at=kill_at)
    asked = []
    resumed = run(tmp_path, asked=asked)
    assert asked == [f"q{i}" for i in range(int(kill_at[1]), 4)]
    assert plain(resumed) == plain(run(None))


def test_goes_on_with_answers(tmp_path):
    told = {"reader": Finder(), "read_at": (1, "auto")}
    whole = run(tmp_path, **told)
    journal = tmp_path / "01-a-b-system.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    asked = []
    assert plain(run(tmp_path, asked=asked, **told)) == plain(whole)
    assert asked == ["q2", "q3"]


def test_a_torn_line_is_done_again(tmp_path):
    whole = run(tmp_path)
    journal = tmp_path / "01-a-b-system.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    asked = []
    assert plain(run(tmp_path, asked=asked)) == plain(whole)
    assert asked == ["q3"]
    assert [json.loads(line)["query_id"] for line in journal.read_text().splitlines()] == ["q1", "q2", "q3"]


def test_a_finished_one_asks_nothing(tmp_path):
    run(tmp_path)
    asked = []
    run(tmp_path, asked=asked)
    assert asked == []


def test_does_not_overwrite(tmp_path):
    run(tmp_path, resume=False)
    with pytest.raises(InvalidInput, match="resume=True"):
        run(tmp_path, resume=False)


def test_refuses_other_settings(tmp_path):
    run(tmp_path)
    with pytest.raises(InvalidInput, match=r"measures was \['RR', 'nDCG@10'\], is \['RR'\]"):
        run(tmp_path, measures=["RR"])


def test_refuses_other_requests(tmp_path):
    evaluate([], REQUESTS, QRELS, ["RR"], save=tmp_path)
    with pytest.raises(InvalidInput, match="not those"):
        evaluate([], [*REQUESTS[:2], REQUESTS[2].head(2)], QRELS, ["RR"], save=tmp_path, resume=True)


def test_a_spoilt_line_says_where(tmp_path):
    run(tmp_path)
    journal = tmp_path / "01-a-b-system.jsonl"
    journal.write_text("{}\n" + journal.read_text())
    with pytest.raises(InvalidFile, match=r"01-a-b-system.jsonl:1"):
        run(tmp_path)


def test_a_broken_header_says_so(tmp_path):
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(InvalidFile, match=r"evaluation\.json: not JSON"):
        run(tmp_path)
