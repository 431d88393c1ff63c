"""Where cached results lie: one SQLite file, safe between threads and between processes.

Every ``put_many`` is a transaction in the write-ahead log: a process killed in its midst loses that one at most, and
the file opens again. (After a power failure the last few may be gone: ``synchronous=NORMAL``.)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

from shortlist.errors import InvalidFile

Value: TypeAlias = Any
"""A JSON value, or bytes."""

_VERSION = 1
_BUSY_SECONDS = 60.0  # how long to wait for another process's transaction
_CHUNK = 500  # keys a query; old SQLite builds allow 999 parameters


@dataclass(frozen=True)
class Store:
    """Values under hexadecimal SHA-256 keys, in the SQLite file ``path``; it and its folder are made when first used.

    The first value put under a key stays. Raises :class:`~shortlist.errors.InvalidFile` if the file is no such store,
    is damaged, or cannot be opened, and ``OSError`` (``ENOSPC``) where the disk is full. A connection serves one thread at
    a time, and is kept for the next.
    """

    path: Path
    flights: Flights = field(init=False, repr=False, compare=False)
    _idle: _Idle = field(init=False, repr=False, compare=False)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))
        object.__setattr__(self, "flights", Flights())
        object.__setattr__(self, "_idle", _Idle())

    def get_many(self, keys: Iterable[str]) -> dict[str, Value]:
        """The values of those keys that have one."""
        wanted = [bytes.fromhex(key) for key in dict.fromkeys(keys)]
        if not wanted:
            return {}
        found: dict[str, Value] = {}
        with self._connection() as connection:
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = connection.execute(f"SELECT key, value FROM entries WHERE key IN ({marks})", chunk)  # noqa: S608
                found.update((key.hex(), self._read(value)) for key, value in rows)
        return found

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Keep the values, all or none of them."""
        if not values:
            return
        rows = [(bytes.fromhex(k), v if isinstance(v, bytes) else json.dumps(v)) for k, v in values.items()]
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?)", rows)
            connection.execute("COMMIT")

    def __len__(self) -> int:
        with self._connection() as connection:
            return int(connection.execute("SELECT COUNT(*) FROM entries").fetchone()[0])

    def __bool__(self) -> bool:
        """An empty store is still a store."""
        return True

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._idle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, value: object) -> Value:
        if isinstance(value, bytes):
            return value
        try:
            return json.loads(str(value))
        except ValueError as error:
            raise self._damaged(f"an entry is no JSON: {error}") from error

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone, given back at the end, or closed if anything went wrong."""
        connection = self._idle.take()
        try:
            if connection is None:
                connection = self._open()
            yield connection
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._problem(error) from error
            raise
        self._idle.give(connection)

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidFile(self.path, f"its folder cannot be made: {error}") from error
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, _VERSION}:
            raise InvalidFile(self.path, f"a cache of format {version}, not {_VERSION}; give another path")
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            if foreign := self._tables(connection) - {"entries"}:
                connection.execute("ROLLBACK")
                raise InvalidFile(self.path, f"a database of something else (tables {sorted(foreign)[:3]})")
            connection.execute("CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value) WITHOUT ROWID")
            connection.execute(f"PRAGMA user_version={_VERSION}")
            connection.execute("COMMIT")

    @staticmethod
    def _tables(connection: sqlite3.Connection) -> set[str]:
        return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}

    def _problem(self, error: sqlite3.Error) -> Exception:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return OSError(errno.ENOSPC, "No space left for the cache, whose entries are whole", str(self.path))
        return self._damaged(str(error))

    def _damaged(self, why: str) -> InvalidFile:
        return InvalidFile(self.path, f"cannot be used as a cache: {why}. Delete the file or give another path")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. Two processes that do so at once are told "locked" without being made to wait."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


class _Idle:
    """Connections that no thread is using. Those of a parent process are left alone: SQLite forbids their use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._connections: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []

    def take(self) -> sqlite3.Connection | None:
        with self._lock:
            if self._process != os.getpid():
                self._inherited += self._connections
                self._connections, self._process = [], os.getpid()
            return self._connections.pop() if self._connections else None

    def give(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._connections.append(connection)

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def __del__(self) -> None:
        if self._process == os.getpid():
            self.close()


class Flights:
    """The keys that some thread of this process is just now getting values for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._landing: dict[str, threading.Event] = {}

    def take(self, keys: Iterable[str]) -> tuple[list[str], dict[str, threading.Event]]:
        """Those that are now the caller's to :meth:`land`, and those under way, with what tells of their landing."""
        mine: list[str] = []
        theirs: dict[str, threading.Event] = {}
        with self._lock:
            for key in keys:
                if key in self._landing:
                    theirs[key] = self._landing[key]
                else:
                    self._landing[key] = threading.Event()
                    mine.append(key)
        return mine, theirs

    def land(self, keys: Sequence[str]) -> None:
        """Done with these, with or without a value."""
        with self._lock:
            landed = [self._landing.pop(key, None) for key in keys]
        for event in landed:
            if event is not None:
                event.set()
