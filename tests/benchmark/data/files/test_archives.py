"""Finding and opening files: what is found where, and what hostile or damaged archives do."""

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.files import unpacking
from benchmark.data.files.archives import members, open_member
from benchmark.errors import RunError, UserError

TEXT = b"userId,movieId\n1,2\n"


def zipped(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def content(source, *names):
    with open_member(source, *names) as opened:
        return opened.path.read_bytes()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder where things are unpacked; empty when all is well."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


IN_A_ZIP = {"ml-1m/ratings.csv": TEXT, "ml-1m/README": b"read me"}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("ratings.csv", {"ratings.csv": TEXT}),
        ("ratings.csv.gz", {"ratings.csv.gz": gzip.compress(TEXT)}),
        ("ratings.csv", {"ratings.csv": gzip.compress(TEXT)}),
        ("ratings.csv.gz", {"ratings.csv.gz": TEXT}),
        ("RATINGS.CSV", {"RATINGS.CSV": TEXT}),
        ("", {"ratings.csv": TEXT, "movies.csv": b""}),
        ("", {"a/b/c/ratings.csv": TEXT}),
        ("", {"ratings.csv": TEXT, "ratings.csv.gz": b"older"}),
        ("", {"ratings.csv": TEXT, "old/ratings.csv": b"deeper"}),
        ("", {"ratings.csv.gz": gzip.compress(TEXT)}),
        ("", {"ratings.csv": TEXT, ".ratings.csv": b"hidden", "__MACOSX/ratings.csv": b"no"}),
        ("x.zip", {"x.zip": zipped(**IN_A_ZIP)}),
        ("x", {"x": zipped(**IN_A_ZIP)}),
        ("x.zip", {"x.zip": zipped(**{"ratings.csv": TEXT})}),
        ("x.zip", {"x.zip": zipped(**{"further/down/Ratings.csv": TEXT})}),
        ("x.zip", {"x.zip": zipped(**{"ml-1m\\ratings.csv": TEXT})}),
        ("x.zip", {"x.zip": zipped(**{"ratings.csv.gz": gzip.compress(TEXT)})}),
        ("x.zip", {"x.zip": zipped(**{"ratings.csv": TEXT, "__MACOSX/._ratings.csv": b"no"})}),
        ("", {"x.zip": zipped(**IN_A_ZIP), "other.txt": b""}),
        ("", {"deep/x.zip": zipped(**IN_A_ZIP), "reading.txt": b"", "no.zip": b"no"}),
        ("", {"x.zip": zipped(**{"ratings.csv": b"older"}), "a/b/ratings.csv": TEXT}),
    ],
)
def test_a_file_is_found_wherever_it_lies(tmp_path, temporary, source, files):
    root = tmp_path / "root"
    put(root, files)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with open_member(root / source, "ratings.csv") as opened:
        assert opened.path.read_bytes() == TEXT
        assert "ratings.csv" in opened.name.lower()
        again = open_member(root / source, "none.csv", "r?tings.*")
        assert again.path.read_bytes() == TEXT
        again.close()
        again.close()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_names_stand_in_order_of_preference(tmp_path, temporary):
    put(tmp_path / "root", {"b": b"b", "deep/down/a": b"a", "x.zip": zipped(**{"f/c": b"c"})})
    assert content(tmp_path / "root", "a", "b") == b"a"
    assert content(tmp_path / "root", "f/c", "b") == b"c"
    assert content(tmp_path / "root", "no", "c") == b"c"


def test_a_folder_in_a_name_settles_which(tmp_path, temporary):
    both = {name: zipped(**{f"{name[:-4]}/r.csv": name.encode()}) for name in ("a.zip", "b.zip")}
    put(tmp_path / "root", both)
    assert content(tmp_path / "root", "b/r.csv", "r.csv") == b"b.zip"
    with pytest.raises(UserError, match=r"which file is r.csv\? There is a.zip/a/r.csv, b.zip"):
        open_member(tmp_path / "root", "r.csv")


