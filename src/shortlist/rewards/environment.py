"""The reader environment: levels for every wanted prefix of many shortlists, each distinct prefix asked about once.

What makes it cheap, in the order of what it saves: a prefix that comes again (the same passages in the same order, in
this call, an earlier one, or an earlier run with the same store) is not asked again; rewards that judge one observation
share it; and what is asked goes out as a trie is walked, so that a backend that keeps the beginning of its last prompt
(``reuse_prefix``) computes each passage about once. Everything seen is stored batch by batch, so nothing is lost when
the process dies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.backends.cache import key_of
from shortlist.backends.store import Store
from shortlist.errors import BackendError, BudgetSpent, InvalidInput, UnknownName
from shortlist.rewards.base import Observation, ObservedReward, Observer, Prefix, Scored, WeightedReward, checked
from shortlist.rewards.counters import Counters, Streak
from shortlist.rewards.prefixes import digest_of, prefix_of, walk
from shortlist.types import Document, Query

Lists: TypeAlias = Sequence[tuple[Query, tuple[Document, ...]]]
Array: TypeAlias = npt.NDArray[np.float64]
KEYS: Final = ("ordered", "set")


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of prefixes: row ``i`` is list ``i``, column ``j`` its prefix of ``lengths[j]`` passages (L × T, float64).

    NaN where a list is shorter than the prefix or the prefix could not be scored: masked, never zero. ``parts`` are the
    levels of each part by its name, before weighting.
    """

    lengths: tuple[int, ...]
    totals: Array
    parts: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A prefix, what is shown of it to a model (the same passages, maybe in another order), and a digest of that."""

    prefix: Prefix
    shown: Prefix
    digest: str


@dataclass(eq=False)
class ReaderEnvironment:
    """Scores prefixes of shortlists with ``reward``, keeping what its models said in ``store`` (in memory without one).

    ``key``: ``"ordered"`` tells one order of the same passages from another; ``"set"`` does not, and shows them in the
    order of their ids, which assumes a reader that does not mind. ``budget``: how many distinct observations of prefixes
    (an answer and a likelihood are two) a run may want, whether or not the store knew them already, so that runs compare;
    then :class:`BudgetSpent` is raised before anything more is asked. ``batch`` prefixes are asked about and stored at a
    time (1 lets two observers of one ``reuse_prefix`` model share each prompt), ``workers`` batches side by side (for
    backends that wait on a network). After ``patience`` failures with no success between, the model is taken for dead:
    :class:`BackendError`. Environments that ask one model may share a ``streak``, by which they count.
    """

    reward: WeightedReward
    store: Store | None = None
    _: KW_ONLY
    key: Literal["ordered", "set"] = "ordered"
    budget: int | None = None
    batch: int = 32
    workers: int = 1
    patience: int = 32
    streak: Streak = field(default_factory=Streak, repr=False)

    _turn: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _book: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _seen: dict[str, Observation] = field(default_factory=dict, init=False, repr=False)
    _spent: set[str] = field(default_factory=set, init=False, repr=False)
    _counted: Counters = field(default_factory=Counters, init=False, repr=False)
    _began: float | None = field(default=None, init=False, repr=False)
    _thread: ThreadPoolExecutor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.key not in KEYS:
            raise UnknownName("key", self.key, KEYS)
        if min(self.batch, self.workers, self.patience) < 1 or (self.budget is not None and self.budget < 0):
            told = f"batch {self.batch}, workers {self.workers}, patience {self.patience}, budget {self.budget}"
            raise InvalidInput(f"{told}: give 1 or more (a budget of 0 or more)")
        observed = [part.observer for part, _ in self.reward.parts if isinstance(part, ObservedReward)]
        self._observers: dict[str, Observer] = {}
        for observer in observed:
            self._observers.setdefault(observer.identity, observer)

    # -------------------------------------------------------------------------------------------- asking

    def evaluate(self, lists: Lists, lengths: Sequence[int]) -> Levels:
        """The levels of the prefixes of these lengths (0 is the empty prefix) of every list.

        Raises:
            BudgetSpent: what is missing would go over the budget; nothing of it was asked.
            BackendError: the model is dead, or refuses everything alike.
        """
        wanted = _checked_lengths(lengths)
        with self._turn:
            self._began = self._began or time.monotonic()
            places = self._places(lists, wanted)
            asked = {place.prefix_key: place.asked for place in places}
            self._look(asked.values(), requested=len(places))
            scored = self._score(asked)
        return _levels(len(lists), wanted, places, scored, tuple(self.reward.weights))

    def observations(self, observer: Observer, prefixes: Sequence[Prefix]) -> list[Observation]:
        """What an observer of the reward's saw of each prefix (``None``: nothing), had and kept as by :meth:`evaluate`."""
        if observer.identity not in self._observers:
            raise UnknownName("observer", observer.identity, self._observers)
        with self._turn:
            self._began = self._began or time.monotonic()
            asked = [self._asked(prefix, digest_of(prefix)) for prefix in prefixes]
            self._look(asked, requested=len(asked))
            return [self._seen.get(key_of("observation", observer.identity, each.digest)) for each in asked]

    def submit(self, lists: Lists, lengths: Sequence[int]) -> Future[Levels]:
        """As :meth:`evaluate`, in a thread of its own, in the order of submission: reading while the caller trains."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="shortlist-environment")
        return self._thread.submit(self.evaluate, lists, lengths)

    def close(self) -> None:
        """Drop what was submitted and not begun, wait for what was begun."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------------------------------------- accounts

    @property
    def counters(self) -> Counters:
        """What was asked and saved so far."""
        elapsed = 0.0 if self._began is None else time.monotonic() - self._began
        with self._book:
            return self._counted.plus(elapsed=elapsed)

    @property
    def spent(self) -> int:
        """How many distinct observations of prefixes this run has wanted: what counts towards the budget."""
        return len(self._spent)

    def state_dict(self) -> dict[str, Any]:
        """Counters and what was spent, as JSON values: a resumed run has its old budget, not a new one."""
        with self._book:
            spent = sorted(self._spent)
        return {"counters": self.counters.to_json(), "spent": spent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        with self._turn, self._book:
            self._counted = Counters(**state["counters"])
            self._spent = set(state["spent"])
            self._began = None

    # -------------------------------------------------------------------------------------------- inside

    def _places(self, lists: Lists, lengths: Sequence[int]) -> list[_Place]:
        """Every (list, length) there is, with its prefix; equal prefixes are one object's work."""
        known: dict[str, _Asked] = {}
        places: list[_Place] = []
        for row, (query, documents) in enumerate(lists):
            for column, length in enumerate(lengths):
                if length <= len(documents):
                    prefix = prefix_of(query, documents[:length])
                    digest = digest_of(prefix)
                    key = f"{digest} {query.id}"  # a model is shown no query id, but judgements go by it
                    if key not in known:
                        known[key] = self._asked(prefix, digest)
                    places.append(_Place(row, column, key, known[key]))
        return places

    def _asked(self, prefix: Prefix, digest: str) -> _Asked:
        if self.key == "ordered":
            return _Asked(prefix, prefix, digest)
        shown = Prefix(prefix.query, tuple(sorted(prefix.documents, key=lambda document: document.id)))
        return _Asked(prefix, shown, digest_of(shown))

    def _look(self, asked: Iterable[_Asked], *, requested: int) -> None:
        """Have everything seen that an observer can tell of these prefixes, by asking for what is not known."""
        shown = {each.digest: each.shown for each in asked}
        keys = {key_of("observation", identity, digest) for identity in self._observers for digest in shown}
        new = {key[:16] for key in keys} - self._spent  # 64 bits tell a run's prefixes apart
        if self.budget is not None and len(self._spent) + len(new) > self.budget:
            raise BudgetSpent(
                f"{len(self._spent)} of {self.budget} calls are spent and {len(new)} more are wanted; raise the budget, "
                "or go on with what was learnt so far"
            )
        if self.store is not None:
            self._seen.update(self.store.get_many(key for key in keys if key not in self._seen))
        missing = [digest for digest in shown if any(k not in self._seen for k in self._keys(digest))]
        before = [observer.ledger.usage for observer in self._observers.values()]
        started = time.monotonic()
        try:
            self._in_batches([(digest, shown[digest]) for digest in walk(missing, shown)])
        finally:
            used = [o.ledger.usage.tokens - b.tokens for o, b in zip(self._observers.values(), before, strict=True)]
            self._count(
                requested=requested * len(self._observers), tokens=sum(used), seconds=time.monotonic() - started
            )
        with self._book:
            self._spent |= new

    def _keys(self, digest: str) -> Iterator[str]:
        return (key_of("observation", identity, digest) for identity in self._observers)

    def _in_batches(self, missing: Sequence[tuple[str, Prefix]]) -> None:
        batches = [missing[start : start + self.batch] for start in range(0, len(missing), self.batch)]
        if self.workers == 1 or len(batches) < 2:
            for batch in batches:
                self._observe(batch)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="shortlist-reading") as pool:
            list(pool.map(self._observe, batches))

    def _observe(self, batch: Sequence[tuple[str, Prefix]]) -> None:
        """Ask every observer about what it has not seen of a batch; store what was seen."""
        for identity, observer in self._observers.items():
            keyed = [(key_of("observation", identity, digest), prefix) for digest, prefix in batch]
            asked = [(key, prefix) for key, prefix in keyed if key not in self._seen]
            told = observer.observe([prefix for _, prefix in asked]) if asked else []
            fresh = {key: seen for (key, _), seen in zip(asked, told, strict=True) if seen is not None}
            if self.store is not None:
                self.store.put_many(fresh)
            self._seen.update(fresh)
            self._count(made=len(asked), failed=len(asked) - len(fresh))
            self._check_alive(observer, self.streak.add(told))

    def _check_alive(self, observer: Observer, failures: int) -> None:
        if failures >= self.patience:
            why = observer.ledger.error or "it said nothing of why"
            raise BackendError(f"the last {failures} calls of {observer.identity!r} failed, the last one: {why}")

    def _score(self, asked: Mapping[str, _Asked]) -> dict[str, Scored]:
        """The sum and its parts for every distinct prefix."""
        columns = {part.name: self._part(part, list(asked.values())) for part, _ in self.reward.parts}
        return {
            key: self.reward.combine({name: column[i] for name, column in columns.items()})
            for i, key in enumerate(asked)
        }

    def _part(self, part: Any, asked: Sequence[_Asked]) -> list[float | None]:
        if not isinstance(part, ObservedReward):
            return checked(part, part.score([each.prefix for each in asked]), len(asked))
        identity = part.observer.identity
        seen = [self._seen.get(key_of("observation", identity, each.digest)) for each in asked]
        both = zip(asked, seen, strict=True)
        return checked(part, [s if s is None else part.judge(each.shown, s) for each, s in both], len(asked))

    def _count(self, **more: float) -> None:
        with self._book:
            self._counted = self._counted.plus(**more)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a level goes, and what it is the level of."""

    row: int
    column: int
    prefix_key: str
    asked: _Asked


def _checked_lengths(lengths: Sequence[int]) -> tuple[int, ...]:
    if not lengths or min(lengths) < 0 or len(set(lengths)) < len(lengths):
        raise InvalidInput(f"lengths {list(lengths)}: give different numbers of passages, 0 or more")
    return tuple(lengths)


def _levels(
    rows: int, lengths: tuple[int, ...], places: Sequence[_Place], scored: Mapping[str, Scored], names: tuple[str, ...]
) -> Levels:
    totals = np.full((rows, len(lengths)), np.nan)
    parts = {name: np.full((rows, len(lengths)), np.nan) for name in names}
    for place in places:
        found = scored[place.prefix_key]
        totals[place.row, place.column] = np.nan if found.total is None else found.total
        for name, level in found.parts.items():
            parts[name][place.row, place.column] = np.nan if level is None else level
    return Levels(lengths, totals, parts)
