"""Archives that are made to do harm: what they hold, how much, and how often."""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from benchmark.data.files import unpacking
from benchmark.data.files.archives import members, open_member
from benchmark.errors import UserError

TEXT = b"userId,movieId\n1,2\n"


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def refusal(path: Path) -> str:
    """What is said of an archive that is not opened."""
    with pytest.raises(UserError) as caught, open_member(path, "r.csv"):
        pass
    return str(caught.value)


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_and_pipes(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("r.csv")
    info.external_attr = (kind | 0o666) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "")
    assert "'r.csv' inside the archive is a device or a pipe" in refusal(tmp_path / "x.zip")


@pytest.mark.parametrize("kind", [0, stat.S_IFREG])
def test_plain_files(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("r.csv")
    info.external_attr = (kind | 0o644) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.mkdir("d") if hasattr(archive, "mkdir") else archive.writestr("d/", "")
        archive.writestr(info, TEXT)
    with open_member(tmp_path / "x.zip", "r.csv") as opened:
        assert opened.path.read_bytes() == TEXT


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.zip").write_bytes(zipped({f"{n}": b"" for n in range(5)}))
    assert len(members(tmp_path / "x.zip")) == 5
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 4)
    with pytest.raises(UserError, match=r"x\.zip holds more than 4 files"):
        members(tmp_path / "x.zip")


def test_two_steps_that_each_would_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = gzip.compress(b"\0" * 20_000_000, mtime=0)  # itself all alike, so it shrinks again
    (tmp_path / "x.zip").write_bytes(zipped({"r.csv.gz": inner}))
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1_000_000)
    monkeypatch.setattr(unpacking, "BOMB_RATIO", 2000)
    assert 2000 * len(inner) > 20_000_000
    assert re.search(r"an archive bomb\? [\d,]+ bytes unpack to", refusal(tmp_path / "x.zip"))


def test_members_that_share_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytearray(zipped({"r.csv": b"\0" * 5_000_000, "s.csv": b""}))
    end = whole.rindex(b"PK\x05\x06")
    second = whole.rindex(b"PK\x01\x02", 0, end)
    first = whole.rindex(b"PK\x01\x02", 0, second)
    whole[second + 10 : second + 28] = whole[first + 10 : first + 28]  # sizes and checksum
    whole[second + 42 : second + 46] = whole[first + 42 : first + 46]  # and place
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(UserError, match="truncated or damaged"), open_member(tmp_path, "s.csv"):
        pass
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1_000_000)
    for name in ("r.csv", "s.csv"):
        with pytest.raises(UserError, match=r"bomb|damaged"), open_member(tmp_path, name):
            pass


def test_what_holds_itself_is_unpacked_once(tmp_path: Path) -> None:
    inner = zipped({"r.csv": TEXT})
    for _ in range(3):
        inner = zipped({"r.csv": inner})
    (tmp_path / "x.zip").write_bytes(inner)
    assert "is a zip archive inside something packed: unpack it first" in refusal(
        tmp_path / "x.zip"
    )
    twice = gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0)
    (tmp_path / "y.csv.gz").write_bytes(twice)
    with (
        pytest.raises(UserError, match="gzip inside gzip"),
        open_member(tmp_path / "y.csv.gz", "*"),
    ):
        pass


def test_a_member_that_is_said_to_be_larger_than_the_archive(tmp_path: Path) -> None:
    whole = bytearray(zipped({"r.csv": TEXT}, zipfile.ZIP_STORED))
    for place in (18, whole.rindex(b"PK\x01\x02") + 20):
        whole[place : place + 8] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "x.zip").write_bytes(whole)
    assert "truncated or damaged" in refusal(tmp_path / "x.zip")


def test_a_dictionary_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    whole = bytearray(zipped({"r.csv": TEXT}, zipfile.ZIP_LZMA))
    properties = whole.index(b"\x09\x04\x05\x00")
    whole[properties + 5 : properties + 9] = b"\xff" * 4
    (tmp_path / "x.zip").write_bytes(whole)
    try:
        with open_member(tmp_path / "x.zip", "r.csv") as opened:
            assert opened.path.read_bytes() == TEXT  # the system lends what is never touched
    except UserError as error:
        assert "truncated or damaged" in str(error)  # noqa: PT017 - where it lends nothing


@pytest.mark.parametrize("name", ["\x7fr.csv", "r\u202ecsv", "\u200br.csv", "a" * 5000, "con"])
def test_names_that_are_strange_but_lead_nowhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "x.zip").write_bytes(zipped({name: TEXT}))
    with open_member(folder / "x.zip", "*") as opened:
        assert opened.path.read_bytes() == TEXT
        assert opened.path.name in ("member", "unpacked")
    assert os.listdir(folder) == ["x.zip"]
    assert os.listdir(tmp_path) == ["source"]


def test_gzip_that_says_a_name(tmp_path: Path) -> None:
    named = io.BytesIO()
    with gzip.GzipFile("../../evil", "wb", fileobj=named) as packed:
        packed.write(TEXT)
    (tmp_path / "r.csv.gz").write_bytes(named.getvalue())
    with open_member(tmp_path, "r.csv") as opened:
        assert opened.path.read_bytes() == TEXT
    assert os.listdir(tmp_path) == ["r.csv.gz"]


def test_a_stream_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1_000_000)
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = zeros.compress(b"\0" * 50_000_000) + zeros.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "r.csv.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + body)
    assert "an archive bomb" in refusal(tmp_path)
