"""Is the difference more than chance? Paired tests over queries, corrected for how many were made.

The bootstrap draws queries with replacement (Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapters 13
and 16); Holm's correction is from the Scandinavian Journal of Statistics 6(2), 1979.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist.errors import InvalidInput
from shortlist.evaluation.experiment import Experiment, System

Floats = NDArray[np.float64]

RESAMPLES: Final = 10_000
_DRAWS_AT_ONCE: Final = 2_000_000  # bounds memory to some 50 MB whatever the number of queries
_ROUNDING: Final = 1e-12  # two means closer than this are equal: sums in another order differ by as much


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One system against the baseline on one measure, over ``n`` queries that both have a value for.

    ``p`` is the bootstrap's (two-sided), ``p_holm`` the same corrected over all comparisons of the family, ``p_t`` the
    paired t-test's, ``None`` for fewer than two queries.
    """

    system: str
    baseline: str
    measure: str
    n: int
    difference: float
    interval: Interval
    p: float
    p_holm: float
    p_t: float | None
    wins: int
    ties: int
    losses: int

    @property
    def mark(self) -> str:
        """A star below .05 and two below .01, after correction (finer levels are out of reach of 10,000 resamples)."""
        return "*" * sum(self.p_holm < level for level in (0.05, 0.01))


def resampled_means(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Means of bootstrap samples: ``values`` [queries, columns] gives [resamples, columns].

    All columns share their draws. How often each query is drawn is counted, so that a mean is one matrix product.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise InvalidInput(f"values of shape {table.shape}; give [queries, columns] with at least one query")
    rng = np.random.default_rng(seed)
    return np.concatenate([counts @ table / len(table) for counts in _draws(rng, len(table), resamples)])


def _draws(rng: np.random.Generator, n: int, resamples: int) -> Iterator[Floats]:
    """How often each of ``n`` queries is drawn, resamples along the first axis."""
    size = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def percentile_interval(means: Floats) -> Interval:
    """The middle 95 % of resampled means."""
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))


def bootstrap_p(means: Floats, observed: float) -> float:
    """Two-sided p of a mean difference: how often a resample, centred on no difference, is as far from it.

    ``(1 + count) / (1 + resamples)``, so that it is never 0.
    """
    far = np.abs(means - observed) >= abs(observed) - _ROUNDING
    return float((1 + np.count_nonzero(far)) / (1 + len(means)))


def paired_bootstrap(
    after: ArrayLike, before: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, Interval]:
    """Two-sided p and 95 % interval of the mean difference ``after - before``, paired by query."""
    delta = _paired(after, before)
    means = resampled_means(delta[:, None], resamples=resamples, seed=seed)[:, 0]
    return bootstrap_p(means, float(delta.mean())), percentile_interval(means)


def paired_t_test(after: ArrayLike, before: ArrayLike) -> tuple[float, float]:
    """Student's t of the paired differences and its two-sided p; needs two pairs.

    Where all differences are equal, t is infinite (p 0), or 0 (p 1) if they are zero.
    """
    delta = _paired(after, before)
    n = len(delta)
    if n < 2:
        raise InvalidInput(f"a t-test needs at least two queries; got {n}")
    mean = float(delta.mean())
    error = float(delta.std(ddof=1)) / math.sqrt(n)
    if error <= _ROUNDING * abs(mean):
        return (math.copysign(math.inf, mean), 0.0) if mean else (0.0, 1.0)
    t = mean / error
    return t, t_two_sided(t, n - 1)


