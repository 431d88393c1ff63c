"""The table in a terminal and out of it."""

import io

from toy_systems import QRELS, REQUESTS, broken, perfect, request

from shortlist.evaluation import compare, evaluate
from shortlist.evaluation.table import print_table


def printed(experiment, **told):
    file = io.StringIO()
    print_table(experiment, file=file, **told)
    return file.getvalue()


def test_plain_where_there_is_no_terminal():
    text = printed(evaluate([perfect(cutoff=2), broken()], REQUESTS, QRELS, ["RR", "P@1"], first_stage="bm25"))
    lines = [line.split() for line in text.splitlines()]
    assert "\x1b" not in text
    assert lines[0][:4] == ["system", "RR", "P@1", "kept"]
    assert lines[1] == ["bm25", "0.5833", "0.3333", "all", "0.0", "0", *lines[1][6:7], "0", "0.0%"]
    assert lines[2][:6] == ["perfect", "1.0000", "+0.4167", "1.0000", "+0.6667", "2.0"]
    assert lines[3][-2:] == ["3", "100.0%"]
    assert "Differences are from bm25" in text


def test_a_difference_beyond_chance_is_marked():
    requests = [request(f"q{i}", {1}) for i in range(30)]
    result = evaluate([perfect()], requests, {f"q{i}": {"d1": 1} for i in range(30)}, ["RR"])
    assert "+0.5000**" in printed(result)
    assert compare(result)[0].mark == "**"


def test_narrow_terminals_get_several_tables():
    result = evaluate([perfect()], REQUESTS, QRELS, ["RR", "P@1", "nDCG@10", "AP"])
    text = printed(result, width=50)
    table = text[: text.index("Differences")]
    assert max(map(len, table.splitlines())) <= 50
    assert table.count("system") > 1
    assert all(name in table for name in ("RR", "P@1", "nDCG@10", "AP", "tokens/q"))


def test_best_is_bold_in_a_terminal():
    file = io.StringIO()
    from rich.console import Console

    from shortlist.evaluation.table import tables

    result = evaluate([perfect()], REQUESTS, QRELS, ["RR"])
    Console(file=file, force_terminal=True, width=200, color_system="standard").print(*tables(result, ()))
    assert "\x1b[1m1.0000" in file.getvalue()
    assert "\x1b[1m0.5833" not in file.getvalue()


def test_what_must_be_known_is_told():
    text = printed(evaluate([], REQUESTS[:2], QRELS, ["RR"]))
    assert "1 of the queries had no request; they count 0." in text
