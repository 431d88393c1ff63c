"""How many threads a local model uses, told in one place."""

from __future__ import annotations

import os

from shortlist.errors import InvalidInput


def cores() -> int:
    """The cores this process may use (a container's share, not the machine's)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def told_threads() -> int | None:
    """``SHORTLIST_THREADS``, if set."""
    told = os.environ.get("SHORTLIST_THREADS", "")
    if not told:
        return None
    if not told.isdecimal() or int(told) < 1:
        raise InvalidInput(f"SHORTLIST_THREADS is {told!r}; give a whole number from 1")
    return int(told)


def passive_waiting() -> None:
    """Make OpenMP's threads sleep while they wait, unless the user said otherwise; call it before importing torch.

    Spinning threads beside one busy process slow everything down twenty times.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
