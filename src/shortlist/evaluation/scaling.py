"""What more calls buy: one reranker under several values of its options, measured side by side.

GroupRank (arXiv 2511.11653) shows quality against the number of regroupings; any option of any reranker can be turned up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from shortlist.backends.cache import Store
from shortlist.backends.shared import Opened
from shortlist.errors import InvalidInput
from shortlist.evaluation.experiment import Experiment, System
from shortlist.evaluation.significance import Comparison, Interval, compare, mean_intervals
from shortlist.rerankers.base import Ranker
from shortlist.rerankers.catalog import open_reranker
from shortlist.rerankers.spec import with_options


@dataclass(frozen=True, slots=True)
class Setting:
    """One value for each option that varies, in the order they were named; ``spec`` is the reranker's whole name."""

    spec: str
    options: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """The values with their options' names."""
        return told(self.options)


def told(options: Sequence[tuple[str, str]]) -> str:
    """Options as people read them: ``repeat=2 anchors=0``."""
    return " ".join(f"{name}={value}" for name, value in options)


def settings(spec: str, vary: Sequence[str]) -> tuple[Setting, ...]:
    """Every combination of the values, the first option's varying fastest.

    ``vary`` holds texts like ``repeat=1,2,4``; values that hold commas themselves are parted by ``|``. In a chain they
    are options of the last link. Raises :class:`InvalidInput` for a text that cannot be read, and where there is nothing
    to compare.
    """
    varied = [_varied(text) for text in vary]
    names = [name for name, _ in varied]
    if len(set(names)) < len(names):
        raise InvalidInput(f"an option varies twice: {', '.join(names)}; give all its values at once")
    made = []
    for values in itertools.product(*(values for _, values in reversed(varied))):
        options = tuple(zip(names, reversed(values), strict=True))
        made.append(Setting(with_options(spec, dict(options)), options))
    if len(made) < 2:
        raise InvalidInput("there is one setting only; give an option several values, as in repeat=1,2,4")
    return tuple(made)


def _varied(text: str) -> tuple[str, list[str]]:
    name, equals, listed = text.partition("=")
    values = [value.strip() for value in listed.split("|" if "|" in listed else ",")]
    if not (name.strip() and equals and all(values)):
        raise InvalidInput(f"{text!r} names no option with its values; write OPTION=VALUE,VALUE, as in repeat=1,2,4")
    if len(set(values)) < len(values):
        raise InvalidInput(f"{text!r} has a value twice; give each once")
    return name.strip(), values


def open_settings(chosen: Sequence[Setting], *, store: Store | None = None) -> list[Ranker]:
    """A reranker a setting. They share the model, unless an option of the model itself is what varies.

    Raises :class:`InvalidInput`, naming the setting, for an option that the reranker does not know and for a value that
    it refuses: all of them, before the first is run.
    """
    opened, rankers = Opened(), []
    for setting in chosen:
        try:
            ranker = open_reranker(setting.spec, store=store, opened=opened)
        except InvalidInput as problem:
            raise InvalidInput(f"with {setting.label}: {problem}") from problem
        if ranker.name != setting.spec:
            raise InvalidInput(f"the name {ranker.name!r} would be that of every setting; leave the option name out")
        rankers.append(ranker)
    return rankers


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting's quality and what it cost. Costs are means a query.

    ``calls`` are all that the setting takes; those of them that the cache answered, ``cached``, are in neither
    ``tokens`` nor ``seconds``. ``comparison`` is with the first setting, ``None`` for that one and the first stage.
    """

    label: str
    options: tuple[tuple[str, str], ...]
    system: str
    value: float
    interval: Interval
    calls: float
    cached: float
    tokens: float
    seconds: float
    failures: int
    comparison: Comparison | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, the comparison's in place of it."""
        compared = None if self.comparison is None else asdict(self.comparison)
        return {**asdict(self), "options": dict(self.options), "comparison": compared}


@dataclass(frozen=True)
class Scaling:
    """An experiment whose systems after the first stage are the settings of one reranker, in their order.

    Raises :class:`InvalidInput` if they are not, or if no query has a value of the measure.
    """

    experiment: Experiment
    settings: tuple[Setting, ...]
    measure: str

    def __post_init__(self) -> None:
        found = [system.name for system in self.experiment.systems[1:]]
        if found != [setting.spec for setting in self.settings]:
            raise InvalidInput(f"the experiment's systems {found} are not the settings, in their order")
        if any(self.measure not in system.measures for system in self.experiment.systems):
            raise InvalidInput(f"no query has a value of {self.measure}: none of them has judgements")

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every later setting against the first, by the measure; Holm's family is these."""
        alone = Experiment(self.experiment.manifest, self.experiment.systems[1:])
        return compare(alone, measures=[self.measure])

    @property
    def first_stage(self) -> Row:
        """What there was before any call."""
        return self._row(self.experiment.first, self.experiment.first.name, ())

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """A row a setting, in their order."""
        systems = self.experiment.systems[1:]
        return tuple(
            self._row(s, setting.label, setting.options) for s, setting in zip(systems, self.settings, strict=True)
        )

    @property
    def cached(self) -> bool:
        """Whether some call was answered by the cache, so that tokens and seconds are less than a setting takes."""
        return any(row.cached for row in self.rows)

    def lines(self) -> Iterator[tuple[str, list[Row]]]:
        """The rows along the first option's values, line by line; a line's name is the other options'."""
        for others, rows in itertools.groupby(self.rows, key=lambda row: row.options[1:]):
            yield told(others), list(rows)

    def _row(self, system: System, label: str, options: tuple[tuple[str, str], ...]) -> Row:
        usage, seed = system.usage, int(self.experiment.manifest.get("seed", 0))
        return Row(
            label=label,
            options=options,
            system=system.name,
            value=system.measures[self.measure],
            interval=mean_intervals(system, seed=seed)[self.measure],
            calls=system.per_ranking(usage.calls + usage.cached_calls),
            cached=system.per_ranking(usage.cached_calls),
            tokens=system.per_ranking(usage.tokens),
            seconds=system.per_ranking(system.seconds),
            failures=system.failures,
            comparison=next((c for c in self.comparisons if c.system == system.name), None),
        )
