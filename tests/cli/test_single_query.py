"""`shortlist rerank -q`: files, lines, standard input."""

from __future__ import annotations

import io
import json

import pytest

from shortlist.cli import run

ASK = ["rerank", "--reranker", "scripted-pairs:any", "-q", "capital of Peru?"]


@pytest.fixture
def passages(tmp_path, kinds):
    (tmp_path / "a.txt").write_text("Peru has rivers.\n\nAnd [/hills] of [bold]size.\n")
    (tmp_path / "b.txt").write_text("\ufeffThe capital of Peru is Lima.\n", encoding="utf-8")
    return [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def ranking(capsys):
    told = json.loads(capsys.readouterr().out)
    return [told["candidates"][place]["id"] for place in told["ranking"]["order"]], told


def test_each_file_is_a_passage(passages, capsys):
    assert run([*ASK, *passages, "--json"]) == 0
    ids, told = ranking(capsys)
    assert ids == [passages[1], passages[0]]
    assert told["candidates"][1]["text"].startswith("The capital")  # no byte-order mark


def test_each_line_is_a_passage(passages, capsys):
    assert run([*ASK, *passages, "--lines", "--json"]) == 0
    ids, _ = ranking(capsys)
    assert ids == [f"{passages[1]}:1", f"{passages[0]}:1", f"{passages[0]}:2"]


def test_the_table_shows_passages_as_they_are(passages, capsys):
    assert run([*ASK, *passages]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split()[:3] == ["1", "2", "2.000"]
    assert "[/hills] of [bold]size." in rows[2]


def stdin(monkeypatch, raw: bytes):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))


def test_lines_of_standard_input(kinds, monkeypatch, capsys):
    stdin(monkeypatch, b"rivers\n\nthe capital\n")
    assert run([*ASK, "--json"]) == 0
    assert ranking(capsys)[0] == ["3", "1"]


@pytest.mark.parametrize(("raw", "kept"), [(b"", 0), (b"only one\n", 1)])
def test_no_passage_and_one_passage(kinds, monkeypatch, capsys, raw, kept):
    stdin(monkeypatch, raw)
    assert run([*ASK, "--json"]) == 0
    ids, told = ranking(capsys)
    assert len(ids) == kept
    assert told["ranking"]["status"] == "ok"


def test_a_terminal_is_asked_for_passages(kinds, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(ASK) == 3
    assert "give text files to rank" in capsys.readouterr().err


def test_input_that_is_not_text(kinds, monkeypatch, tmp_path, capsys):
    stdin(monkeypatch, b"fine\nK\xf6ln\n")
    assert run(ASK) == 3
    assert "standard input is not UTF-8" in capsys.readouterr().err
    (tmp_path / "latin.txt").write_bytes("Köln".encode("latin-1"))
    assert run([*ASK, str(tmp_path / "latin.txt")]) == 3
    assert "latin.txt is not UTF-8" in capsys.readouterr().err


def test_files_that_are_not_there_or_come_twice(passages, capsys):
    assert run([*ASK, "no-such.txt"]) == 3
    assert "no-such.txt is not a file" in capsys.readouterr().err
    assert run([*ASK, passages[0], passages[0]]) == 3
    assert "come more than once" in capsys.readouterr().err


def test_empty_query(passages, capsys):
    assert run([*ASK[:3], "-q", "  ", *passages]) == 3
    assert "has no text" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--output", "x.trec"], ["--data", "x"], ["--split", "dev"], ["--requests", "x"]])
def test_options_of_jobs_do_not_go_with_a_single_query(passages, capsys, option):
    assert run([*ASK, *passages, *option]) == 3
    assert "--query ranks files or standard input" in capsys.readouterr().err


def test_files_need_a_query(passages, capsys):
    assert run([*ASK[:3], *passages]) == 3
    assert "go with --query" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_ranking_that_could_not_be_made_is_exit_code_5_and_still_shown(passages, capsys, more):
    spec = ["rerank", "--reranker", "scripted-list:error", "-q", "x", *passages, *more]
    assert run(spec) == 5
    told = capsys.readouterr()
    assert passages[0] in told.out
    assert "first order" in told.err
    assert run([*spec, "--on-error", "raise"]) == 5
    assert "the server is on fire" in capsys.readouterr().err
    assert run([*spec, "--on-error", "ignore"]) == 3
    assert "raise, report" in capsys.readouterr().err


def test_why(passages, capsys):
    assert run([*ASK, *passages, "--explain"]) == 0
    told = capsys.readouterr()
    assert f"1. {passages[1]} (was 2, 1 up)" in told.out
    assert "The capital of Peru is Lima." in told.out.split("1 up)")[1]
    assert "occlusion by sentence" in told.err
    assert run([*ASK, *passages, "--explain", "--json"]) == 0
    why = ranking(capsys)[1]["explanation"]
    assert why["method"] == "occlusion by sentence"
    assert [one["moved"] for one in why["passages"]] == [1, -1]
    (span,) = why["passages"][0]["spans"]
    assert "The capital of Peru is Lima."[span["start"] : span["end"]] == "The capital of Peru is Lima."


def test_why_is_for_one_query(kinds, tmp_path, capsys):
    command = ["rerank", "--reranker", "scripted-pairs:any", "--requests", "r.jsonl", "--output", "o", "--explain"]
    assert run(command) == 3
    assert "--explain goes with --query" in capsys.readouterr().err
