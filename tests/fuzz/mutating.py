"""Valid files turned into ones that are nearly valid: bytes, lines, tokens and JSON values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

HOSTILE = (
    "", " ", "\x00", "\x1b[2J", "\x1b]8;;http://x\x07", "\x9b31m", "\u202e", "\u200b", "\ufeff",
    "\ud800", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)",
    "$\\frac{1}$", "$\\nothing", "[bold]", "[/]", "|`*_[x](y)", "../../etc", "C:\\x", "=1+1",
    "a\nb", "\r", "x" * 5000, "é" * 300, "𝔘" * 40, "nan", "-0", "1e999", "9" * 400, "null",
)  # fmt: skip
"""Texts that have broken programs before."""
_NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, 1e308, -1e308, 5e-324, 0.1)
_BYTES = (0, 9, 10, 13, 27, 32, 34, 39, 44, 58, 91, 92, 123, 127, 128, 155, 192, 255)
_DEEP = 100_000
"""Opening brackets that no parser by recursion survives unprepared."""


def mutate(data: bytes, rng: random.Random, tokens: Sequence[bytes] = ()) -> bytes:
    """A file with one to four things wrong.

    Args:
        data: A valid one.
        rng: What is drawn.
        tokens: Words of the format.
    """
    if data[:1] in (b"{", b"[") and rng.random() < 0.4:
        changed = _mutate_json(data, rng)
        if rng.random() < 0.8 and changed != data:
            return changed
        data = changed
    for _ in range(1 + int(rng.expovariate(1.2))):
        data = rng.choice(_WAYS)(data, rng, tokens)
    return data


def mutate_words(words: Sequence[str], rng: random.Random, pool: Sequence[str]) -> list[str]:
    """Arguments of a command with one to three things wrong.

    Args:
        words: Valid ones.
        rng: What is drawn.
        pool: Further words that a command may be given.
    """
    changed = list(words)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(changed) + 1)
        way = rng.randrange(5)
        if way == 0 or place == len(changed):
            changed.insert(place, rng.choice((rng.choice(pool), rng.choice(HOSTILE))))
        elif way == 1:
            del changed[place]
        elif way == 2:
            changed[place] = rng.choice((rng.choice(pool), rng.choice(HOSTILE)))
        elif way == 3:
            changed.insert(place, changed[rng.randrange(len(changed))])
        else:
            cut = rng.randrange(len(changed[place]) + 1)
            middle = rng.choice((rng.choice(HOSTILE), rng.choice(".,=:/-[]{}&*!'\"0")))
            changed[place] = changed[place][:cut] + middle + changed[place][cut:]
    return changed


def _mutate_json(data: bytes, rng: random.Random) -> bytes:
    """JSON, or one line of it where each line is a value, with one value changed."""
    lines = data.split(b"\n") if not _is_json(data) else [data]
    place = rng.randrange(len(lines))
    try:
        value = json.loads(lines[place])
    except (ValueError, RecursionError):
        return data
    # By way of Python's own writer: NaN, Infinity and halves of characters among what it writes.
    lines[place] = json.dumps(_change(value, rng)).encode()
    return b"\n".join(lines)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _change(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        way = rng.randrange(8)
        if way == 0:
            return {own: kept for own, kept in value.items() if own != key}
        if way == 1:
            return {**value, rng.choice(HOSTILE): value[key]}
        return {**value, key: _change(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        way = rng.randrange(4)
        if way == 0:
            return value[:place] + value[place + 1 :]
        if way == 1:
            return [*value, value[place]]
        return [*value[:place], _change(value[place], rng), *value[place + 1 :]]
    strange = (
        None,
        True,
        [],
        {},
        [[]],
        {"": None},
        float("nan"),
        float("inf"),
        str(value),
        [value],
    )
    return rng.choice((rng.choice(HOSTILE), rng.choice(_NUMBERS), rng.choice(strange)))


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + 1 + int(rng.expovariate(0.05)))


def _flip(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(1 + int(rng.expovariate(0.8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    begin, end = _span(data, rng)
    new = bytes(rng.choice(_BYTES) for _ in range(min(end - begin, 8)))
    return data[:begin] + new + data[begin + len(new) :]


def _insert(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    begin, _ = _span(data, rng)
    words = [text.encode("utf-8", "surrogatepass") for text in HOSTILE]
    return data[:begin] + rng.choice([*tokens, *tokens, *words]) + data[begin:]


def _replace(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + (rng.choice(tokens) if tokens else b"") + data[end:]


def _truncate(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    begin, _ = _span(data, rng)
    return data[:begin] if rng.random() < 0.8 else data[begin:]


def _double(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    begin, end = _span(data, rng)
    return data[:end] + data[begin:end] * rng.choice((1, 1, 2, 50)) + data[end:]


def _splice(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    begin, end = _span(data, rng)
    place, _ = _span(data, rng)
    return data[:place] + data[begin:end] + data[place + (end - begin) :]


def _swap_lines(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    if rng.random() < 0.3:
        del lines[first]
    return b"\n".join(lines)


def _deepen(data: bytes, rng: random.Random, tokens: Sequence[bytes]) -> bytes:
    if rng.random() < 0.9:  # costly for every parser, so seldom
        return _flip(data, rng, tokens)
    begin, _ = _span(data, rng)
    return data[:begin] + rng.choice((b"[", b"{", b"(", b"- ", b'{"a":')) * _DEEP + data[begin:]


_WAYS: tuple[Callable[[bytes, random.Random, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _overwrite, _insert, _insert, _replace, _truncate, _double, _splice, _swap_lines,
    _deepen,
)  # fmt: skip