def t_two_sided(t: float, df: float) -> float:
    """``P(|T| >= |t|)`` for Student's t with ``df`` degrees of freedom: ``I_x(df/2, 1/2)``, ``x = df / (df + t^2)``.

    >>> round(t_two_sided(2.228139, 10), 6)  # the table's 5 % point
    0.05
    """
    return incomplete_beta(df / 2, 0.5, df / (df + t * t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function ``I_x(a, b)`` by its continued fraction (DLMF 8.17.22)."""
    if not 0 <= x <= 1:
        raise InvalidInput(f"I_x(a, b) is for x from 0 to 1; got {x}")
    if x in {0.0, 1.0}:
        return x
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on this side only
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / (a * _beta_fraction(a, b, x))


def _beta_fraction(a: float, b: float, x: float) -> float:
    """``1 + d1/(1 + d2/(1 + …))`` from the front by Lentz's method (Applied Optics 15(3), 1976)."""
    value = c = 1.0
    d = 0.0
    for i in range(1, 10_000):
        m = i // 2
        if i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + term * d)
        c = _not_zero(1 + term / c)
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the ``i``-th smallest of ``m`` times ``m - i + 1``, never falling, at most 1.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def compare(
    experiment: Experiment,
    baseline: str | None = None,
    *,
    measures: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int | None = None,
) -> tuple[Comparison, ...]:
    """Every other system against ``baseline`` (the first stage) on every measure; Holm's family is all of them.

    ``seed`` is the experiment's unless given. A measure that has no query in common is left out.
    """
    base = experiment.first if baseline is None else experiment.system(baseline)
    chosen = experiment.columns if measures is None else tuple(measures)
    drawn = int(experiment.manifest.get("seed", 0)) if seed is None else seed
    found = [
        comparison
        for system in experiment.systems
        if system is not base
        for comparison in _compare(system, base, chosen, resamples, drawn)
    ]
    adjusted = holm([comparison.p for comparison in found])
    return tuple(replace(comparison, p_holm=p) for comparison, p in zip(found, adjusted, strict=True))


def _compare(system: System, base: System, measures: Sequence[str], resamples: int, seed: int) -> Iterator[Comparison]:
    deltas = {m: system.values(m) - base.values(m) for m in measures if m in system.columns and m in base.columns}
    means = _resampled_columns(deltas, resamples, seed)
    return (_comparison(system, base, m, deltas[m], means[m]) for m in deltas if m in means)


def _resampled_columns(columns: Mapping[str, Floats], resamples: int, seed: int) -> dict[str, Floats]:
    """Resampled means of each column that has a value; columns with values for the same queries share their draws."""
    groups: dict[bytes, list[str]] = {}
    for name, column in columns.items():
        groups.setdefault(np.isnan(column).tobytes(), []).append(name)
    means: dict[str, Floats] = {}
    for mask, together in groups.items():
        told = ~np.frombuffer(mask, dtype=bool)
        if told.any():
            table = np.stack([columns[name][told] for name in together], axis=1)
            resampled = resampled_means(table, resamples=resamples, seed=seed)
            means |= {name: resampled[:, i] for i, name in enumerate(together)}
    return means


def _comparison(system: System, base: System, measure: str, delta: Floats, means: Floats) -> Comparison:
    told = delta[~np.isnan(delta)]
    observed = float(told.mean())
    p = bootstrap_p(means, observed)
    return Comparison(
        system=system.name,
        baseline=base.name,
        measure=measure,
        n=len(told),
        difference=observed,
        interval=percentile_interval(means),
        p=p,
        p_holm=p,
        p_t=paired_t_test(told, np.zeros_like(told))[1] if len(told) > 1 else None,
        wins=int(np.count_nonzero(told > 0)),
        ties=int(np.count_nonzero(told == 0)),
        losses=int(np.count_nonzero(told < 0)),
    )


def mean_intervals(system: System, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """The 95 % interval of each of a system's means."""
    columns = {measure: system.values(measure) for measure in system.columns}
    return {m: percentile_interval(means) for m, means in _resampled_columns(columns, resamples, seed).items()}


def _paired(after: ArrayLike, before: ArrayLike) -> Floats:
    left, right = np.asarray(after, dtype=np.float64), np.asarray(before, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or not len(left):
        raise InvalidInput(f"{left.shape} values against {right.shape}; give one of each a query, and at least one")
    delta: Floats = left - right
    if np.isnan(delta).any():
        raise InvalidInput("a value is NaN; leave out the queries that a measure does not apply to")
    return delta
