"""Measures by the field's notation, and the runs they score.

A measure is *declared* by one line in ``FORMULAS``: its formula's keyword arguments are its parameters, defaults
included. The notation, the names and the tie rule are those of ir_measures and trec_eval.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, TypeAlias

from shortlist.errors import InvalidInput, UnknownName
from shortlist.metrics import ranking
from shortlist.metrics.ranking import Judged, Ranked
from shortlist.types import Qrels, Run

Formula: TypeAlias = Callable[[Ranked, Judged], float]

FORMULAS: Final[Mapping[str, Callable[..., float]]] = {
    "AP": ranking.average_precision,
    "Compat": ranking.compatibility,
    "Judged": ranking.judged_share,
    "P": ranking.precision,
    "R": ranking.recall,
    "RR": ranking.reciprocal_rank,
    "SetF": ranking.set_f1,
    "SetP": ranking.set_precision,
    "SetR": ranking.set_recall,
    "Success": ranking.success,
    "nDCG": ranking.ndcg,
}
ALIASES: Final[Mapping[str, str]] = {
    "MAP": "AP",
    "MRR": "RR",
    "NDCG": "nDCG",
    "Precision": "P",
    "RBO": "Compat",
    "Recall": "R",
}
_NOTATION: Final = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<params>.*)\))?\s*(?:@\s*(?P<k>\d+))?\s*")


@dataclass(frozen=True, slots=True)
class Measure:
    """A ranking measure: its name in ir_measures notation, and a formula over (ranked grades, all judged grades).

    ``str()`` gives the name; two measures of one name are equal. One of your own needs no registration:
    ``Measure("Found", lambda ranked, judged: float(any(ranked)))``.
    """

    name: str
    formula: Formula = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@cache
def parse_measure(text: str) -> Measure:
    """Read a measure in the field's notation, such as ``nDCG@10``, ``AP(rel=2)@100`` or ``nDCG(dcg='exp-log2')@10``.

    Spellings that ir_measures also takes (``MRR@10``, ``MAP``) give the measure under its one name (``RR@10``, ``AP``);
    ``RBO(p=0.9)`` gives ``Compat(p=0.9)``, the rank-biased overlap with the nearest ideal ranking.

    Raises :class:`UnknownName` for a measure or a parameter that does not exist, and :class:`InvalidInput` for a text
    that is not in the notation, a value of the wrong kind, or a cutoff that is missing where the measure needs one.
    """
    match = _NOTATION.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a measure; write it as nDCG@10 or AP(rel=2)@100")
    name = ALIASES.get(match["name"], match["name"])
    if name not in FORMULAS:
        raise UnknownName("measure", match["name"], FORMULAS)
    params = _parameters(text, name, match["params"] or "")
    if match["k"]:
        params["k"] = int(match["k"])
    return _bound(text, name, params)


def score_ranking(measure: Measure | str, ranked_ids: Sequence[str], judgements: Mapping[str, int]) -> float:
    """Score one ranking, best first, against its query's judgements (document id to grade).

    Raises :class:`InvalidInput` if an id occurs twice, since it would be counted twice.
    """
    if len(set(ranked_ids)) < len(ranked_ids):
        raise InvalidInput(f"a ranking names a document once; got {list(ranked_ids)!r}")
    return _measure(measure).formula(list(map(judgements.get, ranked_ids)), judgements.values())


def rank_run(scores: Mapping[str, float]) -> list[str]:
    """Order a query's documents as trec_eval does: by score, highest first, and equal scores by id, *last* id first.

    trec_eval holds scores as 32-bit floats, so scores that differ only beyond that are equal here too; write ranks
    (n, n-1, …) rather than scores if such an order must survive. Raises :class:`InvalidInput` if a score is NaN.
    """
    single = array("f", scores.values())
    if any(map(math.isnan, single)):
        raise InvalidInput(f"a score is NaN, which has no place in an order: {dict(scores)!r}")
    return [docid for _, docid in sorted(zip(single, scores, strict=True), reverse=True)]


def evaluate_run(measures: Iterable[Measure | str], run: Run, qrels: Qrels) -> dict[str, dict[str, float]]:
    """Score a run query by query: query id to measure name to value.

    *Every* query of the qrels is in the result, so a query that the run lacks counts 0 in the mean, as in ir_measures
    and ``trec_eval -c``. A query that the qrels lack is left out.
    """
    wanted = [_measure(measure) for measure in measures]
    return {qid: _evaluate_query(wanted, run.get(qid, {}), judgements) for qid, judgements in qrels.items()}


def mean(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Average each measure over the queries that :func:`evaluate_run` gave."""
    if not per_query:
        raise InvalidInput("there is no query to average over; are the qrels empty?")
    rows = list(per_query.values())
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _measure(measure: Measure | str) -> Measure:
    return parse_measure(measure) if isinstance(measure, str) else measure


def _evaluate_query(
    measures: Iterable[Measure], scores: Mapping[str, float], judgements: Mapping[str, int]
) -> dict[str, float]:
    ranked = list(map(judgements.get, rank_run(scores)))
    return {measure.name: measure.formula(ranked, judgements.values()) for measure in measures}


def _parameters(text: str, name: str, params: str) -> dict[str, Any]:
    """Read ``key=value, …`` with Python's literals, each of the kind of the formula's default."""
    defaults = {key: p.default for key, p in _declared(name).items() if key != "k"}
    values: dict[str, Any] = {}
    for pair in filter(None, map(str.strip, params.split(","))):
        key, _, literal = (part.strip() for part in pair.partition("="))
        if key not in defaults:
            raise UnknownName(f"parameter of {name}", key, defaults)
        values[key] = _literal(text, literal)
        if type(values[key]) is not type(defaults[key]):
            raise InvalidInput(f"{text!r}: {key} is of the kind of {defaults[key]!r}; got {literal}")
    return values


def _literal(text: str, literal: str) -> object:
    try:
        return ast.literal_eval(literal)
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(f"{text!r}: {literal!r} is not a number or a quoted word") from error


def _bound(text: str, name: str, params: dict[str, Any]) -> Measure:
    """Bind a formula to its parameters under its canonical name, which leaves out defaults."""
    declared = _declared(name)
    if "k" in params and "k" not in declared:
        raise InvalidInput(f"{text!r}: {name} takes no cutoff")
    if "k" not in params and "k" in declared and declared["k"].default is inspect.Parameter.empty:
        raise InvalidInput(f"{text!r}: {name} needs a cutoff, such as {name}@10")
    stated = [
        f"{key}={params[key]!r}"
        for key, p in declared.items()
        if key != "k" and params.get(key, p.default) != p.default
    ]
    measure = Measure(
        name + (f"({','.join(stated)})" if stated else "") + (f"@{params['k']}" if "k" in params else ""),
        partial(FORMULAS[name], **params),
    )
    measure.formula((), ())  # a value out of range is an error here, not at the first query
    return measure


def _declared(name: str) -> dict[str, inspect.Parameter]:
    """Return a formula's keyword arguments: they are the measure's parameters."""
    signature = inspect.signature(FORMULAS[name])
    return {key: p for key, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}
