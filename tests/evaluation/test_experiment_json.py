"""The shape of the JSON, its way back, and the manifest."""

import json
import math
import sys

import pytest
from toy_systems import QRELS, REQUESTS, Finder, Scripted, perfect, request

from shortlist.data.requests import candidates_hash
from shortlist.errors import InvalidFile, InvalidInput, UnknownName
from shortlist.evaluation import Experiment, compare, evaluate
from shortlist.evaluation.manifest import flat, qrels_hash, without_secrets
from shortlist.types import Ranking


def experiment(**told):
    odd = Scripted(lambda one: Ranking.of(one, range(len(one)), scores=(math.inf, 1, 0, math.nan), cutoff=2), "odd")
    requests = [*REQUESTS, request("q\udc80 <4>", {0})]
    return evaluate([perfect(), odd], requests, QRELS, ["RR"], reader=Finder(), read_at=(1, "auto"), **told)


def test_shape(tmp_path):
    path = tmp_path / "new" / "result.json"
    experiment(first_stage="bm25").write(path)
    data = json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN or Infinity would be one
    assert list(data) == ["manifest", "systems"]
    assert [system["name"] for system in data["systems"]] == ["bm25", "perfect", "odd"]
    best = data["systems"][1]
    assert {"name", "measures", "per_query", "calls", "tokens", "seconds", "failures"} <= best.keys()
    assert best["measures"]["RR"] == 1.0
    assert (best["calls"], best["tokens"], best["failures"], best["format_failure_rate"]) == (4, 60, 0, 0.0)
    assert best["per_query"]["q1"]["EM@1"] == 1.0
    assert "RR" not in best["per_query"]["q\udc80 <4>"]  # it has no judgements
    assert best["reader"]["usage"]["calls"] == 4  # without a cutoff, auto is the deepest of the others: read once
    assert data["systems"][2]["cutoffs"] == {"2": 4}


def test_there_and_back(tmp_path):
    whole = experiment()
    whole.write(tmp_path / "a.json")
    again = Experiment.read(tmp_path / "a.json")
    again.write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert again.columns == whole.columns
    assert compare(again, resamples=200) == compare(whole, resamples=200)
    assert [s.examples for s in again.systems] == [s.examples for s in whole.systems]


def test_a_file_of_something_else(tmp_path):
    (tmp_path / "x.json").write_text('{"systems": []}')
    with pytest.raises(InvalidFile, match="not a saved experiment"):
        Experiment.read(tmp_path / "x.json")


def test_systems_by_name():
    whole = experiment()
    assert whole.system("odd").name == "odd"
    with pytest.raises(UnknownName, match="perfect"):
        whole.system("perfekt")
    with pytest.raises(UnknownName):
        whole.first.values("nDCG@7")
    with pytest.raises(InvalidInput, match="different names"):
        Experiment({}, (whole.first, whole.first))


def test_manifest(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/shortlist", "evaluate", "--api-key", "sk-1"])
    manifest = evaluate([perfect()], REQUESTS, QRELS, ["RR"], seed=4, about={"collection": "toy"}).manifest
    assert manifest["candidates"] == candidates_hash(REQUESTS)
    assert manifest["qrels"] == qrels_hash(dict(reversed(QRELS.items())))
    assert manifest["qrels"] != qrels_hash(QRELS | {"q1": {"d1": 2}})
    assert manifest["systems"] == [
        {"name": "first-stage", "identity": "input order"},
        {"name": "perfect", "identity": "scripted/1"},
    ]
    assert (manifest["seed"], manifest["collection"], manifest["measures"]) == (4, "toy", ["RR"])
    assert manifest["command"] == ["shortlist", "evaluate", "--api-key", "***"]
    assert manifest["date"].endswith("+00:00")
    assert {"python", "platform", "shortlist"} <= manifest.keys()
    assert "numpy" in manifest["packages"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["x", "--api-key=sk-1", "--k", "3"], ["x", "--api-key=***", "--k", "3"]),
        (["--hf-token", "t", "--max-tokens", "9"], ["--hf-token", "***", "--max-tokens", "9"]),
    ],
)
def test_secrets_stay_out_of_the_manifest(given, told):
    assert without_secrets(given) == told


def test_depth_is_in_the_candidates_hash():
    cut = evaluate([], REQUESTS, QRELS, ["RR"], depth=2).manifest["candidates"]
    assert cut == candidates_hash(one.head(2) for one in REQUESTS)


def test_flat():
    assert flat({"a": {"b": 1}, "c": [1, 2]}) == [("a.b", "1"), ("c", "1, 2")]
