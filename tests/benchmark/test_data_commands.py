"""`userllm-bench data` and `list datasets`, through the command line."""

import hashlib
import io
import json
import subprocess
import sys

import pytest

from benchmark.cli import main
from benchmark.data.store import fetching
from benchmark.data.store.store import open_dataset
from benchmark.entries import DatasetEntry
from tests.fakes import make_tables
from tests.file_server import serving
from tests.raw_world import raw_entry, write_raw

TOY = "toy"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as state:
        yield state


@pytest.fixture
def bench(capfd, monkeypatch, tmp_path):
    """Runs a command line and returns code, stdout and stderr."""
    monkeypatch.setenv("USERLLM_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments, **entries):
        code = main([str(argument) for argument in arguments], tables_with(**entries))
        out, err = capfd.readouterr()
        return code, out, err

    return call


def tables_with(**entries: DatasetEntry):
    tables = make_tables()
    for name, entry in ({TOY: raw_entry()} | entries).items():
        tables.datasets.add(name, entry)
    tables.datasets.add("toys/*", raw_entry(part="shelf"))
    return tables


def one_line(result, code=2):
    assert result[0] == code, result
    assert result[1] == ""
    lines = result[2].splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def test_prepare_says_what_there_is_and_where_it_lies(bench, tmp_path):
    source = write_raw(tmp_path / "raw", users=12, broken=2)
    code, out, err = bench("data", "prepare", TOY, "--from", source, "--broken", "0.5")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "toy: 12 users, 9 items, 60 events"
    assert "2 broken lines" in lines[1]
    assert "note: made up" in lines
    folder = tmp_path / "home" / "datasets" / TOY
    assert f"lies in {folder}" in lines
    assert "nothing had changed" not in out
    assert (folder / "manifest.json").is_file()
    assert open_dataset(TOY).events.num_events == 60


def test_prepare_again_says_that_nothing_changed(bench, tmp_path):
    source = write_raw(tmp_path / "raw")
    arguments = ("data", "prepare", TOY, "--from", source)
    assert "nothing had changed" not in bench(*arguments)[1]
    code, out, _ = bench(*arguments)
    assert code == 0
    assert out.splitlines()[0] == "toy: 12 users, 9 items, 60 events"
    assert "nothing had changed" in out
    assert "nothing had changed" not in bench(*arguments, "--force")[1]
    assert "nothing had changed" not in bench(*arguments, "--minimum-history", "2")[1]
    write_raw(source, users=13)
    _, out, _ = bench(*arguments)
    assert "13 users" in out
    assert "nothing had changed" not in out


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ((), 60),
        (("--minimum-rating", "3"), 36),
        (("--minimum-rating", "4.5", "--minimum-history", "1"), 12),
        (("--k-core", "5", "--minimum-history", "1"), 60),
    ],
)
def test_settings_of_preparation(bench, tmp_path, options, events):
    source = write_raw(tmp_path / "raw")
    code, out, err = bench("data", "prepare", TOY, "--from", source, *options)
    assert code == 0, err
    assert f"{events} events" in out.splitlines()[0]
    settings = json.loads(bench("data", "info", TOY, "--json")[1])["settings"]
    for option, value in zip(options[::2], options[1::2], strict=True):
        assert settings[option[2:].replace("-", "_")] == float(value)


