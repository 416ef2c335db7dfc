"""Users that are asked, divided among the processes of a cell, and their answers put together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmark.data.histories import Examples
from benchmark.errors import RunError
from benchmark.system import ranks

_FAILURE = "failure"


def own_rows(count: int, unit: int = 1) -> slice:
    """Which of some examples this process asks: all processes together ask each once.

    Args:
        count: How many examples there are.
        unit: So many neighbours stay together.
    """
    spread, units = ranks.spread(), -(-count // unit)
    begin, end = (unit * (units * n // spread.size) for n in (spread.rank, spread.rank + 1))
    return slice(min(begin, count), min(end, count))


def own_share(examples: Examples, unit: int = 1) -> tuple[Examples, int]:
    """The examples that this process asks, and how many stand before them."""
    if ranks.spread().size == 1:
        return examples, 0
    rows = own_rows(len(examples), unit)
    return examples.only(np.arange(rows.start, rows.stop)), rows.start


def as_of_all(done: int, share: Examples, examples: Examples) -> int:
    """How many of all examples are done where every process is as far as this one.

    Args:
        done: Of the own share.
        share: The own examples.
        examples: Those of all processes.
    """
    return len(examples) * done // len(share)


def from_all(ask: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The answers of all processes, in the order of the examples.

    Args:
        ask: Gives columns `[n, ...]` for the own share; none where that is empty.

    Raises:
        RunError: It failed in another process.
    """
    if ranks.spread().size == 1:
        return dict(ask())
    error: Exception | None = None
    try:
        own = dict(ask())
    except Exception as caught:
        error, own = caught, {_FAILURE: _bytes(f"{type(caught).__name__}: {caught}")}
    parts = ranks.gathered(own)
    if error is not None:
        raise error
    for part in parts:
        if _FAILURE in part:
            raise RunError(_value(part[_FAILURE]))
    filled = [part for part in parts if part]
    names = filled[0] if filled else {}
    return {name: np.concatenate([part[name] for part in filled]) for name in names}


def texts_from_all(ask: Callable[[], Sequence[str]]) -> list[str]:
    """The texts of all processes, in the order of the examples; see `from_all`."""
    if ranks.spread().size == 1:
        return list(ask())

    def packed() -> dict[str, np.ndarray]:
        texts = [text.encode() for text in ask()]
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return {"texts": np.frombuffer(b"".join(texts), dtype=np.uint8), "lengths": lengths}

    columns = from_all(packed)
    ends = np.cumsum(columns["lengths"])
    content = columns["texts"].tobytes()
    return [
        content[end - length : end].decode()
        for end, length in zip(ends, columns["lengths"], strict=True)
    ]


def _bytes(value: str) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _value(content: np.ndarray) -> str:
    value: str = json.loads(content.tobytes())
    return value
