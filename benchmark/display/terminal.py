"""What this program prints: the one way to a terminal, on which foreign text does nothing.

Every command runs within `harmless_output`, so that `print` needs no care. Rich, which writes
escapes of its own, draws by `open_console` (`benchmark.display.consoles`) on the stream behind it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from benchmark.display.visible import visible

LONGEST_LINE = 20_000
"""Characters."""


class Harmless:
    """A text stream that passes on what can be seen.

    Args:
        stream: Where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes a text without what acts, and with escapes of what its encoding lacks.

        A line that would fill a terminal many times over is cut there, and nowhere else.
        """
        shown = visible(text, keep_lines=True)
        if len(shown) > LONGEST_LINE and self.stream.isatty():
            shown = "\n".join(_cut(line) for line in shown.split("\n"))
        try:
            self.stream.write(shown)
        except UnicodeEncodeError as error:
            self.stream.write(shown.encode(error.encoding, "backslashreplace").decode("ascii"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _cut(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]}… ({len(line):,} characters)"


def behind(stream: TextIO) -> TextIO:
    """The stream itself, for what cleans its text on its own."""
    while isinstance(stream, Harmless):
        stream = stream.stream
    return stream


@contextlib.contextmanager
def harmless_output() -> Iterator[None]:
    """For a while nothing that is printed acts on a terminal, whatever data it came from."""
    out, err = (cast("TextIO", Harmless(behind(own))) for own in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
