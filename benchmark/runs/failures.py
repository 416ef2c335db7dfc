"""What went wrong, in one line."""

from __future__ import annotations

import errno

from benchmark.errors import RunError, UserError
from benchmark.system.durable import FULL_DISK

FULL_DISK_TEXT = (
    "the disk is full; finished cells are kept: free some space and give the same command again"
)
_NO_MEMORY = {"MemoryError", "OutOfMemoryError"}
_NO_MEMORY_TEXTS = ("can't allocate memory", "not enough memory", "CUDA out of memory")


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that nothing more can be written.

    Libraries written in Rust (polars, safetensors) report it in the text of errors of their own.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            return True
        if any(f"os error {number}" in str(error) for number in FULL_DISK):
            return True
        error = error.__cause__ or error.__context__
    return False


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, of the machine or of a device.

    torch says so in errors of its own, or in the text of one of no kind in particular.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & _NO_MEMORY or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY_TEXTS)


def explain(error: BaseException) -> str:
    """One line about an error."""
    message = " ".join(str(error).split())
    if disk_is_full(error):
        return FULL_DISK_TEXT
    if out_of_memory(error):
        return f"out of memory{': ' if message else ''}{message[:200]}"
    if isinstance(error, FloatingPointError):
        return message or "a number became NaN or infinite"
    if isinstance(error, UserError | RunError):
        return message
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__
