"""Measures of rankings and of answers.

Rankings: name a measure as the field does and score a list or a run with it.

>>> score_ranking("nDCG@10", ["d2", "d1"], {"d1": 1})  # 1 / log2(3)
0.6309297535714575
>>> evaluate_run(["RR@10"], run={}, qrels={"q1": {"d1": 1}})
{'q1': {'RR@10': 0.0}}

Answers: a prediction against all gold answers.

>>> exact_match("The answer.", ["answer", "reply"])
1.0
"""

from shortlist.metrics.answers import exact_match, normalize_answer, rouge_l, sub_em, token_f1
from shortlist.metrics.measures import Measure, evaluate_run, mean, parse_measure, rank_run, score_ranking
from shortlist.metrics.ranking import ndcg, ndcg_ties, rbo

__all__ = [
    "Measure",
    "evaluate_run",
    "exact_match",
    "mean",
    "ndcg",
    "ndcg_ties",
    "normalize_answer",
    "parse_measure",
    "rank_run",
    "rbo",
    "rouge_l",
    "score_ranking",
    "sub_em",
    "token_f1",
]
