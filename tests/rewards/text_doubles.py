"""Lessons, replies read by the real prompts, and any verdict whatever."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from reward_doubles import doc

from shortlist.data.lessons import Lesson, Target
from shortlist.rewards.text import Reply
from shortlist.text import GroupScores, Listwise, ListwiseReasoning, PointwiseRating, SetwiseChoice, Subset
from shortlist.types import Candidate, Choice, Judgement, Query, ScoredJudgement, Slate, Status

quick = settings(max_examples=60, deadline=None)

LISTWISE, REASONING = Listwise(), ListwiseReasoning()
GROUP, GROUP_REASONING = GroupScores(), GroupScores(reasoning=True)
RATING, SETWISE, SUBSET = PointwiseRating(), SetwiseChoice(), Subset()


def lesson(names="abc", grades=None, *, answers=(), qid="q", **told):
    """Passages named by letters; grades as a mapping, or a list by place."""
    by_id = grades if isinstance(grades, dict) else dict(zip(names, grades or (), strict=False))
    slate = Slate(Query(id=qid, text=f"question {qid}", answers=answers), tuple(Candidate(doc(n)) for n in names))
    return Lesson(slate=slate, grades=by_id, **told)


def says(prompt, text, of, tokens=0):
    """A reply as the prompt reads it."""
    return Reply(of, text, prompt.parse(text, of.slate), tokens)


def level(reward, *replies):
    """The level of the last reply."""
    return reward.score(list(replies))[-1]


def orders(of, order):
    """A well-formed reply that gives an order of places from 0."""
    return says(LISTWISE, " > ".join(f"[{i + 1}]" for i in order), of)


def scored(of, scores, status=None):
    """A reply that gives scores, by whatever prompt."""
    return Reply(of, "", ScoredJudgement.of(scores, status=status))


def group(of, *scores):
    """A well-formed groupwise reply."""
    return says(GROUP, "{" + ", ".join(f'"[{i + 1}]": {s}' for i, s in enumerate(scores)) + "}", of)


def failed(of, kind="order"):
    """A reply that says nothing."""
    return says({"order": LISTWISE, "scores": GROUP, "choice": SETWISE, "subset": SUBSET}[kind], "I cannot tell.", of)


class Embeds:
    """Vectors by the first letter; texts that begin with z have none."""

    identity = "embeds"

    def __init__(self):
        self.calls = []

    def embed(self, texts, /, *, role):
        self.calls.append((role, list(texts)))
        table = {"g": (1, 0), "t": (0.6, 0.8), "o": (-1, 0), "z": (np.nan, 0)}
        return np.array([table[text[0].lower()] for text in texts], np.float32)


# ------------------------------------------------------------------------------------------------ anything

GRADES = st.one_of(st.integers(0, 3), st.floats(0, allow_nan=False, allow_infinity=False))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCORES = st.one_of(st.integers(0, 10).map(float), st.floats(), st.just(math.nan))
STATUSES = st.sampled_from(Status)


@st.composite
def lessons(draw, least=0, most=6):
    n = draw(st.integers(least, most))
    names = "abcdef"[:n]
    judged = draw(st.lists(st.sampled_from(names), unique=True)) if n else []
    taught = draw(st.lists(st.sampled_from(names), unique=True)) if n else []
    target = Target(
        order=tuple(draw(st.permutations(range(n)))) if draw(st.booleans()) else (),
        scores=tuple(draw(FINITE) for _ in range(n)) if draw(st.booleans()) else None,
        subset=tuple(draw(st.lists(st.integers(0, n - 1), unique=True))) if n and draw(st.booleans()) else None,
    )
    return lesson(
        names,
        {name: draw(GRADES) for name in judged},
        teacher={name: draw(FINITE) for name in taught},
        target=draw(st.sampled_from([None, target])),
        answers=draw(st.sampled_from([(), ("gold",), ("gold", "the other")])),
    )


@st.composite
def judgements(draw, n):
    order = tuple(draw(st.permutations(range(n))))
    missing = tuple(sorted(order[n - draw(st.integers(0, n)) :])) if n else ()
    named = tuple(i for i in order if i not in missing)
    cutoff = draw(st.one_of(st.none(), st.integers(0, n)))
    return Judgement(order=named + missing, missing=missing, cutoff=cutoff, status=draw(STATUSES))


@st.composite
def verdicts(draw, n, kinds=("order", "scores", "choice")):
    kind = draw(st.sampled_from([kind for kind in kinds if n or kind != "choice"]))
    if kind == "scores":
        return ScoredJudgement.of([draw(SCORES) for _ in range(n)], status=draw(STATUSES))
    if kind == "choice":
        best = draw(st.one_of(st.none(), st.integers(0, n - 1)))
        return Choice(best=best, status=Status.FAILED if best is None else draw(STATUSES))
    return draw(judgements(n))


TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<answer>", "</answer>", "[1]", " > ", "[2]", "[3]", "7", '{"[1]": 5}']
        ),
        max_size=12,
    ).map("".join),
)


@st.composite
def replies(draw, kinds=("order", "scores", "choice"), least=0, most=6):
    """Some groups of replies to some lessons; the query is one for all."""
    told = []
    for given in draw(st.lists(lessons(least, most), max_size=3)):
        for _ in range(draw(st.integers(1, 3))):
            verdict = draw(verdicts(len(given), kinds))
            told.append(Reply(given, draw(TEXTS), verdict, draw(st.integers(-1, 5000))))
    return told