def test_two_members_of_one_name_are_not_guessed_between(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("r.csv", "one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("r.csv", "two")
    with pytest.raises(UserError, match="which file is"):
        open_member(path, "r.csv")


def test_what_is_missing_is_said_with_what_is_there(tmp_path):
    put(tmp_path, {f"file{n:02}.txt": b"" for n in range(20)})
    with pytest.raises(UserError, match=r"no file called a.csv or b.csv; there is file00.txt,.*"):
        open_member(tmp_path, "a.csv", "b.csv")
    with pytest.raises(UserError, match=r"and 8 more$"):
        open_member(tmp_path, "a.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is nothing$"):
        open_member(tmp_path / "empty", "a.csv")
    with pytest.raises(UserError, match=r"nowhere is not there"):
        open_member(tmp_path / "nowhere", "a.csv")
    with pytest.raises(UserError, match=r"neither a file nor a folder"):
        open_member(Path("/dev/null"), "a.csv")


def test_members(tmp_path):
    put(tmp_path, {"a/b.csv": b"", "x.zip": zipped(**IN_A_ZIP), ".hidden": b""})
    zipped_names = ["x.zip/ml-1m/ratings.csv", "x.zip/ml-1m/README"]
    assert members(tmp_path) == ["x.zip", "a/b.csv", *zipped_names]
    assert members(tmp_path / "x.zip") == ["ml-1m/ratings.csv", "ml-1m/README"]
    assert members(tmp_path / "a" / "b.csv") == ["b.csv"]


def test_a_folder_that_was_not_meant(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.data.files.archives.MOST_FILES", 3)
    put(tmp_path, {f"{n}": b"" for n in range(4)})
    with pytest.raises(UserError, match="holds more than 3 files"):
        open_member(tmp_path, "a.csv")


def test_links_to_folders_lead_nowhere_and_links_to_files_do(tmp_path):
    put(tmp_path / "far", {"r.csv": TEXT})
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "gone.csv").symlink_to(tmp_path / "nowhere")
    assert members(tmp_path / "here") == []
    (tmp_path / "here" / "r.csv").symlink_to(tmp_path / "far" / "r.csv")
    assert content(tmp_path / "here", "r.csv") == TEXT


# --------------------------------------------------------------------- damaged and hostile


@pytest.mark.parametrize(
    "name",
    [
        "../r.csv",
        "a/../../r.csv",
        "/r.csv",
        "a/..",
        "..\\r.csv",
        "C:\\r.csv",
        "c:r.csv",
        "//x/r",
        "r\ncsv",
    ],
)
@pytest.mark.parametrize("in_a_folder", [False, True])
def test_an_unsafe_path_in_an_archive(tmp_path, temporary, name, in_a_folder):
    folder = tmp_path / "root"
    put(folder, {"x.zip": zipped(**{"good/r.csv": TEXT, name: b"bad"})})
    with pytest.raises(UserError, match=r"x.zip: unsafe path .* inside the archive$"):
        open_member(folder if in_a_folder else folder / "x.zip", "r.csv")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["root", "temporary", "x.zip"]


def test_a_link_in_an_archive(tmp_path, temporary):
    link = zipfile.ZipInfo("r.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"'r.csv' inside the archive is a link"):
        open_member(tmp_path / "x.zip", "r.csv")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive(tmp_path, temporary, share):
    noise = os.urandom(50_000)
    for name, whole in (
        ("x.zip", zipped(**{"r.csv": noise})),
        ("r.csv.gz", gzip.compress(noise)),
    ):
        (tmp_path / name).write_bytes(whole[: max(20, int(len(whole) * share))])
        with pytest.raises(UserError, match=rf"{name}: the .* is truncated or damaged"):
            open_member(tmp_path / name, "r.csv")


def test_a_flipped_bit(tmp_path, temporary):
    noise = os.urandom(50_000)
    for name, whole in (
        ("x.zip", zipped(**{"r.csv": noise})),
        ("r.csv.gz", gzip.compress(noise)),
    ):
        data = bytearray(whole)
        data[25_000] ^= 1
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match="is truncated or damaged"):
            open_member(tmp_path / name, "r.csv")


def test_what_follows_a_gzip_file(tmp_path, temporary):
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(TEXT) + gzip.compress(TEXT))
    assert content(tmp_path, "r.csv") == TEXT * 2  # as gzip itself does
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(TEXT) + b"garbage")
    with pytest.raises(UserError, match="truncated or damaged"):
        open_member(tmp_path, "r.csv")


def test_an_archive_bomb(tmp_path, temporary, monkeypatch):
    zeros = b"\0" * 10_000_000
    put(
        tmp_path / "root",
        {
            "x.zip": zipped(**{"z.csv": zeros, "n.csv": os.urandom(2_000_000)}),
            "g.csv.gz": gzip.compress(zeros),
            "y.zip": zipped(**{"h.csv.gz": gzip.compress(zeros)}),
        },
    )
    assert content(tmp_path / "root", "z.csv") == zeros  # no bomb yet: it is small
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1_000_000)
    for name in ("z.csv", "g.csv", "h.csv"):
        with pytest.raises(UserError, match=r"archive bomb\? [\d,]+ bytes unpack to [\d,]+ or"):
            open_member(tmp_path / "root", name)
    assert len(content(tmp_path / "root", "n.csv")) == 2_000_000  # large, but no bomb


