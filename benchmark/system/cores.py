"""Processors of this machine, and how many threads to compute with. Imports nothing heavy."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from benchmark.errors import UserError
from benchmark.whole_numbers import whole_number


def usable_cpus() -> set[int]:
    """Logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def physical_cores() -> int:
    """Physical cores among the usable processors, at most what a container's quota allows."""
    siblings = set()
    for cpu in usable_cpus():
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(path.read_text().strip())
        except OSError:
            siblings.add(str(cpu))
    return max(1, min(len(siblings), _quota()))


def default_threads() -> int:
    """`OMP_NUM_THREADS` where somebody set it, else the physical cores."""
    return threads_set() or physical_cores()


def threads_set() -> int | None:
    """`OMP_NUM_THREADS`; None where nobody set it.

    Raises:
        UserError: It is set to what is no number of threads.
    """
    given = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not given:
        return None
    # OpenMP reads a list too, a number for each level of threads within threads; ours are one.
    threads = whole_number(given.partition(",")[0].strip())
    if not threads:
        raise UserError(
            f"OMP_NUM_THREADS={given} is no number of threads: set a whole number from 1, or none"
        )
    return threads


def _quota() -> int:
    """Processors that a control group allows, rounded up."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return sys.maxsize
