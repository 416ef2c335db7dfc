import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.store import fetching
from benchmark.data.store.download import download, downloaded, remotes
from benchmark.data.store.fetching import Fetcher
from benchmark.entries import DatasetEntry
from benchmark.errors import RunError, UserError
from tests.file_server import serving

CONTENT = bytes(range(256)) * 40_000  # ten megabytes: many pieces, and more than any buffer

DOWNLOAD = (
    "import sys; from benchmark.data.store.download import download;"
    "from benchmark.entries import DatasetEntry;"
    "say = lambda text: print(text, flush=True);"
    "print(download('toy', DatasetEntry('x:y', '', urls=(sys.argv[1],)), say))"
)
"""A process of its own that downloads what its argument names."""


@pytest.fixture
def server():
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def entry_of(*urls: str, checksums: tuple[str, ...] = (), part: str = "") -> DatasetEntry:
    return DatasetEntry("nowhere:read", "", part=part, urls=urls, checksums=checksums)


def sum_of(content: bytes, kind: str = "md5") -> str:
    return f"{kind}:{hashlib.new(kind, content).hexdigest()}"


def get(entry: DatasetEntry, name: str = "toy", **options) -> tuple[Path, list[str]]:
    said: list[str] = []
    return download(name, entry, said.append, **options), said


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_file_arrives_whole_and_is_not_asked_for_again(server, tmp_path, kind):
    server.files["/d/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/d/toy.zip", checksums=(sum_of(CONTENT, kind),))
    assert downloaded("toy", entry) is None
    seen = []
    path, said = get(entry, arrived=lambda file, have, total: seen.append((file, have, total)))
    assert path == tmp_path / "home" / "downloads" / "toy" / "toy.zip" == downloaded("toy", entry)
    assert path.read_bytes() == CONTENT
    assert said == [f"downloading {server.url}/d/toy.zip"]
    assert seen[-1] == ("toy.zip", len(CONTENT), len(CONTENT))
    assert [have for _, have, _ in seen] == sorted(have for _, have, _ in seen)
    assert [file.name for file in path.parent.iterdir()] == ["toy.zip"]
    assert get(entry) == (path, [])
    assert len(server.requests) == 1
    get(entry, force=True)
    assert len(server.requests) == 2


def test_several_files_make_a_folder_and_only_missing_ones_are_fetched(server):
    server.files |= {"/reviews_Toys.gz": b"reviews", "/meta_Toys.gz": b"meta"}
    urls = [f"{server.url}/{kind}_{{part}}.gz?raw=1" for kind in ("reviews", "meta")]
    entry = entry_of(*urls, part="category")
    place = remotes("shop/Toys", entry)[0].place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"put here by hand")
    folder, _ = get(entry, "shop/Toys")
    assert folder == place.parent
    assert place.read_bytes() == b"put here by hand"
    assert (folder / "meta_Toys.gz").read_bytes() == b"meta"
    assert [path for path, _ in server.requests] == ["/meta_Toys.gz"]