def test_nobody_left_is_one_line_and_leaves_nothing(bench, tmp_path):
    source = write_raw(tmp_path / "raw")
    one_line(bench("data", "prepare", TOY, "--from", source, "--minimum-history", "99"))
    assert not (tmp_path / "home" / "datasets" / TOY).exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("prepare", "tyo", "--from", "."), ("unknown data set 'tyo'", "did you mean 'toy'?")),
        (("prepare", TOY, "--from", "none"), ("--from", "'none'")),
        (("prepare", TOY), ("--from is missing", "data prepare toy --from PATH")),
        (("prepare", "world", "--from", "."), ("ready as it stands",)),
        (("prepare", "gone", "--from", "."), ("no_such_module",)),
        (("prepare", "toys", "--from", "."), ("write toys/<shelf>",)),
        (("prepare", "toys/../x", "--from", "."), ("toys/<shelf>",)),
        (("prepare", TOY, "--from", ".", "--broken", "2"), ("--broken 2.0", "less than")),
        (("prepare", TOY, "--from", ".", "--k-core", "-1"), ("--k-core -1", "greater than")),
        (("prepare", TOY, "--from", ".", "--k-core", "x"), ("--k-core", "valid integer")),
        (("prepare", TOY, "--from", ".", "--columns", "c.yaml"), ("own/NAME", "'toy'")),
        (("prepare", TOY, "--from", "."), ("events.csv",)),
        (("prepare",), ("NAME",)),
        (("download", TOY, "--accept-licence"), ("nowhere to be downloaded", "--from PATH")),
        (("download", "world"), ("needs no download",)),
        (("download", "tyo"), ("did you mean 'toy'?",)),
        (("info", TOY), ("'toy' is not prepared", "data prepare toy --from PATH")),
        (("info", "tyo"), ("did you mean 'toy'?",)),
        (("inof", "toy"), ("inof",)),
    ],
)
def test_wrong_input_is_one_line_and_code_2(bench, arguments, parts):
    line = one_line(bench("data", *arguments))
    for part in parts:
        assert part in line


def test_what_is_no_data_set_is_one_line(bench, tmp_path):
    (tmp_path / "events.csv").write_text("a,b\n1,2\n")
    assert "is not the file of 'toy'" in one_line(bench("data", "prepare", TOY, "--from", "."))


def test_a_run_of_what_is_not_prepared_names_the_two_commands(bench, server):
    entry = raw_entry(f"{server.url}/events.csv")
    line = one_line(
        bench("run", "--task", "next_item", "--dataset", "net", "--threads", "1", net=entry)
    )
    assert "userllm-bench data download net" in line
    assert "userllm-bench data prepare net --from PATH" in line


def test_a_prepared_set_can_be_run(bench, tmp_path):
    bench("data", "prepare", TOY, "--from", write_raw(tmp_path / "raw"))
    code, out, err = bench(
        "run", "--task", "next_item", "--dataset", TOY, "--methods", "alpha", "--threads", "1"
    )
    assert code == 0, err
    assert "next_item on toy" in out


def events_csv(tmp_path, **facts) -> bytes:
    return (write_raw(tmp_path / "publisher", **facts) / "events.csv").read_bytes()


def test_download_shows_the_licence_and_prepares(bench, server, tmp_path):
    content = server.files["/events.csv"] = events_csv(tmp_path)
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    entry = raw_entry(f"{server.url}/events.csv", checksums=(checksum,))
    code, out, err = bench("data", "download", "net", "--accept-licence", net=entry)
    assert code == 0, err
    assert "licence of net: for tests alone" in err
    assert "cite: nobody" in err
    place = tmp_path / "home" / "downloads" / "net" / "events.csv"
    assert out.splitlines()[:2] == [
        f"{place} ({len(content):,} bytes)",
        "net: 12 users, 9 items, 60 events",
    ]
    code, out, _ = bench("data", "download", "net", "--accept-licence", net=entry)
    assert "nothing had changed" in out
    assert len(server.requests) == 1


def test_download_without_preparing_and_preparing_what_was_downloaded(bench, server, tmp_path):
    server.files["/events.csv"] = events_csv(tmp_path)
    entry = raw_entry(f"{server.url}/events.csv")
    code, out, _ = bench("data", "download", "net", "--accept-licence", "--no-prepare", net=entry)
    assert code == 0
    assert len(out.splitlines()) == 1
    assert "net is" in bench("data", "info", "net", net=entry)[2].replace("'", "")
    code, out, _ = bench("data", "prepare", "net", net=entry)
    assert code == 0
    assert "60 events" in out


