"""Every command explains itself; wrong usage has its own exit code."""

from __future__ import annotations

import json
import re

import pytest

from shortlist._version import __version__
from shortlist.cli import run
from shortlist.cli.app import app

COMMANDS = [command.name for command in app.registered_commands]


def told(capsys):
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_the_commands_are_those_of_the_first_walk():
    walk = ["demo", "index", "retrieve", "rerank", "answer", "evaluate", "models", "doctor"]
    assert [name for name in COMMANDS if name in walk] == walk


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_teaches_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    assert f"shortlist {command}" in told(capsys).partition("Usage:")[2].partition("\n")[2]


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    text = told(capsys)
    assert all(command in text for command in COMMANDS)


def test_version(capsys):
    assert run(["--version"]) == 0
    assert told(capsys).strip() == __version__


@pytest.mark.parametrize(
    "wrong", [["nosuch"], ["rerank"], ["rerank", "--reranker"], ["rerank", "--reranker", "x:y", "--depth", "0"]]
)
def test_wrong_usage_is_exit_code_2_and_says_what(wrong, capsys):
    assert run(wrong) == 2
    assert "Error" in capsys.readouterr().err


def test_models_lists_models_and_kinds(capsys):
    assert run(["models"]) == 0
    text = told(capsys)
    assert "minilm-l12" in text
    assert "groupwise" in text
    assert run(["models", "--json"]) == 0
    parsed = json.loads(told(capsys))
    assert {"name", "licence", "here"} <= parsed["models"][0].keys()
    assert parsed["kinds"]["cross-encoder"]


def test_fetching_an_unknown_model_lists_the_known_ones(capsys):
    assert run(["models", "--fetch", "minilm-l13"]) == 3
    message = capsys.readouterr().err
    assert "minilm-l12" in message


def test_doctor_tells_of_the_environment(capsys):
    assert run(["doctor", "--json"]) == 0
    env = json.loads(told(capsys))["environment"]
    assert env["shortlist"] == __version__
    assert env["packages"]["numpy"]


def test_doctor_passes_a_reranker_that_ranks_and_fails_one_that_does_not(kinds, capsys):
    assert run(["doctor", "--reranker", "scripted-list:[3] > [1] > [2]", "--json"]) == 0
    assert json.loads(told(capsys))["self_test"]["passed"] is True
    assert run(["doctor", "--reranker", "scripted-list:[1] > [2] > [3]"]) == 5
    assert "0 of 3 golden queries" in capsys.readouterr().err