def test_a_cut_connection_goes_on_where_it_ended(server):
    server.files["/toy.zip"] = CONTENT
    server.cuts = [3_000_000, 2_000_000]
    path, _ = get(entry_of(f"{server.url}/toy.zip", checksums=(sum_of(CONTENT),)))
    assert path.read_bytes() == CONTENT
    asked = [range_ for _, range_ in server.requests]
    assert asked == ["", "bytes=3000000-", "bytes=5000000-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server):
    server.files["/toy.zip"] = CONTENT
    server.cuts = [4_000_000, 0, 0, 0, 0]
    entry = entry_of(f"{server.url}/toy.zip")
    with pytest.raises(RunError, match="broke off") as caught:
        get(entry)
    assert f"{server.url}/toy.zip" in str(caught.value)
    assert downloaded("toy", entry) is None
    server.cuts = []
    server.requests.clear()
    path, _ = get(entry)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/toy.zip", "bytes=4000000-")]
    assert [file.name for file in path.parent.iterdir()] == ["toy.zip"]


def give_up(server, entry):
    server.cuts = [4_000_000, 0, 0, 0, 0]
    with pytest.raises(RunError):
        get(entry)
    server.cuts = []


def test_parts_of_two_versions_are_never_mixed(server):
    server.files["/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/toy.zip")
    give_up(server, entry)
    new = CONTENT[::-1]
    server.files["/toy.zip"], server.etag = new, '"2"'
    path, _ = get(entry)
    assert path.read_bytes() == new


def test_a_part_that_nobody_vouches_for_is_not_used(server):
    server.files["/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/toy.zip")
    give_up(server, entry)
    note = next(remotes("toy", entry)[0].place.parent.glob("*.part.json"))
    note.write_text("{")
    server.requests.clear()
    path, _ = get(entry)
    assert server.requests == [("/toy.zip", "")]
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_gives_the_file_anew(server):
    server.files["/toy.zip"] = CONTENT
    server.ranges = False
    server.cuts = [3_000_000]
    path, _ = get(entry_of(f"{server.url}/toy.zip"))
    assert path.read_bytes() == CONTENT


def test_a_part_that_was_whole_is_taken_as_it_is(server):
    server.files["/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/toy.zip", checksums=(sum_of(CONTENT),))
    give_up(server, entry)
    next(remotes("toy", entry)[0].place.parent.glob("*.part")).write_bytes(CONTENT)
    server.requests.clear()
    path, _ = get(entry)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/toy.zip", f"bytes={len(CONTENT)}-")]


def test_a_part_longer_than_the_file_is_thrown_away(server):
    server.files["/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/toy.zip")
    give_up(server, entry)
    next(remotes("toy", entry)[0].place.parent.glob("*.part")).write_bytes(CONTENT + b"x")
    path, _ = get(entry)
    assert path.read_bytes() == CONTENT


def test_a_server_that_says_little_still_gives_the_file(server):
    server.files["/toy.zip"] = CONTENT
    server.etag, server.length = "", False
    path, _ = get(entry_of(f"{server.url}/toy.zip", checksums=(sum_of(CONTENT),)))
    assert path.read_bytes() == CONTENT


@settings(max_examples=15, deadline=None)
@given(
    content=st.binary(min_size=1, max_size=300),
    cuts=st.lists(st.integers(1, 100), max_size=6),
    ranges=st.booleans(),
)
def test_whatever_is_cut_the_file_is_the_publishers(tmp_path_factory, content, cuts, ranges):
    place = tmp_path_factory.mktemp("cut") / "toy.zip"
    with serving() as server:
        server.files["/toy.zip"] = content
        server.cuts, server.ranges = list(cuts), ranges
        out = place.with_name("out")
        try:
            Fetcher(place, lambda have, total: None)(f"{server.url}/toy.zip", str(out), None)
        except fetching.CutError:  # a server without ranges, cut as early again and again
            assert not ranges
        else:
            assert out.read_bytes() == content


def test_a_wrong_checksum_leaves_nothing(server):
    server.files["/toy.zip"] = b"another file"
    entry = entry_of(f"{server.url}/toy.zip", checksums=(sum_of(CONTENT),))
    with pytest.raises(RunError) as caught:
        get(entry)
    text, place = str(caught.value), remotes("toy", entry)[0].place
    for part in (f"{server.url}/toy.zip", sum_of(CONTENT), str(place), "data prepare toy"):
        assert part in text
    assert list(place.parent.iterdir()) == []


def test_a_file_of_the_wrong_checksum_is_replaced(server):
    server.files["/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/toy.zip", checksums=(sum_of(CONTENT),))
    path, _ = get(entry)
    path.write_bytes(b"spoilt")
    assert get(entry)[0].read_bytes() == CONTENT


def test_what_is_not_there_names_the_url_and_the_place(server):
    entry = entry_of(f"{server.url}/toy.zip")
    with pytest.raises(RunError) as caught:
        get(entry)
    for part in ("404", f"{server.url}/toy.zip", str(remotes("toy", entry)[0].place)):
        assert part in str(caught.value)


def test_a_category_that_is_not_there_is_the_users_mistake(server):
    entry = entry_of(f"{server.url}/{{part}}.gz", part="category")
    with pytest.raises(UserError) as caught:
        get(entry, "shop/Tois")
    for part in ("404", f"{server.url}/Tois.gz", "'Tois' a category", "--from PATH"):
        assert part in str(caught.value)


def test_a_busy_server_is_asked_again_a_forbidding_one_is_not(server):
    server.files["/toy.zip"] = b"file"
    server.statuses = [503, 429]
    assert get(entry_of(f"{server.url}/toy.zip"))[0].read_bytes() == b"file"
    server.requests.clear()
    server.statuses = [403] * 9
    with pytest.raises(RunError, match="403"):
        get(entry_of(f"{server.url}/toy.zip"), force=True)
    assert len(server.requests) == 1
    server.statuses = [500] * 99
    server.requests.clear()
    with pytest.raises(RunError, match="500"):
        get(entry_of(f"{server.url}/toy.zip"), force=True)
    assert len(server.requests) == fetching.GOES


def test_a_web_page_is_not_taken_for_the_file(server):
    server.files["/toy.zip"] = b"<html>please log in</html>"
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(RunError, match="a web page instead"):
        get(entry_of(f"{server.url}/toy.zip"))


def offline_url() -> str:
    with serving() as server:
        return f"{server.url}/d/toy.zip"  # nobody listens there any more


def test_offline_it_says_what_to_fetch_and_where_to_put_it():
    url = offline_url()
    entry = entry_of(url)
    with pytest.raises(RunError) as caught:
        get(entry)
    text = str(caught.value)
    for part in (f"cannot reach {url}", str(remotes("toy", entry)[0].place), "data prepare toy"):
        assert part in text
    assert "\n" not in text


def test_offline_all_that_is_missing_is_named():
    host = offline_url().removesuffix("/d/toy.zip")
    entry = entry_of(*(f"{host}/{kind}_{{part}}.gz" for kind in "abc"), part="category")
    files = remotes("shop/Toys", entry)
    files[1].place.parent.mkdir(parents=True)
    files[1].place.write_bytes(b"by hand")
    with pytest.raises(RunError) as caught:
        get(entry, "shop/Toys")
    for remote in (files[0], files[2]):
        assert remote.url in str(caught.value)
        assert str(remote.place) in str(caught.value)
    assert files[1].url not in str(caught.value)


def test_an_unknown_host_is_offline_too():
    url = "http://no-such-host.invalid/toy.zip"
    with pytest.raises(RunError, match=url):
        get(entry_of(url))


def test_through_a_proxy(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.files["/d/toy.zip"] = CONTENT
    server.cuts = [3_000_000]
    path, _ = get(entry_of("http://publisher.invalid/d/toy.zip", checksums=(sum_of(CONTENT),)))
    assert path.read_bytes() == CONTENT
    assert server.hosts == ["publisher.invalid"] * 2
    assert server.requests[1] == ("/d/toy.zip", "bytes=3000000-")


def test_a_dead_proxy_is_named_without_its_password(monkeypatch):
    dead = offline_url().removeprefix("http://").removesuffix("/d/toy.zip")
    monkeypatch.setenv("http_proxy", f"http://me:secret@{dead}")
    with pytest.raises(RunError, match="the proxy does not lead to") as caught:
        get(entry_of("http://publisher.invalid/toy.zip"))
    assert "secret" not in str(caught.value)


def test_of_two_at_once_one_downloads_and_both_have_it(server):
    server.files["/toy.zip"] = CONTENT
    server.hold.clear()
    entry = entry_of(f"{server.url}/toy.zip")
    with subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, entry.urls[0]], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().startswith("downloading")
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            server.hold.set()

        guard = threading.Timer(60, server.hold.set)
        guard.start()
        path = download("toy", entry, say)
        guard.cancel()
        assert Path(other.stdout.readline().strip()) == path
        assert other.wait(60) == 0
    assert "another process is downloading toy" in said[0]
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_what_a_killed_process_had_is_not_fetched_again(server):
    server.files["/toy.zip"] = CONTENT
    server.hold.clear()
    entry = entry_of(f"{server.url}/toy.zip", checksums=(sum_of(CONTENT),))
    part = remotes("toy", entry)[0].place.with_name("toy.zip.part")
    with subprocess.Popen([sys.executable, "-c", DOWNLOAD, entry.urls[0]]) as other:
        for _ in range(600):
            if part.is_file() and part.stat().st_size > 1_000_000:
                break
            time.sleep(0.05)
        other.kill()
    have = part.stat().st_size
    assert 1_000_000 < have < len(CONTENT)
    server.hold.set()
    path, _ = get(entry)
    assert path.read_bytes() == CONTENT
    assert server.requests[1:] == [("/toy.zip", f"bytes={have}-")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk with no room")
def test_a_full_disk_is_one_line(server):
    server.files["/toy.zip"] = CONTENT
    entry = entry_of(f"{server.url}/toy.zip")
    place = remotes("toy", entry)[0].place
    place.parent.mkdir(parents=True)
    os.symlink("/dev/full", place.with_name("toy.zip.part"))
    with pytest.raises(RunError, match="the disk is full") as caught:
        get(entry)
    assert str(place.parent) in str(caught.value)
    assert not place.exists()


def test_what_does_not_fit_is_not_begun(server, monkeypatch):
    server.files["/toy.zip"] = CONTENT
    usage = fetching.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RunError, match=r"room for 1,000 bytes, and 10,240,000 more"):
        get(entry_of(f"{server.url}/toy.zip"))


def test_a_home_that_cannot_be_written_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match="cannot be written"):
        get(entry_of("http://127.0.0.1:1/toy.zip"))


def test_what_is_not_to_be_downloaded():
    with pytest.raises(UserError, match="ready as it stands"):
        remotes("ml-100k", DatasetEntry("x:y", "", embedded=True))
    with pytest.raises(UserError, match=r"data prepare own/shop --from PATH"):
        remotes("own/shop", entry_of(part="name"))
    assert downloaded("own/shop", entry_of(part="name")) is None