def test_a_file_put_there_by_hand_is_taken(bench, server, tmp_path):
    url = f"{server.url}/events.csv"
    code, _, err = bench("data", "download", "net", "--accept-licence", net=raw_entry(url))
    assert code == 1
    place = tmp_path / "home" / "downloads" / "net" / "events.csv"
    assert url in err
    assert str(place) in err
    place.write_bytes(events_csv(tmp_path))
    assert bench("data", "prepare", "net", net=raw_entry(url))[0] == 0


def test_what_is_missing_of_several_files_is_named(bench, tmp_path):
    family = raw_entry(
        "http://localhost/events.csv", "http://localhost/meta_{part}.gz", part="shelf"
    )
    line = one_line(bench("data", "prepare", "net/Red", **{"net/*": family}))
    assert "lacks events.csv, meta_Red.gz: `userllm-bench data download net/Red`" in line
    folder = write_raw(tmp_path / "home" / "downloads" / "net" / "Red")
    line = one_line(bench("data", "prepare", "net/Red", **{"net/*": family}))
    assert f"lacks meta_Red.gz, and --from {folder} takes what is there" in line
    assert bench("data", "prepare", "net/Red", "--from", folder, **{"net/*": family})[0] == 0


def test_without_the_licence_nothing_is_downloaded(bench, server, tmp_path):
    server.files["/events.csv"] = events_csv(tmp_path)
    entry = raw_entry(f"{server.url}/events.csv")
    code, out, err = bench("data", "download", "net", net=entry)
    assert (code, out) == (2, "")
    assert "licence of net: for tests alone" in err
    assert "--accept-licence" in err.splitlines()[-1]
    assert server.requests == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("", 130)])
def test_on_a_terminal_the_licence_is_asked_for(bench, server, tmp_path, monkeypatch, answer, code):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    server.files["/events.csv"] = events_csv(tmp_path)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    entry = raw_entry(f"{server.url}/events.csv")
    result = bench("data", "download", "net", net=entry)
    assert result[0] == code
    assert bool(server.requests) == (code == 0)


def test_offline_it_is_one_line_with_url_and_place(bench, tmp_path):
    with serving() as server:
        url = f"{server.url}/events.csv"
    entry = raw_entry(url)
    code, out, err = bench("data", "download", "net", "--accept-licence", net=entry)
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"error: cannot reach {url}")
    assert str(tmp_path / "home" / "downloads" / "net" / "events.csv") in last
    assert "Traceback" not in err


def test_a_family_downloads_its_members(bench, server, tmp_path):
    server.files["/Red.csv"] = events_csv(tmp_path)
    family = raw_entry(f"{server.url}/{{part}}.csv", part="shelf")
    code, out, _ = bench(
        "data", "download", "net/Red", "--accept-licence", "--no-prepare", **{"net/*": family}
    )
    assert code == 0
    assert "downloads/net/Red/Red.csv" in out
    result = bench("data", "download", "net/Rde", "--accept-licence", **{"net/*": family})
    assert result[0] == 2
    assert "is 'Rde' a shelf" in result[2].splitlines()[-1]


def test_list_shows_what_is_ready_and_how_to_make_it_so(bench, tmp_path):
    net = raw_entry("http://localhost/x")
    _, out, _ = bench("list", "datasets", net=net)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "  available" in lines["world"]
    assert "  unavailable" in lines["gone"]
    assert "not prepared  a toy: `userllm-bench data prepare toy --from PATH`" in lines[TOY]
    assert "`userllm-bench data download net`" in lines["net"]
    assert "data prepare toys/SHELF --from PATH" in lines["toys/*"]

    source = write_raw(tmp_path / "raw")
    for name in (TOY, "toys/Red", "toys/Blue"):
        assert bench("data", "prepare", name, "--from", source)[0] == 0
    (tmp_path / "home" / "datasets" / "toys" / "Blue" / "manifest.json").write_text("{")
    _, out, _ = bench("list", "datasets")
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines()}
    assert "available a toy (12 users, 9 items, 60 events)" in lines[TOY]
    assert "2 prepared" in lines["toys/*"]
    assert "available a toy (12 users, 9 items, 60 events)" in lines["toys/Red"]
    assert "broken" in lines["toys/Blue"]
    assert "data prepare toys/Blue" in lines["toys/Blue"]
    assert list(lines)[-3:] == ["toys/*", "toys/Blue", "toys/Red"]


