"""Two things at a time, for work that numpy, polars and hashlib do without Python's lock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar, cast

T = TypeVar("T")

AT_ONCE = 2
"""More would need as many times the memory for what is in between, and gain little."""


_END = object()


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The items in order; the next one is made while the latest is worked on.

    Whoever may leave before the end closes it (`contextlib.closing`).
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, iterator, _END)
        while (item := upcoming.result()) is not _END:
            upcoming = pool.submit(next, iterator, _END)
            yield cast("T", item)


def side_by_side(tasks: Iterable[Callable[[], T]]) -> list[T]:
    """What each task gives, in their order; of several errors the first task's is raised.

    Tasks see the caller's context variables.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = [pool.submit(copy_context().run, task) for task in tasks]
        return [done.result() for done in begun]
