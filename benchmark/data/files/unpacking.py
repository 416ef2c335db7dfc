"""Unpacks zip and gzip, which may be damaged, or made to do harm."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from benchmark.errors import RunError, UserError

BOMB_RATIO, BOMB_BYTES = 200, 2 << 30
"""What unpacks to more than both is refused: the publishers' text shrinks to a tenth at best."""

MOST_MEMBERS = 100_000
"""Files of a zip archive; those of data sets hold some dozens."""

ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
GZIP = (b"\x1f\x8b",)
"""First bytes of what is."""
_ELSE = {
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
}
"""First bytes of what is not unpacked here."""
_TAR, _TAR_AT = b"ustar", 257
_HEAD = 512
_CHUNK = 1 << 20
_DAMAGE = (
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library raises for damaged archives, or ones it has no means for."""


def is_zip(path: Path) -> bool:
    """Whether a file's first bytes are those of a zip archive."""
    with path.open("rb") as file:
        return file.read(4).startswith(ZIP)


def is_packed(path: Path, shown: str) -> bool:
    """Whether a file is gzip.

    Args:
        path: A file on disk.
        shown: As errors call it.

    Raises:
        UserError: It is something else that would have to be unpacked first, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror or error}") from error
    _refuse_strangers(head, shown)
    return head.startswith(GZIP)


def _refuse_strangers(head: bytes, shown: str) -> None:
    """Raises where a file's first bytes say that it is no plain text."""
    kind = next((kind for magic, kind in _ELSE.items() if head.startswith(magic)), "")
    if head[_TAR_AT:].startswith(_TAR):
        kind = "a tar archive"
    if head.startswith(ZIP):
        kind = "a zip archive inside something packed"
    if kind:
        raise UserError(f"{shown} is {kind}: unpack it first")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise UserError(f"{shown} is a web page, not data: the download went wrong")


@contextmanager
def checked_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive in which every member has a harmless path.

    Raises:
        UserError: It is truncated or damaged, or a member has an absolute path, one with `..` or
            with control characters, or is a link or a device; or there are too many.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (*_DAMAGE, OSError) as error:
        raise UserError(f"{path}: the zip archive is truncated or damaged ({error})") from error
    with archive:
        if len(archive.infolist()) > MOST_MEMBERS:
            raise UserError(f"{path} holds more than {MOST_MEMBERS} files: unpack it first")
        for info in archive.infolist():
            name = info.filename.replace("\\", "/")
            absolute = name.startswith("/") or name[1:2] == ":"
            unreadable = any(ord(letter) < 32 for letter in name)  # would break lines of errors
            if absolute or ".." in PurePosixPath(name).parts or unreadable:
                raise UserError(f"{path}: unsafe path {info.filename!r} inside the archive")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a link" if kind == stat.S_IFLNK else "a device or a pipe"
                raise UserError(f"{path}: {info.filename!r} inside the archive is {what}")
        yield archive


def unpack(path: Path, info: zipfile.ZipInfo | None, folder: Path, shown: str) -> Path:
    """Unpacks a file: out of a zip archive, then out of gzip where it is that too.

    Args:
        path: A gzip file, or the zip archive that holds the file.
        info: What the archive says of it, None where there is no archive.
        folder: Where to write, under names of our own.
        shown: As errors call the file.

    Raises:
        UserError: It is damaged, truncated, encrypted, or an archive bomb.
        RunError: There is no room for it.
    """
    packed_bytes = path.stat().st_size if info is None else info.compress_size
    if info is not None:
        path = _unzip(path, info, folder, shown)
    if is_packed(path, shown):
        unpacked = folder / "unpacked"
        with _saying("gzip file", shown), gzip.open(path) as packed:
            # Against what the archive took: each of two steps might just pass.
            _copy(packed, unpacked, packed_bytes, shown)
        path = unpacked
        if is_packed(path, shown):
            raise UserError(f"{shown} is gzip inside gzip: unpack it first")
    return path


def _unzip(path: Path, info: zipfile.ZipInfo, folder: Path, shown: str) -> Path:
    if info.flag_bits & 1:
        raise UserError(f"{shown} is encrypted: unpack it first")
    if info.compress_size > path.stat().st_size:
        raise UserError(f"{shown}: the zip archive is truncated or damaged (it is smaller)")
    if _is_bomb(info.file_size, info.compress_size):
        raise UserError(f"{shown}: {_bomb(info.file_size, info.compress_size)}")
    if info.file_size > shutil.disk_usage(folder).free:
        raise RunError(f"{shown}: no room for {info.file_size:,} bytes in {folder.parent}")
    member = folder / "member"
    with _saying("zip archive", shown), zipfile.ZipFile(path) as archive, archive.open(info) as it:
        # zipfile reads no more than was declared, and then finds that the checksum differs.
        _copy(it, member, info.compress_size, shown)
        if member.stat().st_size != info.file_size:
            raise EOFError(f"{info.file_size:,} bytes were declared")
    return member


def _copy(packed: IO[bytes] | gzip.GzipFile, to: Path, packed_bytes: int, shown: str) -> None:
    written = 0
    with to.open("xb") as plain:
        while chunk := packed.read(_CHUNK):
            written += len(chunk)
            if _is_bomb(written, packed_bytes):
                raise UserError(f"{shown}: {_bomb(written, packed_bytes)}")
            plain.write(chunk)


def _is_bomb(plain_bytes: int, packed_bytes: int) -> bool:
    return plain_bytes > BOMB_BYTES and plain_bytes > BOMB_RATIO * packed_bytes


def _bomb(plain_bytes: int, packed_bytes: int) -> str:
    return f"an archive bomb? {packed_bytes:,} bytes unpack to {plain_bytes:,} or more"


@contextmanager
def _saying(kind: str, shown: str) -> Iterator[None]:
    """Turns what unpacking raises into errors of ours."""
    try:
        yield
    except (*_DAMAGE, gzip.BadGzipFile) as error:
        raise UserError(f"{shown}: the {kind} is truncated or damaged ({error})") from error
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a place before the file's beginning, bad bzip2
            raise UserError(f"{shown}: the {kind} is truncated or damaged ({error})") from error
        raise RunError(
            f"{shown} cannot be unpacked: {error.strerror} (set TMPDIR to a folder with room)"
        ) from error