@pytest.mark.parametrize("declared", [0, 10, 100_000])
def test_an_archive_that_lies_about_its_size(tmp_path, temporary, declared):
    whole = bytearray(zipped(**{"r.csv": os.urandom(1000)}))
    size = declared.to_bytes(4, "little")
    central = whole.rindex(b"PK\x01\x02")
    whole[22:26] = size
    whole[central + 24 : central + 28] = size
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(UserError, match="truncated or damaged"):
        open_member(tmp_path / "x.zip", "r.csv")


def test_an_encrypted_archive(tmp_path, temporary):
    whole = bytearray(zipped(**{"r.csv": TEXT}))
    for place in (6, whole.rindex(b"PK\x01\x02") + 8):
        whole[place] |= 1
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(UserError, match=r"x.zip/r.csv is encrypted: unpack it first"):
        open_member(tmp_path / "x.zip", "r.csv")


def test_a_compression_that_nobody_knows(tmp_path, temporary):
    whole = bytearray(zipped(**{"r.csv": TEXT}))
    for place in (8, whole.rindex(b"PK\x01\x02") + 10):
        whole[place] = 9  # Deflate64
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(UserError, match="truncated or damaged"):
        open_member(tmp_path / "x.zip", "r.csv")


def tarred():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("r.csv")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (bz2.compress(TEXT), "is a bzip2 file: unpack it first"),
        (lzma.compress(TEXT), "is an xz file: unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
        (tarred(), "is a tar archive: unpack it first"),
        (gzip.compress(tarred()), "is a tar archive: unpack it first"),
        (
            gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0),
            "is gzip inside gzip: unpack it first",
        ),
        (gzip.compress(zipped(**{"r.csv": TEXT})), "is a zip archive inside something packed"),
        (b"\n<!DOCTYPE html><html>", "is a web page, not data: the download went wrong"),
        (b"<HTML><body>404", "is a web page, not data: the download went wrong"),
    ],
)
def test_what_is_not_unpacked_here(tmp_path, temporary, data, what):
    put(tmp_path / "root", {"r.csv": data, "x.zip": zipped(**{"s.csv": data})})
    for source in (tmp_path / "root", tmp_path / "root" / "r.csv"):
        with pytest.raises(UserError, match=what):
            open_member(source, "r.csv")
    with pytest.raises(UserError, match=what):
        open_member(tmp_path / "root", "s.csv")


def test_a_zip_archive_that_is_none(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"<html>Not found</html>")
    with pytest.raises(UserError, match="is a web page"):
        open_member(tmp_path / "x.zip", "r.csv")
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(UserError, match="is no zip archive"):
        open_member(tmp_path / "x.zip", "r.csv")


def test_no_room_to_unpack(tmp_path, temporary, monkeypatch):
    put(tmp_path / "root", {"x.zip": zipped(**{"z.csv": TEXT}), "g.csv.gz": gzip.compress(TEXT)})

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "_copy", full)
        for name in ("z.csv", "g.csv"):
            with pytest.raises(RunError, match=r"No space left on device \(set TMPDIR"):
                open_member(tmp_path / "root", name)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3))
    with pytest.raises(RunError, match=r"no room for 19 bytes"):
        open_member(tmp_path / "root", "z.csv")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    put(tmp_path, {"r.csv": TEXT})
    (tmp_path / "r.csv").chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        open_member(tmp_path, "r.csv")


BEGINNINGS = [b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08"]
GOOD = (zipped(**IN_A_ZIP), gzip.compress(TEXT), gzip.compress(zipped(**IN_A_ZIP)))


@settings(max_examples=120, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.tuples(
            st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08"]), st.binary()
        ).map(b"".join),
        st.tuples(
            st.sampled_from(GOOD),
            st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
            st.integers(0, 10_000),
        ).map(lambda parts: mangled(*parts)),
    ),
    name=st.sampled_from(["x.zip", "ratings.csv", "ratings.csv.gz"]),
)
def test_arbitrary_archives_raise_nothing_but_user_errors(tmp_path_factory, data, name):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / name).write_bytes(data)
    for source in (folder, folder / name):
        try:
            with open_member(source, "ratings.csv", "*") as opened:
                opened.path.read_bytes()
        except UserError as error:
            message = str(error)
        else:
            message = ""
        assert "\n" not in message


def mangled(data, changes, end):
    data = bytearray(data)
    for place, value in changes:
        data[place % len(data)] = value
    return bytes(data[: end % len(data) + 1] if end % 3 == 0 else data)


def test_a_member_that_lies_before_the_beginning(tmp_path, temporary):
    whole = bytearray(zipped(**{"r.csv": TEXT}))
    end = whole.rindex(b"PK\x05\x06")
    whole[end + 16] += 60  # the directory is said to lie further on, so all else moves back
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(UserError, match="truncated or damaged"):
        open_member(tmp_path / "x.zip", "r.csv")
