"""Loaded by every worker of a cluster that a command starts, and by no other."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Leaves an interrupt to the caller: a terminal sends it to all its processes at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
