"""The progress of all cells in one place: lines on stderr, each with its cell's title."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TextIO

from benchmark.display.progress import PlainProgress, RunProgress


class _WholeLines:
    """A stream that several threads write lines to.

    Args:
        stream: Where they go.
        lock: Of the stream.
    """

    def __init__(self, stream: TextIO, lock: threading.Lock) -> None:
        self._stream, self._lock, self._text = stream, lock, ""

    def write(self, text: str) -> int:
        """Keeps text until its line is whole."""
        self._text += text
        return len(text)

    def flush(self) -> None:
        """Writes what there is."""
        with self._lock:
            self._stream.write(self._text)
            self._stream.flush()
        self._text = ""


class View:
    """Shows how far every cell is.

    Args:
        stream: Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._shown: dict[str, RunProgress] = {}

    def progress(self, title: str = "") -> PlainProgress:
        """Lines of somebody else's, with a title of their own."""
        lines: Any = _WholeLines(self._stream, self._lock)
        progress = PlainProgress(lines)
        progress.title = title
        return progress

    def begin(self, token: str, title: str) -> None:
        """A cell begins, perhaps again."""
        self._shown[token] = self.progress()
        self._shown[token].begin(title)

    def tell(self, token: str, message: Mapping[str, Any]) -> None:
        """Shows one message of a `Relay`; one that comes after its cell has ended says nothing."""
        shown = self._shown.get(token)
        if shown is None:
            return
        if message["what"] in ("stage", "update", "note"):
            getattr(shown, message["what"])(**message["values"])

    def finish(self, token: str, text: str = "") -> None:
        """A cell has ended; the text says how, where the worker could not."""
        shown = self._shown.pop(token, None)
        if shown is not None:
            shown.finish(text) if text else shown.close()