def test_info_tells_all_of_a_prepared_set(bench, tmp_path):
    source = write_raw(tmp_path / "raw", broken=1)
    bench("data", "prepare", TOY, "--from", source, "--broken", "0.5")
    found = json.loads(bench("data", "info", TOY, "--json")[1])
    events = source / "events.csv"
    assert found["users"] == 12
    assert found["items"] == found["items_with_events"] == 9
    assert found["events"] == 60
    assert found["sparsity"] == pytest.approx(1 - 60 / (12 * 9))
    assert found["events_a_user"] == {"min": 5, "median": 5.0, "mean": 5.0, "max": 5}
    assert found["first"] == "1970-01-01T00:00:01+00:00"
    assert found["last"] == "1970-01-01T01:06:52+00:00"
    assert found["repeats"] == {"events": 0, "share": 0.0}
    assert found["texts"]["items_with_text"] == 8  # item 1 has none
    assert found["texts"]["written"] == {"text": 1.0}
    assert found["skipped"]["broken lines"] == 1
    assert found["licence"] == "for tests alone"
    assert found["citation"] == "nobody"
    assert found["notes"] == ["made up"]
    assert [(file["bytes"], file["sha256"]) for file in found["source_files"]] == [
        (events.stat().st_size, hashlib.sha256(events.read_bytes()).hexdigest())
    ]
    assert found["fingerprint"] == open_dataset(TOY).fingerprint
    _, out, _ = bench("data", "info", TOY)
    for part in ("12", "1970-01-01 00:00:01 UTC", found["fingerprint"], "for tests alone",
                 found["folder"], "minimum_history=3", "n/a", "made up"):  # fmt: skip
        assert part in out


def test_info_of_an_embedded_set(bench):
    found = json.loads(bench("data", "info", "world", "--json")[1])
    assert "folder" not in found
    assert found["users"] == 80
    assert found["label_feature"] == "genres"
    assert found["texts"]["written"] == {"text": 1.0}
    features = {feature["name"]: feature for feature in found["features"]}
    assert features["year"]["of_item"]
    assert 0.8 < features["year"]["known_share"] < 1


def test_help_shows_an_example_for_each_command(bench):
    for command in ([], ["prepare"], ["download"], ["info"]):
        code, out, _ = bench("data", *command, "--help")
        assert code == 0
        assert "Example: userllm-bench data" in " ".join(out.split())


def test_nothing_heavy_is_imported_to_list_or_to_help(tmp_path, bench):
    bench("data", "prepare", TOY, "--from", write_raw(tmp_path / "raw"))
    code = (
        "import sys; from benchmark.cli import main;"
        "from benchmark.datasets import DATASETS;"
        "from benchmark.entries import DatasetEntry;"
        "DATASETS.add('toy', DatasetEntry('x:y', 'a toy'));"
        "code = main(sys.argv[1:]);"
        "print(code, *sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    )
    for arguments in (["list", "datasets"], ["data", "--help"], ["data", "prepare", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        exit_code, *modules = done.stderr.split()
        assert exit_code == "0"
        if arguments[0] == "list":
            assert "toy available a toy (12 users" in " ".join(done.stdout.split())
        assert not {"torch", "polars", "numpy", "requests", "pooch"} & set(modules)
