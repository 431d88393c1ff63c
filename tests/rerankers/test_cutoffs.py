import math

import pytest

from shortlist.errors import InvalidInput, UnknownName
from shortlist.rerankers.compose import FirstStage, Keep
from shortlist.rerankers.cutoffs import (
    LargestGap,
    ModelSays,
    NullDocument,
    Threshold,
    TokenBudget,
    TopK,
    cut,
    parse_rule,
)
from shortlist.testing.rerankers import check_reranker
from shortlist.types import Ranking, RerankRequest


def scored(*scores, cutoff=None):
    request = RerankRequest.of("q", [f"word{i}" for i in range(len(scores))])
    return Ranking.of(request, range(len(scores)), scores=scores, cutoff=cutoff)


UNSCORED = Ranking.of(RerankRequest.of("q", ["one", "two words", "three words now"]), range(3))


@pytest.mark.parametrize(
    ("rule", "ranking", "kept"),
    [
        (TopK(2), scored(3.0, 2.0, 1.0), 2),
        (TopK(9), scored(3.0), 1),
        (TopK(0), scored(3.0), 0),
        (Threshold(2.0), scored(3.0, 2.0, 1.0), 2),
        (Threshold(5.0), scored(3.0), 0),
        (Threshold(0.0), scored(3.0, 1.0), 2),
        (Threshold(0.0), scored(3.0, -1.0, 2.0), 1),  # a prefix, whatever comes after
        (Threshold(0.0), scored(), 0),
        (LargestGap(), scored(9.0, 8.0, 3.0, 2.0), 2),
        (LargestGap(minimum=3), scored(9.0, 8.0, 3.0, 2.0), 3),
        (LargestGap(maximum=1), scored(9.0, 8.0, 3.0, 2.0), 1),
        (LargestGap(), scored(5.0, 5.0, 5.0), 3),
        (LargestGap(maximum=2), scored(5.0, 5.0, 5.0), 2),
        (LargestGap(), scored(3.0, 2.0, 1.0), 1),
        (LargestGap(minimum=5), scored(3.0, 1.0), 2),
        (LargestGap(), scored(3.0), 1),
        (LargestGap(), scored(), 0),
        (NullDocument(), scored(9.0, 1.0, 1.0, 1.0), 1),  # mean 3, deviation 3.46
        (NullDocument(of_max=1, of_mean=0, of_std=0, bias=-8.0), scored(9.0, 1.0, 0.5), 2),  # 1: a tie stays
        (NullDocument(of_mean=0, of_std=0, bias=2.0), scored(1.0), 0),
        (NullDocument(of_mean=0, of_std=0, bias=-2.0, at_most=2), scored(3.0, 2.0, 1.0), 2),
        (NullDocument(of_std=0), scored(3.0, 1.0, math.nan), 1),  # unjudged ones stand last and count for nothing
        (NullDocument(of_mean=0, of_std=0, of_shares=True), scored(1.0, 0.7, 0.5, 0.4, 0.0), 3),
        (NullDocument(bias=-1.0), scored(), 0),
        (TokenBudget(3, lambda text: len(text.split())), UNSCORED, 2),
        (TokenBudget(0), UNSCORED, 0),
        (TokenBudget(10**6), UNSCORED, 3),
        (ModelSays(), scored(1.0, 1.0, cutoff=1), 1),
        (ModelSays(), scored(1.0, 1.0, cutoff=0), 0),
        (ModelSays(), scored(1.0, 1.0), 2),
        (ModelSays(at_most=1), scored(1.0, 1.0), 1),
    ],
)
def test_rules(rule, ranking, kept):
    assert rule(ranking) == kept
    assert cut(ranking, rule).cutoff == kept
    assert len(cut(ranking, rule)) == len(ranking)


def test_a_long_passage_first_ends_the_budget():
    request = RerankRequest.of("q", ["far too many words for it", "short"])
    assert TokenBudget(3, lambda text: len(text.split()))(Ranking.of(request, (0, 1))) == 0
    assert TokenBudget(4)(Ranking.of(request, (1, 0))) == 1


@pytest.mark.parametrize("rule", [Threshold(1.0), LargestGap()])
def test_rules_that_need_scores_say_so(rule):
    with pytest.raises(InvalidInput, match=r"needs scores, and this ranking has none"):
        rule(UNSCORED)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: TopK(-1),
        lambda: LargestGap(minimum=3, maximum=2),
        lambda: TokenBudget(-1),
        lambda: NullDocument(bias=math.inf),
        lambda: NullDocument(at_most=-1),
        lambda: ModelSays(at_most=-1),
    ],
)
def test_options_are_checked(wrong):
    with pytest.raises(InvalidInput, match="give"):
        wrong()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("top:5", TopK(5)),
        ("threshold:-0.5", Threshold(-0.5)),
        ("gap", LargestGap()),
        ("gap:7", LargestGap(maximum=7)),
        ("tokens:2000", TokenBudget(2000)),
        ("null:0,1,1,-0.5", NullDocument(bias=-0.5)),
        ("null:1,0,0.25,0,4", NullDocument(of_max=1, of_mean=0, of_std=0.25, at_most=4)),
        ("null-share:0,1,1,0", NullDocument(of_shares=True)),
        ("model", ModelSays()),
        ("model:3", ModelSays(at_most=3)),
    ],
)
def test_rules_by_name(text, rule):
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("best", UnknownName),
        ("top", InvalidInput),
        ("top:x", InvalidInput),
        ("threshold:nan", InvalidInput),
        ("null:1,2", InvalidInput),
        ("null:1,2,3,nan", InvalidInput),
    ],
)
def test_rules_that_do_not_exist(text, error):
    with pytest.raises(error):
        parse_rule(text)


def test_keep():
    keep = Keep(FirstStage(), TopK(2))
    (ranking,) = keep.rerank([RerankRequest.of("q", ["a", "b", "c"])])
    assert [c.document.text for c in ranking.kept] == ["a", "b"]
    assert len(ranking) == 3
    assert keep.name == "first stage"
    check_reranker(keep)
    wild = Keep(FirstStage(), lambda ranking: 99)
    assert next(wild.rerank([RerankRequest.of("q", ["a"])])).cutoff == 1
