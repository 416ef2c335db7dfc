"""Text files in any encoding, as lines of UTF-8, in blocks that fit into memory."""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmark.data.files.archives import Opened
from benchmark.errors import RunError, UserError

BLOCK_BYTES = 8 << 20
"""Bytes that are parsed at once: enough to keep several threads busy, little beside the result."""
LINE_BYTES = 64 << 20
"""A longer line is no line: whatever the file is, it is not read into memory."""

TOO_LONG = b"\0"
"""Stands for such a line; no line of ours is like it."""

_HEAD = 1 << 12
_LOOK_BYTES = 1 << 18
"""Bytes that are looked at together, so that what is found stays in the cache."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; those of UTF-32 stand first, because one of UTF-16 is their beginning."""
UTF8, LATIN1 = "utf-8", "iso8859-1"


@dataclass(frozen=True)
class TextFile:
    """A file whose lines end in a line feed.

    Attributes:
        path: Where it is.
        skip: Bytes before its text begins (a byte order mark).
        latin1: Whether its publisher writes lines that are not UTF-8 in Latin-1.
    """

    path: Path
    skip: int
    latin1: bool


@contextmanager
def text_file(opened: Opened, encoding: str) -> Iterator[TextFile]:
    """A file as UTF-8 or Latin-1 with line feeds; a copy where it is something else.

    UTF-16 and UTF-32 are told by their byte order marks, UTF-16 also by its many zero bytes, and
    a file without a single line feed by its carriage returns.

    Args:
        opened: The file.
        encoding: What it should be in.

    Raises:
        UserError: Nobody knows the encoding, or the file is not in it.
        RunError: There is no room for the copy.
    """
    try:
        wanted = codecs.lookup(encoding).name
        "".encode(wanted)
    except (LookupError, ValueError) as error:
        raise UserError(f"{opened.name}: unknown encoding {encoding!r}") from error
    try:
        with opened.path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{opened.name} cannot be read: {error.strerror or error}") from error
    found = _encoding_of(head) or wanted
    old_breaks = found in (UTF8, LATIN1, "utf-8-sig") and b"\n" not in head and b"\r" in head
    if found == "utf-8-sig" and not old_breaks:
        yield TextFile(opened.path, len(codecs.BOM_UTF8), latin1=False)
    elif found in (UTF8, LATIN1) and not old_breaks:
        yield TextFile(opened.path, 0, latin1=wanted == LATIN1)
    else:
        with tempfile.TemporaryDirectory(prefix="userllm-bench-") as folder:
            copy = Path(folder) / "utf8"
            _transcode(opened, found, copy)
            yield TextFile(copy, 0, latin1=False)


def _encoding_of(head: bytes) -> str:
    """What a file's first bytes say of its encoding, "" where they say nothing."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if len(head) >= 4 and head[:2] != b"\0\0":
        even, odd = head[::2].count(0), head[1::2].count(0)
        if odd > 0.4 * len(head) / 2 and even == 0:
            return "utf-16-le"
        if even > 0.4 * len(head) / 2 and odd == 0:
            return "utf-16-be"
    return ""


def _transcode(opened: Opened, encoding: str, copy: Path) -> None:
    """Copies a file as UTF-8; `newline=None` reads any kind of line break as a line feed."""
    try:
        with (
            opened.path.open(encoding=encoding, newline=None) as file,
            copy.open("w", encoding="utf-8", newline="\n") as out,
        ):
            while chunk := file.read(1 << 20):
                out.write(chunk)
    except UnicodeError as error:
        raise UserError(f"{opened.name} is not in the encoding {encoding}: {error}") from error
    except OSError as error:
        raise RunError(f"{opened.name} cannot be copied: {error.strerror or error}") from error


@dataclass(frozen=True)
class Block:
    """Whole lines of a file.

    Attributes:
        data: The lines, as they stand; the file's last one may lack its line feed.
        first: Number of the first line, from 1.
    """

    data: bytes
    first: int

    @cached_property
    def breaks(self) -> int:
        """Number of line feeds, looked for many bytes at a time: lines are short."""
        codes = np.frombuffer(self.data, dtype=np.uint8)
        pieces = (codes[at : at + _LOOK_BYTES] for at in range(0, len(codes), _LOOK_BYTES))
        return sum(int(np.count_nonzero(piece == ord("\n"))) for piece in pieces)

    @property
    def lines(self) -> int:
        """Number of lines, blank ones counted."""
        return self.breaks + (not self.data.endswith(b"\n"))

    @property
    def records(self) -> int:
        """Number of lines where line feeds between quotes end none."""
        if b'"' not in self.data:
            return self.lines
        outside = _breaks_outside_of_quotes(self.data)
        return len(outside) + (not len(outside) or int(outside[-1]) < len(self.data) - 1)


def blocks(file: TextFile, *, quoted: bool = False) -> Iterator[Block]:
    """The lines of a file, in blocks of about `BLOCK_BYTES`.

    In the place of a line longer than `LINE_BYTES` comes `TOO_LONG`, and it is never in memory.

    Args:
        file: The file.
        quoted: Whether line feeds between quotes end no line.
    """
    first, rest, skipping = 1, b"", False
    with file.path.open("rb") as stream:
        stream.seek(file.skip)
        while chunk := stream.read(BLOCK_BYTES):
            if skipping:
                chunk = chunk[chunk.find(b"\n") :] if b"\n" in chunk else b""
                skipping = not chunk
            data, rest = _cut(rest, chunk, quoted=quoted)
            if len(rest) > LINE_BYTES:
                rest, skipping = TOO_LONG, True
            if data:
                block = Block(data, first)
                first += block.breaks
                yield block
    if rest:
        yield Block(rest, first)


def _cut(rest: bytes, chunk: bytes, *, quoted: bool) -> tuple[bytes, bytes]:
    """The lines that end in a chunk, and the beginning of the next one.

    They end with the last line feed, one outside of quotes where there is one.

    Args:
        rest: What the chunk before left.
        chunk: What follows it.
        quoted: Whether line feeds between quotes end no line.
    """
    if quoted and (b'"' in chunk or b'"' in rest):
        data = rest + chunk
        outside = _breaks_outside_of_quotes(data)
        cut = int(outside[-1]) + 1 if len(outside) else data.rfind(b"\n") + 1
        return data[:cut], data[cut:]
    cut = chunk.rfind(b"\n") + 1
    if not cut:
        return b"", rest + chunk
    return b"".join((rest, memoryview(chunk)[:cut])), chunk[cut:]


def _breaks_outside_of_quotes(data: bytes) -> np.ndarray:
    """Positions of the line feeds that have an even number of quotes before them."""
    codes = np.frombuffer(data, dtype=np.uint8)
    inside = np.cumsum(codes == ord('"'), dtype=np.uint8) & 1
    return np.flatnonzero((codes == ord("\n")) & (inside == 0))


def decoded(block: Block, *, latin1: bool) -> tuple[list[str], int]:
    """The lines of a block without their ends; a line that is not UTF-8 is read as Latin-1.

    Args:
        block: The lines.
        latin1: Whether the publisher writes Latin-1, so that such a line is none to speak of.

    Returns:
        The lines, and how many should have been UTF-8 and are not.
    """
    data = block.data.removesuffix(b"\n")
    try:
        return [line.removesuffix("\r") for line in data.decode().split("\n")], 0
    except UnicodeDecodeError:
        pass
    strange, lines = 0, []
    for raw in data.split(b"\n"):
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line = raw.decode(LATIN1)
            strange += not latin1
        lines.append(line.removesuffix("\r"))
    return lines, strange
