"""Finding records in a file without holding them: sixteen bytes a record, whatever its size."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np


class OffsetIndex:
    """Key → the offsets it was entered with, in order.

    Keys are kept as 64-bit hashes, so :meth:`find` may name, once in some 10^13 look-ups of a million keys, an offset
    of another key: whoever has the records compares.
    """

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        hashes, offsets = array("q"), array("q")
        for key, offset in entries:
            hashes.append(hash(key))
            offsets.append(offset)
        plain = np.frombuffer(hashes, dtype=np.int64) if hashes else np.zeros(0, np.int64)
        self._by_hash = np.argsort(plain, kind="stable")
        self._hashes = plain[self._by_hash]
        self.offsets = np.frombuffer(offsets, dtype=np.int64) if offsets else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.offsets)

    def find(self, key: str) -> list[int]:
        """The offsets that may be of ``key``, in the order of entering."""
        wanted = hash(key)
        first = int(np.searchsorted(self._hashes, wanted))
        places = []
        while first < len(self._hashes) and self._hashes[first] == wanted:
            places.append(int(self.offsets[self._by_hash[first]]))
            first += 1
        return places

    def repeated(self) -> Iterator[tuple[int, int]]:
        """Pairs of offsets, an earlier and the next, entered with one key (or two keys of one hash)."""
        for place in np.flatnonzero(self._hashes[1:] == self._hashes[:-1]):
            yield int(self.offsets[self._by_hash[place]]), int(self.offsets[self._by_hash[place + 1]])
